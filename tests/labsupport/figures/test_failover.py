"""The figure of a failover: writes by outcome over time, and the phases between the marks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from labsupport.figures import failover
from labsupport.figures.failover import BIN, Column
from labsupport.redis_cluster.writes import ACKNOWLEDGED, REFUSED, UNANSWERED, Write, Writes
from tests.labsupport.figures.readable import assert_readable

MARKS = [(0.25, "kill -9"), (1.0, "a voter misses it"), (1.05, "two agree"), (2.0, "a new primary is named")]


def writes(*outcomes: tuple[float, str]) -> list[Write]:
    return [Write(number, known, known, outcome) for number, (known, outcome) in enumerate(outcomes)]


LOAD = writes(
    (0.01, ACKNOWLEDGED), (0.05, ACKNOWLEDGED), (0.22, ACKNOWLEDGED), (0.26, UNANSWERED), (0.27, REFUSED),
    (1.5, REFUSED), (2.55, ACKNOWLEDGED),
)  # fmt: skip


def test_writes_are_counted_by_tenths_of_a_second() -> None:
    columns = failover.chart(LOAD, []).columns
    assert [column for column in columns if column.outcome == ACKNOWLEDGED] == [
        Column(0, 0, 2, ACKNOWLEDGED),
        Column(2 * BIN, 0, 1, ACKNOWLEDGED),
        Column(25 * BIN, 0, 1, ACKNOWLEDGED),
    ]


def test_outcomes_of_the_same_tenth_stand_on_one_another() -> None:
    columns = [column for column in failover.chart(LOAD, []).columns if column.begin == 2 * BIN]
    assert [(column.outcome, column.base, column.height) for column in columns] == [
        (ACKNOWLEDGED, 0, 1),
        (REFUSED, 1, 1),
        (UNANSWERED, 2, 1),
    ]


def test_a_phase_lasts_from_its_mark_to_the_next() -> None:
    chart = failover.chart(LOAD, list(reversed(MARKS)))
    assert [(phase.begin, phase.text) for phase in chart.phases] == [
        (0.25, "1 kill -9"),
        (1.0, "2 a voter misses it"),
        (1.05, "3 two agree"),
        (2.0, "4 a new primary is named"),
    ]
    assert [phase.end for phase in chart.phases] == [1.0, 1.05, 2.0, chart.end]


def test_a_text_stands_above_the_lines_of_all_later_phases_and_above_the_columns() -> None:
    chart = failover.chart(LOAD * 20, MARKS)
    levels = [phase.level for phase in chart.phases]
    assert levels == sorted(levels, reverse=True) and len(set(levels)) == len(levels)
    assert max(column.base + column.height for column in chart.columns) < levels[-1]
    assert levels[0] < chart.top


def test_the_axis_has_room_for_a_text_that_begins_late() -> None:
    chart = failover.chart(LOAD, [(2.5, "a new primary is named, at long last")])
    assert chart.end > 3
    assert failover.chart(LOAD, [(0.1, "early")]).end == pytest.approx(2.55 + BIN)


def load(outcomes: list[Write], marks: list[tuple[float, str]]) -> Writes:
    return cast(Writes, SimpleNamespace(outcomes=outcomes, marks=marks))


def test_the_alt_text_tells_the_marks_in_order_and_no_times() -> None:
    picture = failover.draw(load(LOAD, list(reversed(MARKS))), "One")
    assert picture.alt == (
        "One. Writes per 100 ms: acknowledged, then a gap in which they are refused or unanswered, "
        "then acknowledged again. Marked: kill -9, then a voter misses it, then two agree, "
        "then a new primary is named."
    )
    assert_readable(picture)


def test_texts_of_marks_at_the_end_are_readable() -> None:
    assert_readable(failover.draw(load(LOAD, [(2.4, "the pod is deleted"), (2.6, "a new primary is named")]), "Late"))


def test_a_load_without_writes_can_be_drawn() -> None:
    assert_readable(failover.draw(load([], [(0.0, "the pod is deleted")]), "Nothing"))
