"""Bars in named rows over an axis of seconds, slots or counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes

from labsupport.figures.drawing import Look, keep_spines


@dataclass(frozen=True)
class Bar:
    """A bar in a row, counted from 0 at the top, from one value of the axis to another."""

    row: float
    begin: float
    end: float
    look: Look
    height: float = 0.62  # of the row's


def draw_bars(ax: Axes, bars: Iterable[Bar]) -> None:
    """Draw them in their order: a later one covers an earlier one."""
    for bar in bars:
        ax.barh(
            bar.row,
            bar.end - bar.begin,
            left=bar.begin,
            height=bar.height,
            facecolor=bar.look.face,
            edgecolor=bar.look.edge,
            hatch=bar.look.hatch,
            linewidth=bar.look.width,
            linestyle=bar.look.line,
        )


def name_rows(ax: Axes, names: Mapping[float, str], rows: int) -> None:
    """Write at the left the names by the row in which they stand, the first row at the top."""
    ax.set_yticks(list(names), list(names.values()), fontsize=9)
    ax.set_ylim(rows - 0.45, -0.55)
    ax.tick_params(axis="y", length=0)
    keep_spines(ax, "bottom")
