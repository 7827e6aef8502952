"""Redirects per 1,000 commands, by kind of client."""

from __future__ import annotations

from collections.abc import Mapping

from labsupport.figures.bars import Bar, draw_bars, name_rows
from labsupport.figures.drawing import BLACK, BLUE, Look, Picture, keep_spines, new_figure

TITLE = "Redirects per 1,000 commands"
_LOOK = Look(BLUE, BLACK, width=0.6)


def draw(counted: Mapping[str, int], title: str = "") -> Picture:
    """Bars of the redirects per 1,000 commands, a bar for each kind of client.

    >>> redirect_bars.draw({"no map": 667, "whole map": 1})
    """
    figure = new_figure(7.5, 1.2 + 0.55 * len(counted), title)
    ax = figure.subplots()
    bars = bars_of(counted)
    draw_bars(ax, bars)
    for bar in bars:
        ax.text(bar.end + 12, bar.row, f"{bar.end:.0f}", va="center", fontsize=9)
    name_rows(ax, dict(enumerate(counted)), len(counted))
    keep_spines(ax, "bottom", "left")
    ax.set_xlim(0, 1070)  # a bar of 1,000 has room for its number
    ax.set_xlabel("redirects per 1,000 commands")
    return Picture(figure, alt_text(counted, title))


def bars_of(counted: Mapping[str, int]) -> list[Bar]:
    """A bar for each client from 0 to its redirects."""
    return [Bar(row, 0, redirects, _LOOK, 0.6) for row, redirects in enumerate(counted.values())]


def alt_text(counted: Mapping[str, int], title: str = "") -> str:
    """The counts in words."""
    counts = ", ".join(f"{client}: {redirects}" for client, redirects in counted.items())
    return f"{title or TITLE}. {counts}."
