"""Requests that are upgraded to SPDY/3.1, as by client-go's SPDY executor and k9s' port-forward.

Upstream: streaming pkg/httpstream/httpstream.go (Handshake), pkg/httpstream/spdy/upgrade.go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, cast

from aiohttp import hdrs, web

from labcluster.http.call import Call
from labcluster.http.streams.lifetime import cancelled_at_shutdown
from labcluster.http.streams.spdy import SpdyError
from labcluster.http.streams.spdy_streams import SpdyStreams
from labcluster.http.streams.websocket import no_common_protocol

_SPDY = "SPDY/3.1"
_PROTOCOL = "X-Stream-Protocol-Version"  # the subprotocol of the streams
_MAX_BUFFERED = 1 << 20  # bytes that may wait to be read; then the socket is read no more


def is_requested(call: Call) -> bool:
    """Whether the request asks for an upgrade to SPDY."""
    headers = call.request.headers
    return "upgrade" in headers.get(hdrs.CONNECTION, "").lower() and headers.get(hdrs.UPGRADE, "") == _SPDY


async def serve(
    call: Call, protocols: Sequence[str], handle: Callable[[SpdyStreams], Awaitable[None]]
) -> web.StreamResponse:
    """Upgrade the connection, and handle it until that ends, the client disconnects or breaks the protocol, or the
    server shuts down.

    Raises ApiError 403 when the client offers none of the protocols.
    """
    values = call.request.headers.getall(_PROTOCOL, [])
    offered = [word.strip() for value in values for word in value.split(",")]
    protocol = next((p for p in protocols if p in offered), None)
    if protocol is None:
        raise no_common_protocol(offered, protocols)
    headers = {hdrs.CONNECTION: "Upgrade", hdrs.UPGRADE: _SPDY, _PROTOCOL: protocol}
    response = web.StreamResponse(status=101, headers=headers)
    response.force_close()
    await response.prepare(call.request)
    received = _ReceivedBytes(call.request)
    async with cancelled_at_shutdown(call):
        with contextlib.suppress(ConnectionError, SpdyError):  # the client has disconnected, or is disconnected now
            await handle(SpdyStreams(received, response.write))
    return response


class _ReceivedBytes:
    """The bytes received after the upgrade, taken from aiohttp as its WebSocket parser takes them."""

    def __init__(self, request: web.Request) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        self._transport = transport
        self._chunks: deque[bytes] = deque()
        self._size = 0  # bytes in _chunks
        self._ended = False
        self._changed = asyncio.Event()
        request.protocol.set_parser(cast(Any, self))

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Called by aiohttp with received bytes. Returns (whether to close, what is not taken)."""
        self._chunks.append(bytes(data))
        self._size += len(data)
        if self._size > _MAX_BUFFERED:
            self._transport.pause_reading()
        self._changed.set()
        return False, b""

    def feed_eof(self) -> None:
        """Called by aiohttp: the connection is lost."""
        self._ended = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._size -= len(chunk)
                yield chunk
            if self._ended:
                return
            self._transport.resume_reading()
            self._changed.clear()
            await self._changed.wait()
