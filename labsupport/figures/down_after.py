"""How long nobody takes writes, against down-after-milliseconds: how long the voters wait for a silent primary."""

from __future__ import annotations

from collections.abc import Sequence

from labsupport.figures.drawing import BLUE, GREY, Picture, keep_spines, legend_below, new_figure

TITLE = "Patience and outage"


def draw(points: Sequence[tuple[float, float]], title: str = TITLE) -> Picture:
    """Draw points of (down-after-milliseconds, outage in seconds), and a line where the outage is the waiting alone.

    >>> down_after.draw([(500, 1.7), (1000, 2.3), (3000, 4.1)])
    """
    settings, outages = in_seconds(points)
    figure = new_figure(6.5, 3.6, title)
    ax = figure.subplots()
    measured = ax.plot(settings, outages, color=BLUE, marker="o", linewidth=2, label="time without a primary")
    waiting = ax.plot(
        [0, *settings], [0, *settings], color=GREY, linestyle="--", label="down-after-milliseconds itself"
    )
    ax.set_xlim(0, settings[-1] * 1.08)
    ax.set_ylim(0, max(*outages, *settings) * 1.15)
    ax.set_xlabel("down-after-milliseconds, in seconds")
    ax.set_ylabel("seconds without a primary")
    ax.grid(alpha=0.3)
    keep_spines(ax, "left", "bottom")
    legend_below(figure, [*measured, *waiting])
    return Picture(figure, alt_text(points, title))


def in_seconds(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The settings in ascending order, and the outages, both in seconds.

    >>> in_seconds([(1000, 2.3), (500, 1.7)])
    ([0.5, 1.0], [1.7, 2.3])
    """
    ordered = sorted(points)
    return [milliseconds / 1000 for milliseconds, _ in ordered], [outage for _, outage in ordered]


def alt_text(points: Sequence[tuple[float, float]], title: str = TITLE) -> str:
    """What the figure says, in words that do not change with the times."""
    return (
        f"{title}. A curve of {len(points)} points: the longer the voters wait, the longer nobody takes writes. "
        "A dashed line shows the waiting alone."
    )
