"""Descriptors that a program writes to, read by the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

_BLOCK = 64 * 1024


class OutputReader:
    """Hands what comes out of a descriptor to a callback until it has no writer left; then closes it."""

    def __init__(self, descriptor: int, on_data: Callable[[bytes], object]) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor  # -1 when it is closed
        self._on_data = on_data
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()

    def start(self) -> None:
        """Begin to read."""
        self.resume()

    def _read(self) -> None:
        try:
            data = os.read(self.descriptor, _BLOCK)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: a terminal without a program at the other end
        if data:
            self._on_data(data)
        else:
            self.close()

    def pause(self) -> None:
        """Read no more for now: when the pipe is full, the program has to wait."""
        if self.descriptor >= 0:
            self._loop.remove_reader(self.descriptor)

    def resume(self) -> None:
        """Read on; nothing when it does already, or has ended."""
        if self.descriptor >= 0:
            self._loop.add_reader(self.descriptor, self._read)

    async def drained(self) -> None:
        """Wait until all writers are gone and everything is read."""
        await asyncio.shield(self._end)

    def close(self) -> None:
        """Stop reading; may be called again."""
        if self.descriptor >= 0:
            self._loop.remove_reader(self.descriptor)
            os.close(self.descriptor)
            self.descriptor = -1
        if not self._end.done():
            self._end.set_result(None)


class OutputPipe(OutputReader):
    """A pipe for what a child writes. `writer` is the descriptor for the child."""

    def __init__(self, on_data: Callable[[bytes], object]) -> None:
        reader, self.writer = os.pipe2(os.O_CLOEXEC)
        super().__init__(reader, on_data)

    def start(self) -> None:
        """Begin to read, once the child has its end: this process' copy of it is closed."""
        self._close_writer()
        super().start()

    def close(self) -> None:
        """Stop reading; may be called again."""
        self._close_writer()
        super().close()

    def _close_writer(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1
