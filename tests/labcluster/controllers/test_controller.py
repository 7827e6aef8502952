"""The frame of the controllers: what is queued while a key cools down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import ClassVar

import pytest

from labcluster.api.resources import CONFIG_MAPS, Resource
from labcluster.controllers import controller
from labcluster.controllers.bootstrap import bootstrap
from labcluster.controllers.controller import Controller
from labcluster.storage.registry import Change, Registry
from labcluster.storage.store import Store


class Slow(Controller):
    """Takes longer than COSTLY for two keys, for one of them without computing; writes down what it has seen."""

    name: ClassVar[str] = "slow"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self.seen: list[tuple[str, str]] = []

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        return {CONFIG_MAPS: self.own_key}

    def reconcile(self, key: str) -> float | None:
        if key == "default/slow":
            begun = time.thread_time()
            while time.thread_time() - begun < 2 * controller.COSTLY:
                pass
        if key == "default/held":
            time.sleep(2 * controller.COSTLY)
        self.seen.append((key, self.registry.get(CONFIG_MAPS, *key.split("/"))["data"]["n"]))
        return None


async def test_a_costly_key_cools_down_and_then_sees_the_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "MAX_COOL_DOWN", 0.05)
    monkeypatch.setattr(controller, "COOL_DOWN_FACTOR", 1000.0)
    registry = Registry(Store(":memory:"))
    bootstrap(registry)
    for name in ("slow", "held", "quick"):
        made = {"metadata": {"name": name, "namespace": "default"}, "data": {"n": "0"}}
        registry.create(CONFIG_MAPS, made)
    one = Slow(registry)
    task = asyncio.create_task(one.run())
    async with asyncio.timeout(10):
        for number in range(1, 30):
            for name in ("slow", "held", "quick"):
                registry.modify(CONFIG_MAPS, "default", name, lambda new, n=number: new["data"].update(n=str(n)))  # type: ignore[misc]
            while ("default/quick", str(number)) not in one.seen:
                await asyncio.sleep(0)
        while ("default/slow", "29") not in one.seen:
            await asyncio.sleep(0.01)
    task.cancel()
    seen = [number for key, number in one.seen if key == "default/slow"]
    assert len(seen) < 10, seen  # not once for each change
    assert seen == sorted(seen, key=int)
    held = {number for key, number in one.seen if key == "default/held"}
    assert held >= {str(number) for number in range(1, 30)}  # a busy machine makes no key rest
