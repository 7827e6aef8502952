"""Channels in one WebSocket: each message begins with a byte, in base64 with a digit, that names its channel.

Upstream: streaming pkg/httpstream/wsstream/conn.go.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator

from aiohttp import WSMsgType, web

from labcluster.http.streams.websocket import UNNAMED

V4, V4_BASE64 = "v4.channel.k8s.io", "v4.base64.channel.k8s.io"
PROTOCOLS = (V4, V4_BASE64, UNNAMED)
_TEXT = frozenset((V4_BASE64, "base64.channel.k8s.io"))
_ZERO = ord("0")


class Channels:
    """The channels of an open WebSocket, in bytes or in base64 as its subprotocol says."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._is_text = socket.ws_protocol in _TEXT

    @property
    def protocol(self) -> str:
        """The subprotocol; "" when the client named none."""
        return self._socket.ws_protocol or UNNAMED

    async def send(self, channel: int, data: bytes = b"") -> None:
        """Send a message on a channel. Raises ConnectionError."""
        if self._is_text:
            await self._socket.send_str(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self._socket.send_bytes(bytes([channel]) + data)

    async def ping(self) -> None:
        """Send a ping without waiting for the reply. Raises ConnectionError when the client has disconnected."""
        await self._socket.ping()

    async def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        """(Channel, bytes) of each message until the client disconnects; what cannot be decoded is skipped."""
        async for message in self._socket:
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                continue
            # The Python client sends str as text messages, also with a binary subprotocol.
            data: bytes = message.data if message.type == WSMsgType.BINARY else message.data.encode()
            if not data:
                continue
            if not self._is_text:
                yield data[0], data[1:]
                continue
            try:
                yield data[0] - _ZERO, base64.b64decode(data[1:], validate=True)
            except binascii.Error:
                continue
