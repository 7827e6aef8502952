"""How long a streaming request is served: until the server shuts down, or its client has disconnected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from labcluster.http.call import Call

_PING_SECONDS = 0.25  # between two pings


@contextlib.asynccontextmanager
async def cancelled_at_shutdown(call: Call) -> AsyncIterator[None]:
    """While inside, the server's shutdown cancels this task."""
    task = asyncio.current_task()
    assert task is not None
    call.services.closers.add(task.cancel)
    try:
        yield
    finally:
        call.services.closers.discard(task.cancel)


async def await_with_pings(work: Awaitable[None], ping: Callable[[], Awaitable[None]]) -> None:
    """Await `work`, during which nothing is read from the client, and ping it meanwhile to notice that it has gone.

    Raises what either raises; ping raises ConnectionError when the client has disconnected: its host answers what is
    written to a closed connection with a reset.
    """
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait((task,), timeout=_PING_SECONDS))[0]:
            await ping()
        task.result()
    finally:
        task.cancel()
