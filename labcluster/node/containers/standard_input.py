"""The standard input of a program, written from the event loop: a pipe, or the program's terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os

MAX_BUFFERED = 1 << 20  # bytes that the program has not read yet; with more, the writer has to wait
_BLOCK = 64 * 1024


class StandardInput:
    """The writing end; owns the descriptor."""

    def __init__(self, descriptor: int, *, terminal: bool) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor: int | None = descriptor
        self._terminal = terminal
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._ending = False
        self._room = asyncio.Event()

    async def write(self, data: bytes) -> None:
        """Write what the program reads and buffer the rest; wait while more than MAX_BUFFERED is in the buffer.

        Dropped after the end, and when nobody reads any more.
        """
        if self._descriptor is None or self._ending:
            return
        self._buffer += data
        self._flush()
        while len(self._buffer) > MAX_BUFFERED:
            self._room.clear()
            await self._room.wait()

    def _flush(self) -> None:
        """Write what can be written now, and come back when there is room for the rest."""
        if self._descriptor is None:
            return
        try:
            while self._buffer:
                del self._buffer[: os.write(self._descriptor, bytes(self._buffer[:_BLOCK]))]
        except BlockingIOError:
            self._loop.add_writer(self._descriptor, self._flush)
        except OSError:
            self.abort()
        else:
            self._loop.remove_writer(self._descriptor)
            if self._ending:
                self._end()
        if len(self._buffer) <= MAX_BUFFERED:
            self._room.set()

    def close(self) -> None:
        """End the input once the program has read the buffer (on a terminal: type Ctrl-D); may be called again."""
        self._ending = True
        self._flush()

    def abort(self) -> None:
        """End the input at once: the program has ended, or reads no more. May be called again."""
        self._buffer.clear()
        self._room.set()
        self._end()

    def _end(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        self._loop.remove_writer(descriptor)
        if self._terminal:
            with contextlib.suppress(OSError):
                os.write(descriptor, b"\x04")
        os.close(descriptor)
