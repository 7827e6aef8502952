"""The three kinds of cluster the lab can run on, behind one small interface.

Only this module and `cli` know which one it is; notebooks see a kubeconfig and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from labsupport import paths

CHOICES = ("auto", "embedded", "kind", "current")

Progress = Callable[[str], None]


class CommandError(Exception):
    """Something the user can mend: says what happened, what was expected, and the command to type next."""


@dataclass(frozen=True)
class Finding:
    """One line of `lab doctor`: what was looked at, whether it is fine, and how to mend it."""

    subject: str
    level: str  # "ok", "note" or "fail"
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Status:
    """The state of a lab's cluster as `lab status` tells it."""

    cluster: str
    running: bool
    details: dict[str, str | int | dict[str, int]] = field(default_factory=dict)


class Backend(Protocol):
    """A way of having a cluster."""

    name: str

    def up(self, progress: Progress) -> str:
        """Start the cluster, or find it running; returns a sentence on what was done. Raises CommandError."""

    def down(self, progress: Progress) -> str:
        """Remove the cluster and everything it left. Raises CommandError."""

    def reset(self, progress: Progress) -> str:
        """Make the cluster as new; addresses and the kubeconfig stay. Raises CommandError."""

    def status(self) -> Status:
        """What is running."""

    def doctor(self) -> list[Finding]:
        """Whether this machine can run it."""

    def preload(self, progress: Progress) -> str:
        """Have the course's images where the pods run, so that no chapter waits for a pull. Raises CommandError."""


def choose(wanted: str, progress: Progress = lambda text: None) -> Backend:
    """The backend for a choice of CHOICES. Raises CommandError for any other word, or when another cluster is up.

    `auto` stays with the cluster that is there, else takes kind where it and an engine answer, else embedded.
    """
    if wanted not in CHOICES:
        raise CommandError(f"CLUSTER={wanted} is none of {', '.join(CHOICES)}. Say e.g. `make lab CLUSTER=embedded`.")
    recorded = _recorded()
    if wanted == "auto":
        wanted = recorded or _best(progress)
    elif recorded and recorded != wanted:
        raise CommandError(f"this lab runs on CLUSTER={recorded}. Say `make down`, then `make lab CLUSTER={wanted}`.")
    return _make(wanted)


def _make(name: str) -> Backend:
    # Each is imported only when it is the one: they need different things of the machine.
    if name == "kind":
        from labsupport.kind.backend import KindBackend

        return KindBackend(paths.state_dir())
    if name == "current":
        from labsupport.current.backend import CurrentBackend

        return CurrentBackend(paths.state_dir())
    from labsupport.embedded.backend import EmbeddedBackend

    return EmbeddedBackend(paths.state_dir())


def _best(progress: Progress) -> str:
    from labsupport.kind import engine

    if engine.answers():
        progress("kind and a container engine are here: CLUSTER=kind. (CLUSTER=embedded needs neither.)")
        return "kind"
    return "embedded"


def record(name: str, state: Path) -> None:
    """Remember which cluster the lab runs on, for the commands that follow."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state / "cluster.json").write_text(json.dumps({"cluster": name}) + "\n")


def _recorded() -> str | None:
    try:
        name = json.loads((paths.state_dir() / "cluster.json").read_text())["cluster"]
    except (OSError, ValueError, KeyError):
        return None
    return name if name in CHOICES else None
