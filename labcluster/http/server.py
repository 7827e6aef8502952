"""Serving an application on sockets that are bound already."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

from aiohttp import web

_KEEP_ALIVE = 120.0  # seconds an idle connection is kept
_SHUTDOWN = 2.0  # seconds for requests to end before they are cancelled
_BACKLOG = 128
_LONGEST_LINE = 1 << 18  # bytes


class Server:
    """A running server."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner

    async def stop(self) -> None:
        """Take no more requests, end the streams, and return when everything is closed."""
        await self._runner.cleanup()


async def serve(app: web.Application, sockets: Sequence[socket.socket], ssl_context: ssl.SSLContext | None) -> Server:
    """Serve the application on bound sockets, which the server closes in the end. Raises OSError."""
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        auto_decompress=False,  # upstream reads no compressed bodies either
        handler_cancellation=True,  # a watcher that leaves must not stay subscribed
        keepalive_timeout=_KEEP_ALIVE,
        shutdown_timeout=_SHUTDOWN,
        max_line_size=_LONGEST_LINE,  # selectors and exec commands are in the URL
        max_field_size=_LONGEST_LINE,
    )
    await runner.setup()
    try:
        for each in sockets:
            await web.SockSite(runner, each, ssl_context=ssl_context, backlog=_BACKLOG).start()
    except BaseException:
        await runner.cleanup()
        raise
    return Server(runner)
