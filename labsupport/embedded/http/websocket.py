"""Requests that become a WebSocket, and stay one for as long as client and server want."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from labsupport.embedded.errors import bad_request
from labsupport.embedded.http.call import Call


def requested(call: Call, protocols: Sequence[str], *, largest: int) -> web.WebSocketResponse:
    """A WebSocket that speaks one of the protocols, in messages of at most `largest` bytes; not yet opened.

    Raises ApiError 400 when the request is no upgrade to one.
    """
    socket = web.WebSocketResponse(protocols=protocols, max_msg_size=largest, compress=False)
    if not socket.can_prepare(call.request):
        raise bad_request(f"you must request an upgrade to a WebSocket (protocol {' or '.join(protocols)})")
    return socket


async def serve(
    call: Call, socket: web.WebSocketResponse, talk: Callable[[web.WebSocketResponse], Awaitable[None]]
) -> web.StreamResponse:
    """Open the WebSocket and talk until that ends, the client leaves, or the server stops."""
    await socket.prepare(call.request)
    if socket.ws_protocol is None:
        await socket.close(code=1002, message=b"none of the offered subprotocols is served here")
        return socket
    task = asyncio.current_task()
    assert task is not None
    call.services.closers.add(task.cancel)
    try:
        await talk(socket)
        await socket.close()
    except ConnectionError:
        pass  # the client has gone
    finally:
        call.services.closers.discard(task.cancel)
    return socket
