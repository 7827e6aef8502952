"""What each kind of cluster offers to `lab`: one small interface, and the words that it is spoken in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

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


def record(name: str, state: Path) -> None:
    """Remember which cluster the lab runs on, for the commands that follow."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    (state / "cluster.json").write_text(json.dumps({"cluster": name}) + "\n")
