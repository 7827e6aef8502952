"""Lanes: panels over the same seconds, with lives as bars."""

from __future__ import annotations

from labsupport.figures.bars import Bar
from labsupport.figures.drawing import Picture
from labsupport.figures.lanes import LOOKS, Lane, draw_lanes, last_second, legend_of_pods
from labsupport.figures.lives import READY, STARTING, TERMINATING, Life, Stretch
from tests.labsupport.figures.readable import assert_readable
from tests.labsupport.figures.recorded import mark


def test_a_life_is_a_bar_for_each_state_and_a_cross_at_its_end() -> None:
    lane = Lane("members")
    lane.add(Life("db-0", 0, 6, (Stretch(STARTING, 0, 1), Stretch(READY, 1, 4), Stretch(TERMINATING, 4, 6))), 2, 10)
    assert lane.bars == [
        Bar(2, 0, 1, LOOKS[STARTING]),
        Bar(2, 1, 4, LOOKS[READY]),
        Bar(2, 4, 6, LOOKS[TERMINATING]),
    ]
    assert lane.pods_gone == [(6, 2)]


def test_a_pod_that_still_runs_reaches_to_the_end_of_the_axis() -> None:
    lane = Lane("members")
    lane.add(Life("db-0", 1, None, (Stretch(READY, 1, None),)), 0, 10)
    assert [(bar.begin, bar.end) for bar in lane.bars] == [(1, 10)]
    assert lane.pods_gone == []


def test_a_state_of_a_millisecond_can_be_seen() -> None:
    lane = Lane("members")
    lane.add(Life("db-0", 1, 1.001, (Stretch(STARTING, 1, 1.001),)), 0, 10)
    (bar,) = lane.bars
    assert bar.end - bar.begin >= 10 / 500


def test_the_axis_ends_behind_the_last_moment() -> None:
    assert last_second(mark(10, "now")) > 10
    assert last_second([]) > 0


def test_each_lane_is_a_panel_with_its_rows() -> None:
    lanes = [Lane("one", 2, {0: "a", 1: "b"}), Lane("none")]
    figure = draw_lanes(lanes, 10, "A title", 0.3, legend_of_pods("pod "))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["one", "none"]
    assert [ax.get_xlim() for ax in figure.axes] == [(0, 10), (0, 10)]
    assert_readable(Picture(figure, "Two lanes."))


def test_the_legend_says_what_the_bars_mean() -> None:
    assert [entry.get_label() for entry in legend_of_pods()] == ["starting", "Ready", "terminating", "gone"]
    assert legend_of_pods("pod ")[0].get_label() == "pod starting"
