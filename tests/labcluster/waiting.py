"""Bounded waits for tests of the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

TIMEOUT = 10.0  # seconds: a bound for what is broken, never reached by what is sound
T = TypeVar("T")


async def soon(what: Coroutine[Any, Any, T]) -> T:
    """Wait, but not for ever."""
    return await asyncio.wait_for(what, TIMEOUT)


async def until(fact: Callable[[], bool]) -> None:
    """Let the event loop turn until the fact holds."""

    async def turn() -> None:
        while not fact():
            await asyncio.sleep(0.001)

    await soon(turn())
