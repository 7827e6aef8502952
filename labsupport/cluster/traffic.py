"""Steady traffic beside an experiment: one act after another, in a thread, with what each of them returned."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Self

from labsupport.errors import LabError


class TrafficFailed(LabError):
    """The traffic has ended by itself, by an error in it, or has come to a halt."""


class Traffic:
    """Calls `act` with 0, 1, 2 ... from a thread, every so many seconds, until `stop`.

    >>> with Traffic(lambda number: client.run("INCR", "visits")) as traffic:
    ...     traffic.more(100)
    >>> traffic.results[:3]
    [1, 2, 3]
    """

    def __init__(self, act: Callable[[int], Any], *, every: float = 0.01) -> None:
        """Begin at once. `every` is in seconds."""
        self.results: list[Any] = []
        self._act, self._every = act, every
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def more(self, acts: int, *, timeout: float = 30) -> None:
        """Wait until so many more acts are done. `timeout` is in seconds. Raises TrafficFailed."""
        with self._changed:
            enough = len(self.results) + acts
            self._changed.wait_for(lambda: self._error or len(self.results) >= enough, timeout)
            if self._error:
                raise TrafficFailed(f"after {len(self.results)} acts: {self._error}") from self._error
            if len(self.results) < enough:
                raise TrafficFailed(f"{enough - len(self.results)} of {acts} acts were not done within {timeout:g} s")

    def stop(self) -> list[Any]:
        """Let the current act end, and return all results. Raises TrafficFailed when one of the acts failed."""
        self._stopped.set()
        self._thread.join()
        if self._error:
            raise TrafficFailed(f"after {len(self.results)} acts: {self._error}") from self._error
        return self.results

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._every, time.monotonic())
            try:
                result = self._act(len(self.results))
            except Exception as error:
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return
            with self._changed:
                self.results.append(result)
                self._changed.notify_all()
