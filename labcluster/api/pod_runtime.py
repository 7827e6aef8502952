"""What the API server asks of the node: the logs of a container, its streams, and a program run inside one.

The node implements these protocols; the HTTP layer is handed an implementation and knows nothing else about nodes.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from labcluster.api.objects import JSON

STDOUT = 1
STDERR = 2


@dataclass(frozen=True)
class LogOptions:
    """Which part of a container's log is wanted: the query of GET .../pods/{name}/log (core/v1 PodLogOptions)."""

    follow: bool = False
    previous: bool = False  # of the container's instance before the last restart
    timestamps: bool = False  # RFC3339Nano in front of each line
    tail_lines: int | None = None
    since_seconds: int | None = None
    since_time: dt.datetime | None = None
    limit_bytes: int | None = None


class StreamSession(Protocol):
    """A client at the streams of a program: of one that exec started, or of a container that it is attached to."""

    async def write_stdin(self, data: bytes) -> None:
        """Write to the program's standard input; silently drops what comes after its end."""

    async def close_stdin(self) -> None:
        """The client's input has ended: end the program's standard input."""

    def resize(self, columns: int, rows: int) -> None:
        """Tell the program's terminal its new size; does nothing without a terminal."""

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Chunks of (STDOUT or STDERR, bytes); ends when the program has ended and all of it is read."""
        ...

    async def wait(self) -> int:
        """Wait for the end; returns the exit code of exec's program (128 + signal when it was killed), else 0."""
        ...

    async def close(self) -> None:
        """The client has gone: exec's program is ended at once, a container runs on. May be called again."""


class PodRuntime(Protocol):
    """The nodes as the API server sees them."""

    def logs(self, pod: JSON, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Chunks of a container's log. The first step raises ApiError when there is nothing to read from."""
        ...

    async def exec(self, pod: JSON, container: str, command: list[str], *, stdin: bool, tty: bool) -> StreamSession:
        """Start a program in a running container. Raises ApiError when there is no such container running."""
        ...

    async def attach(self, pod: JSON, container: str, *, stdin: bool, stderr: bool) -> StreamSession:
        """Take part in the streams of a running container. Raises ApiError when that cannot be had."""
        ...

    async def dial(self, pod: JSON, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a TCP port of a pod as a program inside it would, on 127.0.0.1. Raises ApiError, OSError."""
        ...
