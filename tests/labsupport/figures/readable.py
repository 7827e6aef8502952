"""What holds of every figure: it can be drawn and read, has an alt text, and nothing on it covers anything else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from labsupport.figures.diagram import Box, Diagram
from labsupport.figures.drawing import Picture


def assert_readable(picture: Picture) -> None:
    """It can be drawn, says something to those who cannot see it, and its texts are whole and apart."""
    assert picture.png().startswith(b"\x89PNG")
    assert picture.alt.endswith(".")
    figure = picture.figure
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = {text: text.get_window_extent(renderer) for text in texts(figure)}
    assert boxes
    for text, box in boxes.items():
        inside = figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert inside and figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, f"{text} is cut off"
    for (one, box), (other, its_box) in itertools.combinations(boxes.items(), 2):
        assert not box.overlaps(its_box), f"{one} covers {other}"


def texts(figure: Figure) -> list[Text]:
    """The horizontal and vertical texts of a figure that are shown."""
    hidden = {text for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for text in _hidden(axis, ax.axison)}
    return [
        text
        for text in figure.findobj(Text)
        if isinstance(text, Text) and text.get_text().strip() and text not in hidden and text.get_rotation() % 90 == 0
    ]


def _hidden(axis: Axis, shown: bool) -> Iterator[Text]:
    """The texts of an axis that are not drawn: all of a hidden one's, and the labels of ticks beyond its ends."""
    low, high = sorted(axis.get_view_interval())
    for tick in axis.get_major_ticks():
        yield tick.label2
        if not (shown and low <= tick.get_loc() <= high and tick.label1.get_visible()):
            yield tick.label1
    if not shown:
        yield from (axis.label, axis.offsetText)


def assert_clear(diagram: Diagram) -> None:
    """Everything is on the page, boxes are apart or within one another, and no arrow crosses a box."""
    for box in diagram.boxes:
        assert box.x >= 0 and box.x + box.width <= diagram.width, box
        assert box.y >= 0 and box.y + box.height <= diagram.height, box
    for one, other in itertools.combinations(diagram.boxes, 2):
        assert _apart(one, other) or _within(one, other) or _within(other, one), (one, other)
    filled = [box for box in diagram.boxes if not any(_within(other, box) for other in diagram.boxes if other != box)]
    for arrow, box in itertools.product(diagram.arrows, filled):
        (x, y), (to_x, to_y) = arrow.begin, arrow.end
        points = [(x + (to_x - x) * step / 100, y + (to_y - y) * step / 100) for step in range(1, 100)]
        assert not any(_inside(box, *point) for point in points), (arrow, box)


def _apart(one: Box, other: Box) -> bool:
    beside = one.x + one.width < other.x or other.x + other.width < one.x
    return beside or one.y + one.height < other.y or other.y + other.height < one.y


def _within(inner: Box, outer: Box) -> bool:
    corners = ((inner.x, inner.y), (inner.x + inner.width, inner.y + inner.height))
    return all(_inside(outer, *corner) for corner in corners)


def _inside(box: Box, x: float, y: float) -> bool:
    slack = 1e-6  # a point on the frame is outside
    return box.x + slack < x < box.x + box.width - slack and box.y + slack < y < box.y + box.height - slack
