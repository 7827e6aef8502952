"""The figure of updates: numbers for revisions, stretches of readiness, and time without the pauses."""

from __future__ import annotations

from labsupport.cluster.recording import Moment
from labsupport.figures.revisions import LONGEST_QUIET, Life, _alt, _squeezed, lives

DB = "statefulset/db"


def moments(uid: str, name: str, revision: str, *happened: tuple[float, str], owner: str = DB) -> list[Moment]:
    return [Moment(seconds, what, "Pod", name, uid, owner, revision) for seconds, what in happened]


def test_revisions_are_numbered_in_the_order_in_which_they_appear() -> None:
    told = [
        *moments("a", "db-0", "db-ffff", (0, "created")),
        *moments("b", "db-1", "db-aaaa", (1, "created")),
        *moments("c", "db-0", "db-ffff", (2, "created")),
    ]
    assert [(life.name, life.revision) for life in lives(told, DB)] == [("db-0", 1), ("db-1", 2), ("db-0", 1)]


def test_a_pod_is_ready_until_it_is_asked_to_stop() -> None:
    told = moments("a", "db-0", "x", (0, "created"), (1, "ready"), (4, "terminating"), (5, "unready"), (6, "deleted"))
    assert lives(told, DB) == [Life("db-0", 1, 0, 6, ((1, 4),))]


def test_a_pod_that_still_runs_has_no_end() -> None:
    told = moments("a", "db-0", "x", (0, "created"), (1, "ready"), (2, "unready"), (3, "ready"))
    assert lives(told, DB) == [Life("db-0", 1, 0, None, ((1, 2), (3, None)))]


def test_a_pod_that_was_never_ready_has_no_ready_stretch() -> None:
    assert lives(moments("a", "db-0", "x", (0, "created"), (2, "deleted")), DB) == [Life("db-0", 1, 0, 2, ())]


def test_pods_of_others_and_marks_are_left_out() -> None:
    told = [*moments("a", "web-0", "x", (0, "created"), owner="statefulset/web"), Moment(1, "mark", "", "now", "", "")]
    assert lives(told, DB) == []


def test_quiet_time_is_cut_out() -> None:
    at = _squeezed([2.0, 3.0, 103.0, 103.5])
    assert [at(t) for t in (2.0, 3.0, 103.0, 103.5)] == [0.0, 1.0, 1 + LONGEST_QUIET, 1.5 + LONGEST_QUIET]


def test_the_alt_text_tells_the_revisions_by_name_and_no_times() -> None:
    told = [
        *moments("a", "db-0", "old", (0.123, "created"), (9.876, "deleted")),
        *moments("b", "db-0", "new", (9.9, "created")),
    ]
    assert _alt("Update", lives(told, DB), ["db-0"]).endswith("by name: db-0: 1, 2.")
