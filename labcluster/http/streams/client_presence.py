"""Seeing that a client has gone while nothing is read from it, because what it sent cannot be passed on yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

_PING_SECONDS = 0.25  # between two looks whether the client is there


async def while_there(passing_on: Awaitable[None], ping: Callable[[], Awaitable[None]]) -> None:
    """Await it, and ping the client meanwhile: nothing is read from it until then.

    Raises what either raises; ping ConnectionError when the client has gone. Writing is what tells: a host answers
    what comes for a closed connection with a reset.
    """
    passing = asyncio.ensure_future(passing_on)
    try:
        while not (await asyncio.wait((passing,), timeout=_PING_SECONDS))[0]:
            await ping()
        passing.result()
    finally:
        passing.cancel()
