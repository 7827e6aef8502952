"""What all controllers have in common: event handlers, a work queue of keys, one reconcile at a time.

client-go splits this into informers (caches fed by watches), work queues and workers. Here the registry lives in the
same process and is never stale, so a controller reads it directly and only the queue remains. A reconcile is
synchronous: nothing else runs between its reads and its writes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, key_of, name_of, namespace_of
from labcluster.api.resources import Resource
from labcluster.storage.registry import Change, Registry

log = logging.getLogger(__name__)

BASE_DELAY = 0.005  # seconds: the first retry after an error, as in client-go's default rate limiter
MAX_DELAY = 1000.0  # seconds
COSTLY = 0.004  # seconds of CPU time: the key of a reconcile that takes longer cools down
COOL_DOWN_FACTOR = 5.0  # times as long as the reconcile took, so that no key has more than a sixth of the loop
MAX_COOL_DOWN = 0.5  # seconds


class WorkQueue:
    """Keys to reconcile: each at most once at a time, with delays and back-off per key (client-go util/workqueue)."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}
        self._cooling: dict[str, bool] = {}  # keys that cool down -> whether they were added meanwhile

    def add(self, key: str) -> None:
        """Queue the key now, unless it is queued already; one that cools down, at the end of its cool-down."""
        if key in self._cooling:
            self._cooling[key] = True
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Queue the key later; of several delays of one key the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + seconds:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._fire, key)

    def _fire(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def cool_down(self, key: str, seconds: float) -> None:
        """Keep the key out of the queue for so long."""
        self._cooling[key] = False
        asyncio.get_running_loop().call_later(seconds, self._end_cool_down, key)

    def _end_cool_down(self, key: str) -> None:
        if self._cooling.pop(key, False):
            self.add(key)

    def retry(self, key: str) -> float:
        """Queue the key again after its exponential back-off; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(BASE_DELAY * 2.0**failures, MAX_DELAY)
        self.add_after(key, delay)
        return delay

    def forget(self, key: str) -> None:
        """Reset the key's back-off after a success."""
        self._failures.pop(key, None)

    async def get(self) -> str:
        """The next key that does not cool down; waits for one."""
        while True:
            key = await self._ready.get()
            self._queued.discard(key)
            if key not in self._cooling:
                return key
            self._cooling[key] = True

    def close(self) -> None:
        """Cancel the pending timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()


class Controller:
    """A control loop. Subclasses say what they watch in `sources`, and act in `reconcile`."""

    name: ClassVar[str]
    # Whether a key whose reconcile took long cools down: one reconcile then handles all that changes meanwhile, instead
    # of writing a thousand endpoints anew for each pod that becomes ready.
    cools_down: ClassVar[bool] = True

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.queue = WorkQueue()

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """For each watched resource (or EVERYTHING), the keys that a change of one of its objects concerns."""
        raise NotImplementedError

    def reconcile(self, key: str) -> float | None:
        """Bring what `key` names to its desired state. Returns the seconds after which to reconcile again, or None."""
        raise NotImplementedError

    def write_status(self, resource: Resource, obj: JSON, status: JSON) -> None:
        """Replace an object's status. Raises ApiError."""

        def change(new: JSON) -> None:
            new["status"] = status

        self.registry.modify(resource, namespace_of(obj), name_of(obj), change, subresource="status")

    @staticmethod
    def own_key(change: Change) -> list[str]:
        """The key of the changed object itself: the usual mapping for the controlled resource."""
        return [key_of(change.object)]

    async def run(self) -> None:
        """Reconcile until cancelled. Every existing object is queued first."""
        sources = self.sources()
        cancels = [self.registry.subscribe(resource, self._enqueuer(mapper)) for resource, mapper in sources.items()]
        try:
            while True:
                key = await self.queue.get()
                began = time.thread_time()  # the processor's: a busy machine must not change the order of things
                self._process(key)
                took = time.thread_time() - began
                if took > COSTLY and self.cools_down:
                    self.queue.cool_down(key, min(COOL_DOWN_FACTOR * took, MAX_COOL_DOWN))
                await asyncio.sleep(0)  # let the server answer between two reconciles
        finally:
            self.queue.close()
            for cancel in cancels:
                cancel()

    def _enqueuer(self, mapper: Callable[[Change], Iterable[str]]) -> Callable[[Change], None]:
        def enqueue(change: Change) -> None:
            for key in mapper(change):
                self.queue.add(key)

        return enqueue

    def _process(self, key: str) -> None:
        try:
            after = self.reconcile(key)
        except ApiError as error:
            delay = self.queue.retry(key)
            log.info("%s: %s: %s; again in %.3f s", self.name, key, error, delay)
        except Exception:
            self.queue.retry(key)
            log.exception("%s: %s", self.name, key)
        else:
            self.queue.forget(key)
            if after is not None:
                self.queue.add_after(key, after)
