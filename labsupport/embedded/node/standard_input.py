"""The standard input of a program, written from the event loop: a pipe, or the program's terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os


class StandardInput:
    """The end that is written to; owns the descriptor."""

    def __init__(self, descriptor: int, *, terminal: bool) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor: int | None = descriptor
        self._terminal = terminal
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._turn = asyncio.Lock()

    async def write(self, data: bytes) -> None:
        """Write as fast as the program reads; dropped when nobody reads any more. Several writers take turns."""
        view = memoryview(data)
        async with self._turn:
            while view and self._descriptor is not None:
                try:
                    view = view[os.write(self._descriptor, view) :]
                except BlockingIOError:
                    await self._writable(self._descriptor)
                except OSError:
                    self.close()

    async def _writable(self, descriptor: int) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(descriptor, _set, ready)
        try:
            await asyncio.wait((ready, self._closed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._descriptor is not None:
                self._loop.remove_writer(descriptor)
            ready.cancel()

    def close(self) -> None:
        """End the input (on a terminal: type Ctrl-D); may be called again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        self._loop.remove_writer(descriptor)
        if self._terminal:
            with contextlib.suppress(OSError):
                os.write(descriptor, b"\x04")
        os.close(descriptor)
        self._closed.set_result(None)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
