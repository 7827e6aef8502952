"""Bars in named rows."""

from __future__ import annotations

import pytest

from labsupport.figures.bars import Bar, draw_bars, name_rows
from labsupport.figures.drawing import BLUE, ORANGE, Look, new_figure


def test_a_bar_reaches_from_its_begin_to_its_end_in_its_row() -> None:
    ax = new_figure(3, 2).subplots()
    draw_bars(ax, [Bar(1, 2.0, 5.0, Look("white", ORANGE, "////"), height=0.5)])
    (drawn,) = ax.patches
    assert (drawn.get_x(), drawn.get_width()) == (2.0, 3.0)
    assert (drawn.get_y(), drawn.get_height()) == pytest.approx((0.75, 0.5))
    assert drawn.get_hatch() == "////"


def test_later_bars_lie_on_earlier_ones() -> None:
    ax = new_figure(3, 2).subplots()
    draw_bars(ax, [Bar(0, 0, 9, Look("white", BLUE)), Bar(0, 1, 2, Look(BLUE, BLUE))])
    assert [patch.get_width() for patch in ax.patches] == [9, 1]
    assert len({patch.get_zorder() for patch in ax.patches}) == 1


def test_the_first_row_is_at_the_top_and_only_the_axis_is_framed() -> None:
    ax = new_figure(3, 2).subplots()
    name_rows(ax, {0: "first", 1.5: "between"}, 3)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["first", "between"]
    low, high = ax.get_ylim()
    assert low > 2 and high < 0
    assert [side for side, spine in ax.spines.items() if spine.get_visible()] == ["bottom"]
