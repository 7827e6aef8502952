"""The streams of one SPDY/3.1 connection, over a WebSocket or over the upgraded connection itself."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable

from labcluster.http.streams import spdy

Event = spdy.Opened | spdy.Data | spdy.Reset


class SpdyStreams:
    """The server's side: the streams that the client opens, and their data in both directions."""

    def __init__(self, received: AsyncIterable[bytes], send: Callable[[bytes], Awaitable[None]]) -> None:
        self._received = received
        self._send = send
        self._writer = spdy.Writer()
        self._last_ping = 0

    async def events(self) -> AsyncIterator[Event]:
        """Events on the streams, until the client disconnects. Raises SpdyError, ConnectionError."""
        reader = spdy.Reader()
        async for data in self._received:
            for event in reader.feed(data):
                match event:
                    case spdy.Ping():
                        if event.number % 2 == 0:
                            continue  # the answer to one of ours
                        await self._send(self._writer.ping(event.number))
                    case spdy.Opened() | spdy.Data() | spdy.Reset():
                        yield event

    async def accept(self, stream: int) -> None:
        """Accept a stream that the client has opened (SYN_REPLY). Raises ConnectionError."""
        await self._send(self._writer.reply(stream))

    async def refuse(self, stream: int) -> None:
        """Refuse a stream that the client has opened (RST_STREAM). Raises ConnectionError."""
        await self._send(self._writer.reset(stream, spdy.REFUSED_STREAM))

    async def ping(self) -> None:
        """Send a ping without waiting for the reply. Raises ConnectionError when the client has disconnected."""
        self._last_ping += 2  # even, as a server's are
        await self._send(self._writer.ping(self._last_ping))

    async def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send bytes on a stream; with `end` they are the last. Raises ConnectionError."""
        await self._send(self._writer.data(stream, data, end=end))
