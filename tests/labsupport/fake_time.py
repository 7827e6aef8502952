"""Time that passes only by waiting, in place of the module `time` of what is tested."""

from __future__ import annotations


class FakeTime:
    """`monotonic` and `sleep`; `pauses` are the seconds of each sleep."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
