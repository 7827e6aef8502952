"""The streams of one SPDY/3.1 connection, in whatever carries its bytes: a WebSocket, or the connection itself."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable

from labcluster.http.streams import spdy

Event = spdy.Opened | spdy.Data | spdy.Reset


class SpdyStreams:
    """The server's side: the streams that the client opens, and what comes and goes on them."""

    def __init__(self, pieces: AsyncIterable[bytes], send: Callable[[bytes], Awaitable[None]]) -> None:
        self._pieces = pieces
        self._send = send
        self._writer = spdy.Writer()
        self._pings = 0

    async def events(self) -> AsyncIterator[Event]:
        """What happens on the streams, until the client leaves. Raises SpdyError, ConnectionError."""
        reader = spdy.Reader()
        async for piece in self._pieces:
            for event in reader.feed(piece):
                match event:
                    case spdy.Ping():
                        if event.number % 2 == 0:
                            continue  # the answer to one of ours
                        await self._send(self._writer.ping(event.number))
                    case spdy.Opened() | spdy.Data() | spdy.Reset():
                        yield event

    async def accept(self, stream: int) -> None:
        """Take a stream that the client has opened. Raises ConnectionError."""
        await self._send(self._writer.reply(stream))

    async def refuse(self, stream: int) -> None:
        """Do not take it. Raises ConnectionError."""
        await self._send(self._writer.reset(stream, spdy.REFUSED_STREAM))

    async def ping(self) -> None:
        """Send a ping, whose answer is not waited for. Raises ConnectionError when the client has gone."""
        self._pings += 2  # even, as a server's are
        await self._send(self._writer.ping(self._pings))

    async def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send bytes on a stream; with `end` they are the last. Raises ConnectionError."""
        await self._send(self._writer.data(stream, data, end=end))
