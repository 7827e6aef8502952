"""The figure of a conversation: a lifeline for the client and each member, an arrow for each question and answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from labsupport.figures.drawing import BLACK, BLUE, GREEN, GREY, VERMILION, Picture, new_figure

_LOOKS = {"MOVED": (VERMILION, "--"), "ASK": (VERMILION, ":")}  # of an answer that is a redirect; others are plain
_CLIENT = "client"


class Exchange(NamedTuple):
    """What a client said to a member, and what that answered."""

    member: str
    question: str
    answer: str


def sequence(exchanges: Sequence[Exchange], members: Sequence[str], title: str = "") -> Picture:
    """Draw a conversation from top to bottom; redirects are dashed and dotted.

    >>> sequence([Exchange("redis-0", "GET colour", "MOVED 9502 redis-1:6379")], ["redis-0", "redis-1"])
    """
    places = {name: place for place, name in enumerate([_CLIENT, *members])}
    figure = new_figure(9.2, 1.1 + 0.72 * len(exchanges))
    ax = figure.subplots()
    for name, place in places.items():
        ax.plot([place, place], [0.15, 2 * len(exchanges) + 0.4], color=GREY, linewidth=1.2)
        ax.text(place, 0, name, ha="center", va="bottom", fontweight="bold", fontsize=10)
    for row, exchange in enumerate(exchanges):
        there, kind = places[exchange.member], exchange.answer.partition(" ")[0]
        colour, style = _LOOKS.get(kind, (GREEN, "-"))
        _arrow(ax, 0, there, 2 * row + 0.9, exchange.question, BLUE, "-")
        _arrow(ax, there, 0, 2 * row + 1.7, exchange.answer, colour, style)
    ax.set_xlim(-0.35, len(members) + 0.35)
    ax.set_ylim(2 * len(exchanges) + 0.5, -0.5)
    ax.axis("off")
    if title:
        ax.set_title(title, fontsize=11)
    told = "; ".join(f"{e.member} is asked {e.question} and answers {e.answer}" for e in exchanges)
    return Picture(figure, f"{title or 'A conversation'}. In this order: {told}.")


def _arrow(ax: Axes, start: int, end: int, y: float, text: str, colour: str, style: str) -> None:
    """An arrow between two lifelines with its text above, on the stretch beside the client that nothing crosses."""
    look = {"arrowstyle": "-|>", "color": colour, "linestyle": style, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=(end, y), xytext=(start, y), arrowprops=look)
    ax.text(0.06, y - 0.08, text, va="bottom", fontsize=9, color=BLACK)
