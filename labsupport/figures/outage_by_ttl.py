"""How long clients are without their service when its address changes, against the TTL of its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from matplotlib.lines import Line2D

from labsupport.figures.drawing import BLUE, ORANGE, VERMILION, Picture, keep_spines, legend_below, new_figure


@dataclass(frozen=True)
class Column:
    """The clients of one TTL: the outage of each, their mean, and the longest that can be; all in seconds."""

    ttl: int
    outages: tuple[float, ...]
    mean: float
    bound: float


def draw(outages: Mapping[int, Sequence[float]], interval: float) -> Picture:
    """The outage of each client against the TTL, both in seconds, with the bound of TTL plus test interval.

    >>> outage_by_ttl.draw({5: [1.0, 4.5], 60: [3.0, 58.0]}, interval=2)
    """
    columns = columns_of(outages, interval)
    figure = new_figure(7.5, 3.6)
    ax = figure.subplots()
    for place, column in enumerate(columns):
        ax.plot([place] * len(column.outages), column.outages, "o", color=BLUE, alpha=0.35, markersize=5)
        ax.plot([place - 0.25, place + 0.25], [column.mean] * 2, color=ORANGE, linewidth=3)
        ax.plot([place - 0.3, place + 0.3], [column.bound] * 2, color=VERMILION, linewidth=1.6, linestyle="--")
    ax.set_xticks(range(len(columns)), [str(column.ttl) for column in columns])
    ax.set_xlabel("TTL in seconds")
    ax.set_ylabel("outage in seconds")
    ax.set_ylim(bottom=0)
    keep_spines(ax, "left", "bottom")
    legend_below(
        figure,
        [
            Line2D([], [], color=BLUE, marker="o", linestyle="none", label="one client"),
            Line2D([], [], color=ORANGE, linewidth=3, label="mean"),
            Line2D([], [], color=VERMILION, linewidth=1.6, linestyle="--", label="TTL + test interval"),
        ],
    )
    return Picture(figure, alt_text(columns))


def columns_of(outages: Mapping[int, Sequence[float]], interval: float) -> list[Column]:
    """A column for each TTL. A client notices the change when its record is too old and its next test fails."""
    return [Column(ttl, tuple(seconds), mean(seconds), ttl + interval) for ttl, seconds in outages.items()]


def alt_text(columns: Sequence[Column]) -> str:
    """The longest and the mean outages in words."""
    by_ttl = "; ".join(f"TTL {c.ttl}: at most {max(c.outages):.0f}, on average {c.mean:.0f}" for c in columns)
    return f"Outage of simulated clients against the TTL, in seconds. {by_ttl}."
