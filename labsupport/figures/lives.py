"""The lives of pods and claims, read from a recording: when each began and ended, and what state it was in between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labsupport.cluster.recording import Moment

STARTING, READY, TERMINATING = "starting", "Ready", "terminating"
_STATE_AFTER = {"ready": READY, "unready": STARTING, "terminating": TERMINATING}


@dataclass(frozen=True)
class Stretch:
    """A time in one state, in seconds; its end is None while it lasts."""

    state: str
    begin: float
    end: float | None


@dataclass(frozen=True)
class Life:
    """One object from its creation to its end, in seconds; the end is None while it exists."""

    name: str
    begin: float
    end: float | None
    stretches: tuple[Stretch, ...]
    revision: str = ""
    claims: tuple[str, ...] = ()

    @property
    def ready(self) -> tuple[Stretch, ...]:
        """The times in which a pod was Ready and had not been asked to stop."""
        return tuple(stretch for stretch in self.stretches if stretch.state == READY)


def lives(moments: Iterable[Moment], kind: str = "Pod", owner: str = "") -> list[Life]:
    """Every object of a kind in the order of creation; with `owner` ("kind/name") only those of that controller.

    A name that was taken again by a new object is another life.
    """
    by_uid: dict[str, list[Moment]] = {}
    for moment in moments:
        if moment.kind == kind and owner in ("", moment.owner):
            by_uid.setdefault(moment.uid, []).append(moment)
    return [_life(of_object) for of_object in by_uid.values()]


def by_name(all_lives: Iterable[Life]) -> dict[str, list[Life]]:
    """The lives that each name had, names and lives in the order of creation."""
    named: dict[str, list[Life]] = {}
    for life in all_lives:
        named.setdefault(life.name, []).append(life)
    return named


def _life(moments: Sequence[Moment]) -> Life:
    first = moments[0]
    end = next((moment.seconds for moment in moments if moment.what == "deleted"), None)
    return Life(first.name, first.seconds, end, _stretches(moments, end), first.revision, first.claims)


def _stretches(moments: Sequence[Moment], end: float | None) -> tuple[Stretch, ...]:
    """The states one after the other. A pod that has been asked to stop does not become Ready again."""
    stretches = []
    state, since = STARTING, moments[0].seconds
    for moment in moments:
        after = state if state == TERMINATING else _STATE_AFTER.get(moment.what, state)
        if after != state:
            stretches.append(Stretch(state, since, moment.seconds))
            state, since = after, moment.seconds
    stretches.append(Stretch(state, since, end))
    return tuple(stretch for stretch in stretches if stretch.end is None or stretch.end > stretch.begin)
