"""The timeline of pods, from made-up recordings."""

from __future__ import annotations

from labsupport.figures import timeline
from tests.labsupport.figures.readable import assert_readable
from tests.labsupport.figures.recorded import pod, recording

RS, STS = "replicaset/web", "statefulset/db"
KILLED = recording(
    pod("web-x", "x", (0, "created"), (1, "ready"), (3, "terminating"), (4, "deleted"), owner=RS),
    pod("web-y", "y", (3, "created"), (4, "ready"), owner=RS),
    pod("db-0", "a", (0, "created"), (1, "ready"), (3, "terminating"), (4, "deleted"), owner=STS),
    pod("db-0", "b", (4, "created"), (5, "ready"), owner=STS),
    pod("db-1", "c", (1, "created"), (10, "ready"), owner=STS),
)


def test_a_successor_with_the_same_name_stands_in_the_same_row() -> None:
    lane = timeline.lane_of(KILLED.moments, "members", STS)
    assert (lane.rows, lane.names) == (2, {0: "db-0", 1: "db-1"})
    assert [(bar.begin, bar.end) for bar in lane.bars if bar.row == 0] == [(0, 1), (1, 3), (3, 4), (4, 5), (5, 10.3)]
    assert lane.pods_gone == [(4, 0)]


def test_a_successor_with_another_name_has_a_row_of_its_own() -> None:
    lane = timeline.lane_of(KILLED.moments, "copies", RS)
    assert lane.names == {0: "web-x", 1: "web-y"}


def test_the_alt_text_counts_and_names_no_pod() -> None:
    picture = timeline.draw(KILLED, {"copies": RS, "members": STS}, "One is killed")
    assert picture.alt == (
        "One is killed. A row for each name, a bar for each pod from creation over Ready to its end. "
        "copies: 2 names, 2 pods; members: 2 names, 3 pods."
    )
    assert_readable(picture)


def test_a_lane_without_pods_is_drawn_empty() -> None:
    picture = timeline.draw(recording(), {"nothing": STS})
    assert picture.alt.endswith("nothing: 0 names, 0 pods.")
    assert_readable(picture)
