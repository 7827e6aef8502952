"""The figure of updates: which revision each ordinal of a StatefulSet ran, and when, from a recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from labsupport.cluster.recording import Moment, Recording
from labsupport.figures.drawing import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Picture, new_figure

LONGEST_QUIET = 1.5  # seconds in which nothing happens; what is longer is cut out of the picture
_LOOKS = ((SKY, ""), (BLUE, "//"), (GREEN, "\\\\"), (ORANGE, ".."), (PURPLE, "||"), (GREY, "--"))

_NEVER = "xxxx"  # hatch of a pod that never became Ready


@dataclass(frozen=True)
class Life:
    """One pod: its name, its revision as a number from 1 in the order of appearance, and its stretches."""

    name: str
    revision: int
    begin: float
    end: float | None  # None: it still lives
    ready: tuple[tuple[float, float | None], ...]


def revisions(recording: Recording, owner: str, title: str = "") -> Picture:
    """Draw which revision each pod of a StatefulSet had over time: a row for each name, a bar for each pod.

    A bar is filled while its pod is Ready and empty while it is not; the number in it is the revision's, counted in
    the order in which they first appeared. Marks of the recording stand above. Stretches of more than
    LONGEST_QUIET seconds without an event are cut out, so that time for reading does not show.

    >>> revisions(recording, "statefulset/db", "A rolling update")
    """
    found = lives(recording.moments, owner)
    names = sorted({life.name for life in found}, reverse=True)
    marks = [m for m in recording.moments if m.what == "mark"]
    at = _squeezed(sorted(_times(found) | {m.seconds for m in marks}))
    end = at(max(_times(found) | {m.seconds for m in marks}, default=0.0)) + 1
    figure = new_figure(9.5, 2.1 + 0.45 * max(1, len(names)) + (0.5 if marks else 0))
    ax = figure.subplots()
    for life in found:
        _draw(ax, life, names.index(life.name), at, end)
    _draw_marks(ax, [(at(mark.seconds), mark.name) for mark in marks], len(names), end)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.45, -0.55)
    ax.set_xlim(0, end)
    ax.set_xlabel("seconds, without the time in which nothing happened")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="y", length=0)
    if title:
        figure.suptitle(title)
    figure.legend(handles=_legend(found), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return Picture(figure, _alt(title, found, names))


def lives(moments: Sequence[Moment], owner: str) -> list[Life]:
    """The pods of that controller in the order of their creation."""
    by_uid: dict[str, list[Moment]] = {}
    for moment in moments:
        if moment.kind == "Pod" and moment.owner == owner and moment.revision:
            by_uid.setdefault(moment.uid, []).append(moment)
    numbers: dict[str, int] = {}
    found = []
    for of_pod in by_uid.values():
        number = numbers.setdefault(of_pod[0].revision, len(numbers) + 1)
        end = next((m.seconds for m in of_pod if m.what == "deleted"), None)
        found.append(Life(of_pod[0].name, number, of_pod[0].seconds, end, tuple(_ready(of_pod))))
    return found


def _ready(moments: Sequence[Moment]) -> list[tuple[float, float | None]]:
    """The stretches in which the pod was Ready and not asked to stop; the last may be open."""
    stretches: list[tuple[float, float | None]] = []
    since: float | None = None
    for moment in moments:
        if moment.what == "ready" and not any(m.what == "terminating" and m.seconds <= moment.seconds for m in moments):
            since = moment.seconds
        elif moment.what in ("unready", "terminating", "deleted") and since is not None:
            stretches.append((since, moment.seconds))
            since = None
    return stretches if since is None else [*stretches, (since, None)]


def _times(found: Sequence[Life]) -> set[float]:
    times: set[float] = set()
    for life in found:
        times |= {life.begin, *(t for stretch in life.ready for t in stretch if t is not None)}
        times |= set() if life.end is None else {life.end}
    return times


def _squeezed(times: Sequence[float]) -> Callable[[float], float]:
    """A clock that runs as seconds do, but leaps over what is longer than LONGEST_QUIET between two of the times."""
    places = {times[0]: 0.0} if times else {}
    for before, after in pairwise(times):
        places[after] = places[before] + min(after - before, LONGEST_QUIET)
    return places.__getitem__


def _draw(ax: Axes, life: Life, row: int, at: Callable[[float], float], end: float) -> None:
    colour, hatch = _LOOKS[(life.revision - 1) % len(_LOOKS)]
    begin, stop = at(life.begin), end if life.end is None else at(life.end)
    empty = "" if life.ready else _NEVER
    ax.barh(row, stop - begin, left=begin, height=0.62, facecolor="white", edgecolor=colour, hatch=empty, linewidth=1.2)
    for since, until in life.ready:
        left, right = at(since), end if until is None else at(until)
        ax.barh(
            row, right - left, left=left, height=0.62, facecolor=colour, edgecolor="white", hatch=hatch, linewidth=0
        )
    if stop - begin > end / 60:
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"}
        ax.text((begin + stop) / 2, row, str(life.revision), ha="center", va="center", fontsize=9, bbox=box)
    if life.end is not None:
        ax.plot([stop, stop], [row - 0.38, row + 0.38], color=VERMILION, linewidth=2, solid_capstyle="butt")


def _draw_marks(ax: Axes, marks: Sequence[tuple[float, str]], rows: int, end: float) -> None:
    """A dotted line for each mark, its text above; texts that would lie on one another move to the right."""
    place = -end
    for x, text in marks:
        place = max(x, place + end / 32)
        ax.plot([x, x, place], [rows - 0.45, -0.5, -0.75], color=BLACK, linewidth=0.8, linestyle=":", clip_on=False)
        ax.text(place, -0.78, text, fontsize=8, rotation=35, rotation_mode="anchor", va="bottom", ha="left")


def _legend(found: Sequence[Life]) -> list[Patch | Line2D]:
    shown: dict[int, bool] = {}  # the revisions, and whether a pod of theirs was ever Ready
    for life in found:
        shown[life.revision] = shown.get(life.revision, False) or bool(life.ready)
    filled: list[Patch | Line2D] = []
    for number, was_ready in sorted(shown.items()):
        colour, hatch = _LOOKS[(number - 1) % len(_LOOKS)]
        if was_ready:
            filled.append(Patch(facecolor=colour, edgecolor="white", hatch=hatch, label=f"revision {number}"))
        else:
            label = f"revision {number}, never Ready"
            filled.append(Patch(facecolor="white", edgecolor=colour, hatch=_NEVER, label=label))
    empty = Patch(facecolor="white", edgecolor=GREY, label="not Ready")
    return [*filled, empty, Line2D([], [], color=VERMILION, linewidth=2, label="gone")]


def _alt(title: str, found: Sequence[Life], names: Sequence[str]) -> str:
    """What the figure says, in words that do not change from run to run."""
    told = "; ".join(
        f"{name}: {', '.join(str(life.revision) for life in found if life.name == name)}" for name in names
    )
    return (
        f"{title or 'Revisions'}. A row for each pod name, a bar for each pod with the number of its revision, "
        f"filled while it is Ready. Revisions in order of time, by name: {told}."
    )
