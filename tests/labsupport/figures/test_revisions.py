"""The figure of updates: numbers for revisions, bars of readiness, and time without the pauses."""

from __future__ import annotations

from labsupport.cluster.recording import Moment
from labsupport.figures import revisions
from labsupport.figures.bars import Bar
from labsupport.figures.revisions import LONGEST_QUIET, empty, filled
from tests.labsupport.figures.readable import assert_readable
from tests.labsupport.figures.recorded import Happened, mark, pod, recording

DB = "statefulset/db"


def member(uid: str, name: str, revision: str, *happened: Happened, owner: str = DB) -> list[Moment]:
    return pod(name, uid, *happened, owner=owner, revision=revision)


UPDATE = recording(
    member("a", "db-0", "old", (0, "created"), (1, "ready"), (2, "terminating"), (3, "deleted")),
    member("b", "db-0", "new", (3, "created"), (4, "ready")),
    member("c", "db-1", "bad", (100, "created"), (101, "deleted")),
    mark(2, "a new image"),
    mark(2, "partition 0"),
)


def test_revisions_are_numbered_in_the_order_in_which_they_appear() -> None:
    moments = [
        *member("a", "db-0", "db-ffff", (0, "created")),
        *member("b", "db-1", "db-aaaa", (1, "created")),
        *member("c", "db-0", "db-ffff", (2, "created")),
    ]
    assert [(pod.name, number) for number, pod in revisions.numbered(moments, DB)] == [
        ("db-0", 1),
        ("db-1", 2),
        ("db-0", 1),
    ]


def test_pods_of_others_pods_without_a_revision_and_marks_are_left_out() -> None:
    moments = [
        *member("a", "web-0", "x", (0, "created"), owner="statefulset/web"),
        *member("b", "db-0", "", (0, "created")),
        *mark(1, "now"),
    ]
    assert revisions.numbered(moments, DB) == []


def test_quiet_time_is_cut_out() -> None:
    at = revisions.without_pauses([2.0, 3.0, 103.0, 103.5])
    assert [at(t) for t in (2.0, 3.0, 103.0, 103.5)] == [0.0, 1.0, 1 + LONGEST_QUIET, 1.5 + LONGEST_QUIET]


def test_a_bar_is_filled_from_ready_until_the_pod_is_asked_to_stop() -> None:
    chart = revisions.chart(UPDATE.moments, DB)
    assert chart.names == ["db-1", "db-0"]
    assert [bar for bar in chart.bars if bar.row == 1 and bar.begin < 3] == [
        Bar(1, 0, 3, empty(1, never_ready=False)),
        Bar(1, 1, 2, filled(1)),
    ]


def test_a_pod_that_still_runs_reaches_to_the_end() -> None:
    chart = revisions.chart(UPDATE.moments, DB)
    assert chart.end == 4 + LONGEST_QUIET + 1 + 1
    assert Bar(1, 4, chart.end, filled(2)) in chart.bars


def test_a_pod_that_was_never_ready_is_hatched_and_said_to_be() -> None:
    chart = revisions.chart(UPDATE.moments, DB)
    begin = 4 + LONGEST_QUIET
    assert [bar for bar in chart.bars if bar.row == 0] == [Bar(0, begin, begin + 1, empty(3, never_ready=True))]
    assert chart.became_ready == {1: True, 2: True, 3: False}


def test_a_number_stands_in_the_middle_of_the_longest_ready_stretch() -> None:
    chart = revisions.chart(UPDATE.moments, DB)
    assert chart.numbers == [(1.5, 1, 1), ((4 + chart.end) / 2, 1, 2), (4.5 + LONGEST_QUIET, 0, 3)]


def test_a_bar_that_is_too_narrow_has_no_number() -> None:
    long = [member(f"{n}", f"db-{n}", "x", (n, "created"), (n + 1, "ready")) for n in range(0, 30, 1)]
    short = member("s", "db-99", "y", (3, "created"), (3.01, "deleted"))
    chart = revisions.chart(recording(*long, short).moments, DB)
    assert {number for _, _, number in chart.numbers} == {1}


def test_ends_are_marked() -> None:
    assert revisions.chart(UPDATE.moments, DB).gone == [(3, 1), (5 + LONGEST_QUIET, 0)]


def test_texts_of_marks_at_the_same_moment_do_not_lie_on_one_another() -> None:
    chart = revisions.chart(UPDATE.moments, DB)
    first, second = chart.marks
    assert (first.at, second.at, first.text_at) == (2, 2, 2)
    assert second.text_at - first.text_at >= chart.end / 32


def test_the_alt_text_tells_the_revisions_by_name_and_no_times() -> None:
    moments = [
        *member("a", "db-0", "old", (0.123, "created"), (9.876, "deleted")),
        *member("b", "db-0", "new", (9.9, "created")),
    ]
    assert revisions.alt_text(moments, DB, "Update") == (
        "Update. A row for each pod name, a bar for each pod with the number of its revision, "
        "filled while it is Ready. Revisions in order of time, by name: db-0: 1, 2."
    )


def test_it_can_be_drawn() -> None:
    assert_readable(revisions.draw(UPDATE, DB, "An update"))
    assert_readable(revisions.draw(recording(member("a", "db-0", "x", (0, "created"))), DB))
