"""Measured delays: a dot for each measurement, a line at the median, a row for each way to a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from labsupport.figures.bars import name_rows
from labsupport.figures.drawing import BLUE, ORANGE, Picture, legend_below, new_figure

Ways = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Row:
    """The measurements of one way, and their median, in milliseconds."""

    name: str
    dots: tuple[float, ...]
    median: float


@dataclass(frozen=True)
class Panel:
    """Rows that share an axis, which ends at `end` milliseconds; what lies beyond is not drawn."""

    heading: str
    rows: tuple[Row, ...]
    end: float


def draw(groups: Mapping[str, Ways], title: str) -> Picture:
    """Draw milliseconds by way, a panel for each group of ways that were measured alike.

    The axis of a panel ends behind its longest 95th percentile; what lies beyond is not drawn.

    >>> latency.draw({"from a pod": {"the pod itself": [0.1, 0.2], "a proxy": [0.3, 0.4]}}, "a GET by way")
    """
    panels = [panel(heading, ways, cut_off=True) for heading, ways in groups.items()]
    figure = _figure(panels, title, 8.6, "milliseconds for a GET and its answer", "one measurement")
    medians = [f"{p.heading}, {row.name}: median {row.median:.2f} ms" for p in panels for row in p.rows]
    return Picture(figure, f"{title}. {'; '.join(medians)}.")


def draw_pods(milliseconds: Sequence[float], title: str) -> Picture:
    """Draw one delay of each pod, all of them on one axis, in milliseconds.

    >>> latency.draw_pods([3.1, 2.9, 4.0], "from Ready to the first answer")
    """
    figure = _figure([panel("", {"": milliseconds})], title, 7.5, "milliseconds", "one pod")
    # Without the median: the text is to be the same in every run.
    return Picture(figure, f"{title}: a dot for each of {len(milliseconds)} pods on an axis of milliseconds.")


def panel(heading: str, ways: Ways, cut_off: bool = False) -> Panel:
    """The rows of a panel. Its axis ends 15 percent behind the longest delay; cut off, behind the 95th percentile."""
    rows = tuple(Row(name, tuple(delays), median(delays)) for name, delays in ways.items())
    longest = max(quantiles(row.dots, n=20)[-1] if cut_off else max(row.dots) for row in rows)
    return Panel(heading, rows, 1.15 * longest)


def _figure(panels: Sequence[Panel], title: str, width: float, unit: str, dot: str) -> Figure:
    figure = new_figure(width, 1.25 + sum(0.5 + 0.42 * len(panel.rows) for panel in panels), title)
    heights = [1 + len(panel.rows) for panel in panels]
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, shown in zip(axes, panels, strict=True):
        _draw_panel(ax, shown)
    axes[-1].set_xlabel(unit)
    legend = [
        Line2D([], [], color=BLUE, alpha=0.4, marker="o", linestyle="none", label=dot),
        Line2D([], [], color=ORANGE, marker="|", markersize=12, markeredgewidth=3, linestyle="none", label="median"),
    ]
    legend_below(figure, legend)
    return figure


def _draw_panel(ax: Axes, shown: Panel) -> None:
    for place, row in enumerate(shown.rows):
        spread = [place + 0.16 * ((number % 5) - 2) / 2 for number in range(len(row.dots))]
        ax.plot(row.dots, spread, "o", color=BLUE, alpha=0.3 if len(row.dots) > 50 else 0.6, markersize=4)
        ax.plot([row.median] * 2, [place - 0.36, place + 0.36], color=ORANGE, linewidth=3)
        ax.text(shown.end * 1.01, place, f"median {row.median:.2f} ms", va="center", fontsize=9)
    name_rows(ax, {place: row.name for place, row in enumerate(shown.rows)}, len(shown.rows))
    ax.set_xlim(0, shown.end)
    if shown.heading:
        ax.set_title(shown.heading, fontsize=9.5, loc="left")
    ax.set_axisbelow(True)
    ax.grid(axis="x", alpha=0.3)
