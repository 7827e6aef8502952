"""The standard input of a program, written from the event loop: a pipe, or the program's terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os

AHEAD = 1 << 20  # bytes that may wait for the program before its writer has to; who leaves meanwhile is seen to leave
_BLOCK = 64 * 1024


class StandardInput:
    """The end that is written to; owns the descriptor."""

    def __init__(self, descriptor: int, *, terminal: bool) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor: int | None = descriptor
        self._terminal = terminal
        self._loop = asyncio.get_running_loop()
        self._waiting = bytearray()
        self._ending = False
        self._room = asyncio.Event()

    async def write(self, data: bytes) -> None:
        """Write what the program reads and keep what it does not read yet; wait while more than AHEAD is kept.

        Dropped after the end, and when nobody reads any more.
        """
        if self._descriptor is None or self._ending:
            return
        self._waiting += data
        self._flush()
        while len(self._waiting) > AHEAD:
            self._room.clear()
            await self._room.wait()

    def _flush(self) -> None:
        """Write what can be written now, and come back when there is room for the rest."""
        if self._descriptor is None:
            return
        try:
            while self._waiting:
                del self._waiting[: os.write(self._descriptor, bytes(self._waiting[:_BLOCK]))]
        except BlockingIOError:
            self._loop.add_writer(self._descriptor, self._flush)
        except OSError:
            self.abort()
        else:
            self._loop.remove_writer(self._descriptor)
            if self._ending:
                self._end()
        if len(self._waiting) <= AHEAD:
            self._room.set()

    def close(self) -> None:
        """End the input once the program has read what waits (on a terminal: type Ctrl-D); may be called again."""
        self._ending = True
        self._flush()

    def abort(self) -> None:
        """End the input at once: the program has ended, or reads no more. May be called again."""
        self._waiting.clear()
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
