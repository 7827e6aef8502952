"""The choice between the three kinds of cluster that the lab can run on.

Outside of `backends` nobody knows which one it is: notebooks see a kubeconfig and nothing else.
"""

from __future__ import annotations

import json

from labsupport import paths
from labsupport.backends.contract import Backend, CommandError, Progress

CHOICES = ("auto", "embedded", "kind", "current")


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
        from labsupport.backends.kind.cluster import KindBackend

        return KindBackend(paths.state_dir())
    if name == "current":
        from labsupport.backends.current.cluster import CurrentBackend

        return CurrentBackend(paths.state_dir())
    from labsupport.backends.embedded.cluster import EmbeddedBackend

    return EmbeddedBackend(paths.state_dir())


def _best(progress: Progress) -> str:
    from labsupport.backends.kind import engine

    if engine.answers():
        progress("kind and a container engine are here: CLUSTER=kind. (CLUSTER=embedded needs neither.)")
        return "kind"
    return "embedded"


def _recorded() -> str | None:
    try:
        name = json.loads((paths.state_dir() / "cluster.json").read_text())["cluster"]
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not what we wrote
        return None
    return name if name in CHOICES else None
