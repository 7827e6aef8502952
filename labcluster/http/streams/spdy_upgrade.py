"""Requests that become a SPDY/3.1 connection: what client-go's SPDY executor and k9s' port-forward ask for.

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
from labcluster.http.streams.spdy import SpdyError
from labcluster.http.streams.spdy_streams import SpdyStreams
from labcluster.http.streams.websocket import no_common_protocol, stopped_with_the_server

_SPDY = "SPDY/3.1"
_PROTOCOL = "X-Stream-Protocol-Version"  # what is spoken on the streams
_WAITING = 1 << 20  # bytes that may wait to be read; then the client has to wait


def is_requested(call: Call) -> bool:
    """Whether the client wants to speak SPDY from here on."""
    headers = call.request.headers
    return "upgrade" in headers.get(hdrs.CONNECTION, "").lower() and headers.get(hdrs.UPGRADE, "") == _SPDY


async def serve(
    call: Call, protocols: Sequence[str], talk: Callable[[SpdyStreams], Awaitable[None]]
) -> web.StreamResponse:
    """Upgrade the connection, and talk until that ends, the client leaves or breaks the protocol, or the server stops.

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
    pieces = _Pieces(call.request)
    async with stopped_with_the_server(call):
        with contextlib.suppress(ConnectionError, SpdyError):  # the client has gone, or is sent away
            await talk(SpdyStreams(pieces, response.write))
    return response


class _Pieces:
    """The bytes that come on the connection after the upgrade, taken in the place of aiohttp's parser of WebSockets."""

    def __init__(self, request: web.Request) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        self._transport = transport
        self._pieces: deque[bytes] = deque()
        self._size = 0  # bytes in _pieces
        self._ended = False
        self._changed = asyncio.Event()
        request.protocol.set_parser(cast(Any, self))

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Called by aiohttp: bytes have come. Returns (whether to close, what is not taken)."""
        self._pieces.append(bytes(data))
        self._size += len(data)
        if self._size > _WAITING:
            self._transport.pause_reading()
        self._changed.set()
        return False, b""

    def feed_eof(self) -> None:
        """Called by aiohttp: the connection is lost."""
        self._ended = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._size -= len(piece)
                yield piece
            if self._ended:
                return
            self._transport.resume_reading()
            self._changed.clear()
            await self._changed.wait()
