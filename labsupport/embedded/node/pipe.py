"""A pipe whose reading end is served by the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

_BLOCK = 64 * 1024


class OutputPipe:
    """Hands what a child writes to a callback. `writer` is the descriptor for the child."""

    def __init__(self, on_data: Callable[[bytes], object]) -> None:
        self._reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reader, False)
        self._on_data = on_data
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()

    def start(self) -> None:
        """Begin to read, once the child has its end: this process' copy of it is closed."""
        os.close(self.writer)
        self.writer = -1
        self._loop.add_reader(self._reader, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._reader, _BLOCK)
        except BlockingIOError:
            return
        if data:
            self._on_data(data)
        else:
            self.close()

    async def drained(self) -> None:
        """Wait until all writers are gone and everything is read."""
        await asyncio.shield(self._end)

    def close(self) -> None:
        """Stop reading; may be called again."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1
        if self._reader >= 0:
            self._loop.remove_reader(self._reader)
            os.close(self._reader)
            self._reader = -1
        if not self._end.done():
            self._end.set_result(None)
