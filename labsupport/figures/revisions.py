"""The figure of updates: which revision each ordinal of a StatefulSet ran, and when, from a recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from labsupport.cluster.recording import Moment, Recording
from labsupport.figures.bars import Bar, draw_bars, name_rows
from labsupport.figures.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PAPER,
    PURPLE,
    SKY,
    VERMILION,
    Look,
    Picture,
    legend_below,
    new_figure,
)
from labsupport.figures.lives import Life, lives

LONGEST_QUIET = 1.5  # seconds in which nothing happens; what is longer is cut out of the picture
_COLOURS = ((SKY, ""), (BLUE, "//"), (GREEN, "\\\\"), (ORANGE, ".."), (PURPLE, "||"), (GREY, "--"))
_NEVER_READY = "xxxx"


@dataclass(frozen=True)
class Mark:
    """A mark of the recording: where it is on the axis, where its text begins, and the text."""

    at: float
    text_at: float
    text: str


@dataclass
class Chart:
    """What the figure shows, in seconds without the long pauses, by row."""

    names: list[str]
    end: float
    bars: list[Bar] = field(default_factory=list)
    numbers: list[tuple[float, int, int]] = field(default_factory=list)  # (second, row, number of the revision)
    gone: list[tuple[float, int]] = field(default_factory=list)  # (second, row)
    marks: list[Mark] = field(default_factory=list)
    became_ready: dict[int, bool] = field(default_factory=dict)  # by revision: whether a pod of it was ever Ready


def draw(recording: Recording, owner: str, title: str = "") -> Picture:
    """Draw which revision each pod of a StatefulSet had over time: a row for each name, a bar for each pod.

    A bar is filled while its pod is Ready and empty while it is not; the number in it is the revision's, counted in
    the order in which they first appeared. Marks of the recording stand above. Stretches of more than
    LONGEST_QUIET seconds without an event are cut out, so that time for reading does not show.

    >>> revisions.draw(recording, "statefulset/db", "A rolling update")
    """
    shown = chart(recording.moments, owner)
    figure = new_figure(9.5, 2.1 + 0.45 * max(1, len(shown.names)) + (0.5 if shown.marks else 0), title)
    ax = figure.subplots()
    draw_bars(ax, shown.bars)
    _draw_marks(ax, shown.marks, len(shown.names))
    for second, row in shown.gone:
        ax.plot([second, second], [row - 0.38, row + 0.38], color=VERMILION, linewidth=2, solid_capstyle="butt")
    for second, row, number in shown.numbers:
        ax.text(second, row, str(number), ha="center", va="center", fontsize=9, bbox=PAPER)
    name_rows(ax, dict(enumerate(shown.names)), len(shown.names))
    ax.set_xlim(0, shown.end)
    ax.set_xlabel("seconds, without the time in which nothing happened")
    legend_below(figure, _legend(shown.became_ready), columns=5)
    return Picture(figure, alt_text(recording.moments, owner, title))


def numbered(moments: Sequence[Moment], owner: str) -> list[tuple[int, Life]]:
    """The pods of that controller in the order of creation, each with the number of its revision.

    Revisions are numbered from 1 in the order in which they appear.
    """
    pods = [pod for pod in lives(moments, owner=owner) if pod.revision]
    numbers: dict[str, int] = {}
    return [(numbers.setdefault(pod.revision, len(numbers) + 1), pod) for pod in pods]


def chart(moments: Sequence[Moment], owner: str) -> Chart:
    """Rows, bars, numbers and marks of the figure."""
    pods = numbered(moments, owner)
    marks = [moment for moment in moments if moment.what == "mark"]
    times = sorted({time for _, pod in pods for time in _times(pod)} | {mark.seconds for mark in marks})
    at = without_pauses(times)
    end = 1 + (at(times[-1]) if times else 0.0)
    shown = Chart(sorted({pod.name for _, pod in pods}, reverse=True), end)
    for number, pod in pods:
        _add(shown, number, pod, at)
    place = -end
    for mark in marks:  # texts that would lie on one another move to the right
        place = max(at(mark.seconds), place + end / 32)
        shown.marks.append(Mark(at(mark.seconds), place, mark.name))
    return shown


def without_pauses(times: Iterable[float]) -> Callable[[float], float]:
    """A clock that runs as seconds do, but leaps over what is longer than LONGEST_QUIET between two of the times.

    It knows these times, in ascending order, and no others.
    """
    times = list(times)
    places = {times[0]: 0.0} if times else {}
    for before, after in pairwise(times):
        places[after] = places[before] + min(after - before, LONGEST_QUIET)
    return places.__getitem__


def alt_text(moments: Sequence[Moment], owner: str, title: str) -> str:
    """What the figure says, in words that do not change from run to run."""
    of_name: dict[str, list[str]] = {}
    for number, pod in numbered(moments, owner):
        of_name.setdefault(pod.name, []).append(str(number))
    in_order = "; ".join(f"{name}: {', '.join(of_name[name])}" for name in sorted(of_name, reverse=True))
    return (
        f"{title or 'Revisions'}. A row for each pod name, a bar for each pod with the number of its revision, "
        f"filled while it is Ready. Revisions in order of time, by name: {in_order}."
    )


def filled(number: int) -> Look:
    """How a Ready pod of that revision looks."""
    colour, hatch = _COLOURS[(number - 1) % len(_COLOURS)]
    return Look(colour, "white", hatch, width=0)


def empty(number: int, never_ready: bool) -> Look:
    """How a pod of that revision looks while it is not Ready; it has a hatch if it never was."""
    return Look("white", filled(number).face, _NEVER_READY if never_ready else "", width=1.2)


def _times(pod: Life) -> set[float]:
    ends = [time for stretch in pod.ready for time in (stretch.begin, stretch.end)]
    return {time for time in (pod.begin, pod.end, *ends) if time is not None}


def _add(shown: Chart, number: int, pod: Life, at: Callable[[float], float]) -> None:
    row, begin = shown.names.index(pod.name), at(pod.begin)
    stop = shown.end if pod.end is None else at(pod.end)
    ready = [(at(s.begin), shown.end if s.end is None else at(s.end)) for s in pod.ready]
    shown.bars.append(Bar(row, begin, stop, empty(number, not ready)))
    shown.bars += [Bar(row, since, until, filled(number)) for since, until in ready]
    longest = max(ready or [(begin, stop)], key=lambda stretch: stretch[1] - stretch[0])
    if longest[1] - longest[0] > shown.end / 60:  # else there is no room for a number
        shown.numbers.append((sum(longest) / 2, row, number))
    if pod.end is not None:
        shown.gone.append((stop, row))
    shown.became_ready[number] = shown.became_ready.get(number, False) or bool(ready)


def _draw_marks(ax: Axes, marks: Sequence[Mark], rows: int) -> None:
    """A dotted line for each mark, its text above."""
    for mark in marks:
        xs, ys = [mark.at, mark.at, mark.text_at], [rows - 0.45, -0.5, -0.75]
        ax.plot(xs, ys, color=BLACK, linewidth=0.8, linestyle=":", clip_on=False)
        ax.text(mark.text_at, -0.78, mark.text, fontsize=8, rotation=35, rotation_mode="anchor", va="bottom", ha="left")


def _legend(became_ready: dict[int, bool]) -> list[Artist]:
    entries: list[Artist] = []
    for number, ready in sorted(became_ready.items()):
        look = filled(number) if ready else empty(number, True)
        entries.append(look.patch(f"revision {number}" if ready else f"revision {number}, never Ready"))
    return [
        *entries,
        Look("white", GREY).patch("not Ready"),
        Line2D([], [], color=VERMILION, linewidth=2, label="gone"),
    ]
