"""Back-off: nothing at first, then 10 s, doubling to five minutes, forgotten after ten quiet ones."""

from __future__ import annotations

import pytest

from labcluster.node.backoff import Backoff, go_duration


def test_delays_double_to_the_maximum() -> None:
    clock = 0.0
    backoff = Backoff(clock=lambda: clock)
    assert backoff.remaining("k", clock) == 0
    delays = []
    for _ in range(7):
        backoff.next("k", clock)
        delays.append(backoff.remaining("k", clock))
        clock += delays[-1]
        assert backoff.remaining("k", clock - delays[-1]) == 0
    assert delays == [10, 20, 40, 80, 160, 300, 300]


def test_ten_quiet_minutes_start_it_over() -> None:
    clock = 0.0
    backoff = Backoff(clock=lambda: clock)
    for _ in range(3):
        backoff.next("k", clock)
    clock = 601.0
    assert backoff.remaining("k", clock) == 0
    backoff.next("k", clock)
    assert backoff.seconds("k") == 10


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (3600, "1h0m0s")])
def test_durations_read_as_in_go(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text
