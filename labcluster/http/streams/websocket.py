"""Requests that become a WebSocket, and stay one for as long as client and server want."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from aiohttp import hdrs, web

from labcluster.api.errors import ApiError, bad_request
from labcluster.http.call import Call

UNNAMED = ""  # among the protocols: a client may name none


def requested(call: Call, protocols: Sequence[str], *, largest: int) -> web.WebSocketResponse:
    """A WebSocket that speaks one of the protocols, in messages of at most `largest` bytes; not yet opened.

    Raises ApiError 400 when the request is no upgrade to one, 403 when it offers none of them.
    """
    named = [protocol for protocol in protocols if protocol != UNNAMED]
    socket = web.WebSocketResponse(protocols=named, max_msg_size=largest, compress=False)
    if not socket.can_prepare(call.request):
        raise bad_request(f"you must request an upgrade to a WebSocket (protocol {' or '.join(named)})")
    offered = [word.strip() for word in call.request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")]
    if set(offered).isdisjoint(protocols):
        raise no_common_protocol(offered, named)
    return socket


def no_common_protocol(offered: Sequence[str], served: Sequence[str]) -> ApiError:
    """403, as upstream answers an upgrade that it cannot make (streaming pkg/httpstream/httpstream.go, Handshake)."""
    why = f"unable to negotiate protocol: client supports {list(offered)}, server accepts {list(served)}"
    return ApiError(403, "Forbidden", f"unable to upgrade: {why}")


async def serve(
    call: Call, socket: web.WebSocketResponse, talk: Callable[[web.WebSocketResponse], Awaitable[None]]
) -> web.StreamResponse:
    """Open the WebSocket and talk until that ends, the client leaves, or the server stops."""
    await socket.prepare(call.request)
    async with stopped_with_the_server(call):
        try:
            await talk(socket)
            await socket.close()
        except ConnectionError:
            pass  # the client has gone
    return socket


@contextlib.asynccontextmanager
async def stopped_with_the_server(call: Call) -> AsyncIterator[None]:
    """While inside, the server's stop cancels this task."""
    task = asyncio.current_task()
    assert task is not None
    call.services.closers.add(task.cancel)
    try:
        yield
    finally:
        call.services.closers.discard(task.cancel)
