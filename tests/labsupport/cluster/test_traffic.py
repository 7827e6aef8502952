"""Steady traffic in a thread."""

from __future__ import annotations

import pytest

from labsupport.cluster.traffic import Traffic, TrafficFailed


def test_acts_follow_one_another_and_are_waited_for() -> None:
    with Traffic(lambda number: number * 10, every=0.001) as traffic:
        traffic.more(5)
        traffic.more(5)
    assert traffic.results[:10] == [n * 10 for n in range(10)]
    assert traffic.stop() == traffic.results


def test_an_error_in_an_act_is_not_lost() -> None:
    def act(number: int) -> int:
        return 1 // (2 - number)

    traffic = Traffic(act, every=0.001)
    with pytest.raises(TrafficFailed, match="after 2 acts: "):
        traffic.more(5)
    with pytest.raises(TrafficFailed):
        traffic.stop()
    assert len(traffic.results) == 2
