"""Diagrams: boxes, arrows and labels on a page whose unit is the inch."""

from __future__ import annotations

import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from labsupport.figures.diagram import Arrow, Box, Diagram, Label
from labsupport.figures.drawing import BLUE, ORANGE, Look
from tests.labsupport.figures.readable import assert_clear, assert_readable, texts

ONE, TWO = Box(0.1, 0.1, 1, 0.5, "text", "title"), Box(2, 0.1, 1, 0.5, "two\nlines", "title", centred=False)


def page(**more: object) -> Diagram:
    return Diagram(3.2, 0.8, boxes=[ONE, TWO], arrows=[Arrow(ONE.right, TWO.left, BLUE)], **more)  # type: ignore[arg-type]


def test_the_sides_of_a_box_are_where_arrows_meet_it() -> None:
    assert (ONE.left, ONE.right) == ((0.1, 0.35), (1.1, 0.35))
    assert (ONE.top, ONE.bottom) == ((0.6, 0.1), (0.6, 0.6))


def test_an_inch_of_the_page_is_an_inch_of_the_figure() -> None:
    picture = page().picture("Two boxes.")
    assert picture.figure.get_size_inches().tolist() == pytest.approx([3.2, 0.8])
    (ax,) = picture.figure.axes
    left, below = ax.transData.transform(ONE.bottom) / picture.figure.dpi
    assert (left, below) == pytest.approx((0.6, 0.2))  # from the lower left corner


def test_title_and_legend_have_room_of_their_own() -> None:
    picture = page(title="A title", legend={"owner": Arrow((0, 0), (0, 0), ORANGE, "--")}).picture("Two boxes.")
    assert picture.figure.get_figheight() > 0.8 + 0.5
    assert {"A title", "owner", "text", "two\nlines"} < {text.get_text() for text in texts(picture.figure)}
    assert_readable(picture)


def test_all_of_it_is_drawn() -> None:
    (ax,) = page(labels=[Label((1.5, 0.7), "below", 1)]).picture("Two boxes.").figure.axes
    boxes = [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    arrows = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    assert [box.get_x() for box in boxes] == [0.1, 2]
    assert len(arrows) == 1
    assert "below" in {text.get_text() for text in ax.texts}


def test_a_text_does_not_leave_its_box() -> None:
    narrow = Box(0.1, 0.1, 1, 0.5, "a text that is far too long for its box", look=Look("white", BLUE))
    picture = Diagram(3, 0.7, boxes=[narrow]).picture("One box.")
    assert_readable(picture)
    (text,) = texts(picture.figure)
    extent = text.get_window_extent()
    assert extent.x0 / 110 > 0.1 and extent.x1 / 110 < 1.1


def test_what_covers_something_is_noticed() -> None:
    assert_clear(page())
    with pytest.raises(AssertionError):
        assert_clear(Diagram(3, 1, boxes=[ONE, Box(0.5, 0.3, 1, 0.5)]))
    with pytest.raises(AssertionError):
        assert_clear(Diagram(3, 1, boxes=[ONE], arrows=[Arrow((0.1, 0.1), (3, 1))]))
    with pytest.raises(AssertionError):
        assert_readable(Diagram(3, 1, labels=[Label((1, 0.5), "one", 1), Label((1, 0.5), "two", 1)]).picture("Two."))
    with pytest.raises(AssertionError):
        assert_readable(Diagram(3, 1, labels=[Label((2.9, 0.5), "cut off", 1)]).picture("One."))
