"""A distribution of delays: a dot for each measurement, and the median."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from labsupport.figures.drawing import BLUE, ORANGE, Picture, new_figure


def delays(milliseconds: Sequence[float], title: str) -> Picture:
    """Draw measured delays on one axis, in milliseconds.

    >>> delays([3.1, 2.9, 4.0], "from Ready to the first answer")
    """
    figure = new_figure(7.5, 1.9)
    ax = figure.subplots()
    spread = [0.12 * (-1) ** n * (n % 3) for n in range(len(milliseconds))]
    ax.plot(list(milliseconds), spread, "o", color=BLUE, alpha=0.6, label="one pod")
    ax.axvline(median(milliseconds), color=ORANGE, linewidth=2.5, linestyle="--", label="median")
    ax.set_xlim(0, max(milliseconds) * 1.15 + 1)
    ax.set_ylim(-0.6, 0.6)
    ax.set_yticks([])
    ax.set_xlabel("milliseconds")
    ax.set_title(title, fontsize=10)
    ax.legend(frameon=False, loc="upper right", ncols=2)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return Picture(figure, f"{title}: a dot for each of {len(milliseconds)} pods on an axis of milliseconds.")
