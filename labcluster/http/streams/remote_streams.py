"""The streams of exec and attach as the client has them: channels of a WebSocket, or streams of SPDY.

Upstream: apimachinery pkg/util/remotecommand/constants.go; kubelet pkg/cri/streaming/remotecommand/websocket.go and
httpstream.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import orjson

from labcluster.api.objects import JSON
from labcluster.api.pod_runtime import STDERR, STDOUT
from labcluster.http.streams import spdy
from labcluster.http.streams.channels import V4, V4_BASE64, Channels
from labcluster.http.streams.spdy_streams import Event, SpdyStreams
from labcluster.http.streams.websocket import UNNAMED

V5 = "v5.channel.k8s.io"
STDIN, ERROR, RESIZE, CLOSE = 0, 3, 4, 255  # beside STDOUT and STDERR
# The last three are older than v4: errors are plain text.
WEBSOCKET_PROTOCOLS = (V5, V4, V4_BASE64, "channel.k8s.io", "base64.channel.k8s.io", UNNAMED)
_NAMES = {"error": ERROR, "stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "resize": RESIZE}
_STREAM_CREATION_SECONDS = 30.0  # for a client to open its streams, as upstream (streamCreationTimeout)
_MAX_EARLY = 1 << 20  # bytes that a client may send before it has opened all of them
_MAX_SIZE_TEXT = 1 << 12  # bytes of a terminal's size in JSON


class RemoteStreams(Protocol):
    """One client's end of the streams."""

    async def open(self) -> None:
        """Get ready for both directions. Raises ConnectionError, SpdyError."""

    def events(self) -> AsyncIterator[tuple[int, bytes]]:
        """(Channel, bytes) until the client disconnects; (CLOSE, the channel) when one ends. Raises ConnectionError."""
        ...

    async def send(self, channel: int, data: bytes) -> None:
        """Send output of the program. Raises ConnectionError."""

    async def ping(self) -> None:
        """Send a ping without waiting for the reply. Raises ConnectionError when the client has disconnected."""

    async def end(self, status: JSON) -> None:
        """Send the final Status. Raises ConnectionError."""


class ChannelsRemote:
    """The channels of a WebSocket. With v5 the client can close a single one (half-close)."""

    def __init__(self, channels: Channels, first: int) -> None:
        self._channels = channels
        self._first = first  # the lowest of the server's channels

    async def open(self) -> None:
        """Send an empty message: the client's sign that the streams are open."""
        await self._channels.send(self._first)

    async def events(self) -> AsyncIterator[tuple[int, bytes]]:
        """See RemoteStreams."""
        async for channel, data in self._channels.messages():
            if channel != CLOSE or self._channels.protocol == V5:
                yield channel, data

    async def send(self, channel: int, data: bytes) -> None:
        """See RemoteStreams."""
        await self._channels.send(channel, data)

    async def ping(self) -> None:
        """See RemoteStreams."""
        await self._channels.ping()

    async def end(self, status: JSON) -> None:
        """See RemoteStreams."""
        if self._channels.protocol in (V5, V4, V4_BASE64):
            await self._channels.send(ERROR, orjson.dumps(status))
        elif status["status"] != "Success":
            await self._channels.send(ERROR, status["message"].encode())


class SpdyRemote:
    """SPDY: a stream for each channel, opened by the client and named in its headers."""

    def __init__(self, streams: SpdyStreams, requested: set[int]) -> None:
        self._streams = streams
        self._requested = requested  # channels
        self._incoming = streams.events()
        self._early: list[spdy.Data] = []  # data that came before all streams were open
        self._early_size = 0  # bytes
        self._ids: dict[int, int] = {}  # channel -> stream

    async def open(self) -> None:
        """Wait for the client to open its streams."""
        try:
            async with asyncio.timeout(_STREAM_CREATION_SECONDS):
                while not self._requested <= self._ids.keys():
                    await self._open_stream(await anext(self._incoming))
        except (StopAsyncIteration, TimeoutError) as error:
            raise ConnectionResetError("the client did not open its streams") from error

    async def _open_stream(self, event: Event) -> None:
        if isinstance(event, spdy.Data):
            self._early.append(event)
            self._early_size += 8 + len(event.data)  # with the frame's header, so that empty ones count
            if self._early_size > _MAX_EARLY:
                raise spdy.SpdyError(f"more than {_MAX_EARLY} bytes before all streams were open")
        if not isinstance(event, spdy.Opened):
            return
        channel = _NAMES.get(event.headers.get("streamtype", ""))
        if channel not in self._requested or channel in self._ids:
            await self._streams.refuse(event.stream)
            return
        self._ids[channel] = event.stream
        await self._streams.accept(event.stream)

    async def events(self) -> AsyncIterator[tuple[int, bytes]]:
        """See RemoteStreams."""
        channels = {stream: channel for channel, stream in self._ids.items()}
        sizes = b""  # JSON texts on the resize channel, each on a line
        async for event in self._data():
            channel = channels.get(event.stream)
            if channel == STDIN:
                yield STDIN, event.data
                if event.ended:
                    yield CLOSE, bytes([STDIN])
            elif channel == RESIZE:
                *lines, sizes = (sizes + event.data).split(b"\n")
                sizes = sizes[:_MAX_SIZE_TEXT]
                for line in lines:
                    yield RESIZE, line

    async def _data(self) -> AsyncIterator[spdy.Data]:
        for early in self._early:
            yield early
        async for event in self._incoming:
            if isinstance(event, spdy.Data):
                yield event
            elif isinstance(event, spdy.Opened):
                await self._streams.refuse(event.stream)

    async def send(self, channel: int, data: bytes) -> None:
        """See RemoteStreams."""
        await self._streams.send(self._ids[channel], data)

    async def ping(self) -> None:
        """See RemoteStreams."""
        await self._streams.ping()

    async def end(self, status: JSON) -> None:
        """See RemoteStreams."""
        for channel in sorted(self._requested & {STDOUT, STDERR}):
            await self._streams.send(self._ids[channel], b"", end=True)
        await self._streams.send(self._ids[ERROR], orjson.dumps(status), end=True)
