"""The figure of a conversation: a lifeline for the client and each member, an arrow for each question and answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from labsupport.figures.diagram import Arrow, Diagram, Label
from labsupport.figures.drawing import BLUE, GREEN, GREY, VERMILION, Line, Picture

_REDIRECTS: dict[str, Line] = {"MOVED": "--", "ASK": ":"}
_CLIENT = "client"
_WIDTH, _SIDE, _HEAD, _STEP = 9.2, 0.8, 0.3, 0.72  # inches: page, beside the outer lifelines, head line, an exchange


class Exchange(NamedTuple):
    """What a client said to a member, and what that answered."""

    member: str
    question: str
    answer: str


def draw(exchanges: Sequence[Exchange], members: Sequence[str], title: str = "") -> Picture:
    """Draw a conversation from top to bottom; redirects are dashed and dotted.

    >>> talk = [sequence.Exchange("redis-0", "GET colour", "MOVED 9502 redis-1:6379")]
    >>> sequence.draw(talk, ["redis-0", "redis-1"])
    """
    return diagram(exchanges, members, title).picture(alt_text(exchanges, title))


def diagram(exchanges: Sequence[Exchange], members: Sequence[str], title: str = "") -> Diagram:
    """Lifelines, and for each exchange an arrow there and one back.

    A text is above its arrow, beside the client: on that stretch no lifeline crosses it.
    """
    page = Diagram(_WIDTH, _HEAD + _STEP * len(exchanges) + 0.2, title)
    apart = (_WIDTH - 2 * _SIDE) / len(members)
    places = {name: _SIDE + apart * number for number, name in enumerate((_CLIENT, *members))}
    for name, x in places.items():
        page.labels.append(Label((x, _HEAD / 2), name, apart - 0.1, "center", bold=True, size=10))
        page.arrows.append(Arrow((x, _HEAD), (x, page.height - 0.05), GREY, width=1.2, head=False))
    client = places[_CLIENT]
    for row, exchange in enumerate(exchanges):
        member, y = places[exchange.member], _HEAD + 0.32 + _STEP * row
        line = _REDIRECTS.get(exchange.answer.partition(" ")[0])
        colour = VERMILION if line else GREEN
        page.arrows.append(Arrow((client, y), (member, y), BLUE))
        page.arrows.append(Arrow((member, y + 0.3), (client, y + 0.3), colour, line or "-"))
        for text, height in ((exchange.question, y), (exchange.answer, y + 0.3)):
            page.labels.append(Label((client + 0.14, height - 0.1), text, apart - 0.28))
    return page


def alt_text(exchanges: Sequence[Exchange], title: str = "") -> str:
    """The conversation in words."""
    spoken = "; ".join(f"{e.member} is asked {e.question} and answers {e.answer}" for e in exchanges)
    return f"{title or 'A conversation'}. In this order: {spoken}."
