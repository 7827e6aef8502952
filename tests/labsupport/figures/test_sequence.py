"""The figure of a conversation with redirects."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg

from labsupport.figures.sequence import Exchange, sequence

TALK = [
    Exchange("redis-0", "GET {basket}:0", "MOVED 7978 redis-1:6379"),
    Exchange("redis-1", "GET {basket}:0", "ASK 7978 redis-2:6379"),
    Exchange("redis-2", "ASKING", "OK"),
    Exchange("redis-2", "GET {basket}:0", "a value"),
]
MEMBERS = ["redis-0", "redis-1", "redis-2"]


def test_the_alt_text_tells_the_conversation_in_order() -> None:
    alt = sequence(TALK, MEMBERS, "Two redirects").alt
    assert alt.startswith("Two redirects. In this order: redis-0 is asked GET {basket}:0 and answers MOVED 7978")
    assert alt.index("ASK 7978") < alt.index("ASKING") < alt.index("a value")


def test_no_text_covers_another() -> None:
    figure = sequence(TALK, MEMBERS, "Two redirects").figure
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])
