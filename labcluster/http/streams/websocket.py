"""Requests that are upgraded to a WebSocket, and the subprotocol that both sides speak."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import hdrs, web

from labcluster.api.errors import ApiError, bad_request
from labcluster.http.call import Call
from labcluster.http.streams.lifetime import cancelled_at_shutdown

UNNAMED = ""  # as a subprotocol: the client need not name one


def negotiate(call: Call, protocols: Sequence[str], *, largest: int) -> web.WebSocketResponse:
    """A WebSocket with one of the subprotocols, for messages of at most `largest` bytes; not yet opened.

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
    call: Call, socket: web.WebSocketResponse, handle: Callable[[web.WebSocketResponse], Awaitable[None]]
) -> web.StreamResponse:
    """Open the WebSocket, and handle it until that ends, the client disconnects, or the server shuts down."""
    await socket.prepare(call.request)
    async with cancelled_at_shutdown(call):
        try:
            await handle(socket)
            await socket.close()
        except ConnectionError:
            pass  # the client has disconnected
    return socket
