"""Exponential back-off by key, as client-go's util/flowcontrol/backoff.go counts it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

INITIAL_SECONDS = 10.0  # of restarts and of image pulls
MAX_SECONDS = 300.0


@dataclass
class _Entry:
    seconds: float
    updated: float


class Backoff:
    """Delays that double with each failure and are forgotten after twice the maximum without one."""

    def __init__(
        self,
        initial: float = INITIAL_SECONDS,
        maximum: float = MAX_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._initial, self.maximum, self._clock = initial, maximum, clock
        self._entries: dict[str, _Entry] = {}

    def remaining(self, key: str, since: float) -> float:
        """Seconds that are left of the delay that began at `since` (of the clock); 0 when there is none."""
        entry = self._entries.get(key)
        if entry is None or since - entry.updated > 2 * self.maximum:
            return 0.0
        return max(since + entry.seconds - self._clock(), 0.0)

    def next(self, key: str, since: float) -> None:
        """Note a failure: the next delay is twice the last one."""
        entry = self._entries.get(key)
        if entry is None or since - entry.updated > 2 * self.maximum:
            self._entries[key] = _Entry(self._initial, self._clock())
        else:
            entry.seconds = min(entry.seconds * 2, self.maximum)
            entry.updated = self._clock()

    def seconds(self, key: str) -> float:
        """The present delay of the key."""
        entry = self._entries.get(key)
        return entry.seconds if entry else 0.0

    def forget(self, key: str) -> None:
        """Drop the key: the next failure is a first one."""
        self._entries.pop(key, None)

    def now(self) -> float:
        """The clock's time, for `since`."""
        return self._clock()


def go_duration(seconds: float) -> str:
    """Whole seconds as Go's time.Duration prints them: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
