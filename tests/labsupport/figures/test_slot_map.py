"""The map of the hash slots."""

from __future__ import annotations

from labsupport.figures import slot_map
from labsupport.redis_cluster.slots import SLOTS
from tests.labsupport.figures.readable import assert_readable

BEFORE = {slot: "redis-0" if slot < 8000 else "redis-1" for slot in range(SLOTS)}
AFTER = BEFORE | {7978: "redis-1"}
MAPS = {"before": BEFORE, "after": AFTER}


def test_slots_that_follow_one_another_with_one_owner_are_a_run() -> None:
    assert slot_map.runs(BEFORE) == [("redis-0", 0, 7999), ("redis-1", 8000, SLOTS - 1)]
    assert slot_map.runs(AFTER)[:3] == [("redis-0", 0, 7977), ("redis-1", 7978, 7978), ("redis-0", 7979, 7999)]


def test_slots_that_nobody_serves_part_a_run() -> None:
    assert slot_map.runs({0: "a", 1: "a", 3: "a"}) == [("a", 0, 1), ("a", 3, 3)]


def test_the_whole_map_is_a_row_of_runs_for_each_time() -> None:
    chart = slot_map.chart(MAPS, 7978)
    assert [(bar.row, bar.begin, bar.end) for bar in chart.whole] == [
        (0, 0, 8000),
        (0, 8000, SLOTS),
        (1, 0, 7978),
        (1, 7978, 7979),
        (1, 7979, 8000),
        (1, 8000, SLOTS),
    ]
    assert [bar.look for bar in chart.whole[:2]] == [chart.looks["redis-0"], chart.looks["redis-1"]]


def test_the_close_up_shows_the_slot_and_its_neighbours() -> None:
    chart = slot_map.chart(MAPS, 7978)
    assert (chart.low, chart.high) == (7974, 7982)
    middles = {(bar.row, (bar.begin + bar.end) / 2): bar.look for bar in chart.close}
    assert set(middles) == {(row, slot) for row in (0, 1) for slot in range(7974, 7983)}
    assert {place for place, look in middles.items() if look == chart.looks["redis-1"]} == {(1, 7978)}


def test_the_close_up_ends_where_the_slots_end() -> None:
    assert (slot_map.chart(MAPS, 1).low, slot_map.chart(MAPS, SLOTS - 1).high) == (0, SLOTS - 1)


def test_a_slot_that_nobody_serves_is_left_white() -> None:
    chart = slot_map.chart({"now": {7978: "redis-0"}}, 7978)
    assert [(bar.begin, bar.end) for bar in chart.close] == [(7977.5, 7978.5)]


def test_the_alt_text_tells_the_owner_at_each_time() -> None:
    picture = slot_map.draw(MAPS, 7978, "A slot moves")
    assert picture.alt == (
        "A slot moves. The owner of slot 7978, before: redis-0; after: redis-1. Its neighbours stay."
    )
    assert_readable(picture)
