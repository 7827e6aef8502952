"""Lanes: one panel above the other over the same seconds, with the lives of pods as bars in rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from labsupport.cluster.recording import Moment
from labsupport.figures.bars import Bar, draw_bars, name_rows
from labsupport.figures.drawing import BLACK, BLUE, GREY, ORANGE, VERMILION, Look, legend_below, new_figure
from labsupport.figures.lives import READY, STARTING, TERMINATING, Life

LOOKS = {
    STARTING: Look("white", GREY, "////"),
    READY: Look(BLUE, BLUE),
    TERMINATING: Look("white", ORANGE, "...."),
}
_NARROWEST = 1 / 400  # of the lane: what is shorter is drawn so wide, to be seen


@dataclass
class Lane:
    """One panel: a heading, the names of its rows by where they stand, and what is drawn in the rows."""

    heading: str
    rows: int = 0
    names: dict[float, str] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    pods_gone: list[tuple[float, float]] = field(default_factory=list)  # (second, row)
    claims_gone: list[Bar] = field(default_factory=list)  # the bars that end with their claim

    def add(self, life: Life, row: float, end: float, height: float = 0.62) -> None:
        """Put the life of a pod into a row, up to the second `end` if it still lives."""
        for stretch in life.stretches:
            stop = end if stretch.end is None else stretch.end
            stop = max(stop, stretch.begin + end * _NARROWEST)
            self.bars.append(Bar(row, stretch.begin, stop, LOOKS[stretch.state], height))
        if life.end is not None:
            self.pods_gone.append((life.end, row))


def last_second(moments: Iterable[Moment]) -> float:
    """Where the axis of a recording ends: a little behind its last moment."""
    return max((moment.seconds for moment in moments), default=1.0) * 1.03


def draw_lanes(lanes: Sequence[Lane], end: float, title: str, row_height: float, legend: Sequence[Artist]) -> Figure:
    """A figure of the lanes, from 0 to `end` seconds; a row takes `row_height` inches."""
    heights = [max(1, lane.rows) for lane in lanes]
    figure = new_figure(8.5, 1.35 + row_height * sum(heights) + 0.32 * len(lanes), title)
    panels = figure.subplots(len(lanes), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for ax, lane, rows in zip(panels, lanes, heights, strict=True):
        _draw_lane(ax, lane, rows, end)
    panels[-1].set_xlabel("seconds since the recording began")
    legend_below(figure, legend)
    return figure


def legend_of_pods(word: str = "") -> list[Artist]:
    """What the bars of a pod's life mean, each text after `word`."""
    cross = Line2D([], [], color=VERMILION, marker="x", markeredgewidth=2, linestyle="none", label=f"{word}gone")
    return [*(look.patch(f"{word}{state}") for state, look in LOOKS.items()), cross]


def _draw_lane(ax: Axes, lane: Lane, rows: int, end: float) -> None:
    draw_bars(ax, lane.bars)
    for bar in lane.claims_gone:
        ax.vlines(bar.end, bar.row - bar.height / 2, bar.row + bar.height / 2, color=BLACK, linewidth=4)
    for second, row in lane.pods_gone:
        ax.plot(second, row, marker="x", color=VERMILION, markersize=7, markeredgewidth=2)
    name_rows(ax, lane.names, rows)
    ax.set_xlim(0, end)
    ax.set_title(lane.heading, loc="left", fontsize=10, fontweight="bold")
    ax.set_axisbelow(True)
    ax.grid(axis="x", alpha=0.3)
