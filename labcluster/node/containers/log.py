"""Container logs in the CRI format: written line by line, read with the options of `kubectl logs`.

A line is `<RFC3339Nano> <stdout|stderr> <F|P> <text>`; P marks a part of a longer line, F its end (or a whole
line). See the Kubernetes design document "CRI log format", kubelet's kuberuntime/logs and containerd's logger.
Followers are woken by the writer in this process: no inotify, whose instances are few.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from labcluster.api.pod_runtime import LogOptions

LONGEST_PART = 16 * 1024  # bytes, as containerd's max_container_log_line_size
LARGEST_LOG = 10 * 1024 * 1024  # bytes, as the kubelet's containerLogMaxSize; then a new file takes the log's place
_BLOCK = 64 * 1024

_writers: dict[str, LogWriter] = {}


def _now() -> bytes:
    seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode() + b".%09dZ" % nanos


class LogWriter:
    """Writes one container's log. The directory has to exist; raises OSError when the file cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._key = os.path.abspath(path)
        self._file = _open_to_append(self._key)
        self._size = os.fstat(self._file).st_size
        self._pending = {"stdout": b"", "stderr": b""}
        self._waiting: list[asyncio.Future[None]] = []
        _writers[self._key] = self

    def write(self, stream: str, data: bytes) -> None:
        """Add output of "stdout" or "stderr". What is not a whole line yet is kept until it is one.

        A full disk loses lines and never stops the container.
        """
        stamp = _now() + b" " + stream.encode()
        *lines, rest = (self._pending[stream] + data).split(b"\n")
        out = bytearray()
        for line in lines:
            while len(line) > LONGEST_PART:
                out += stamp + b" P " + line[:LONGEST_PART] + b"\n"
                line = line[LONGEST_PART:]
            out += stamp + b" F " + line + b"\n"
        while len(rest) > LONGEST_PART:
            out += stamp + b" P " + rest[:LONGEST_PART] + b"\n"
            rest = rest[LONGEST_PART:]
        self._pending[stream] = rest
        self._append(out)

    def _append(self, out: bytes | bytearray) -> None:
        if not out:
            return
        try:
            self._size += os.write(self._file, out)
            if self._size > LARGEST_LOG:
                self._rotate()
        except OSError:
            return
        self._wake()

    def _rotate(self) -> None:
        """Rotate: go on in an empty file. The kubelet keeps old files, but `kubectl logs` does not show them."""
        fresh = f"{self._key}.new"
        file = _open_to_append(fresh)
        os.replace(fresh, self._key)
        os.close(self._file)
        self._file, self._size = file, 0

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def changed(self) -> asyncio.Future[None]:
        """A future that is done after the next write, or when the log is closed."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        return future

    def close(self) -> None:
        """The container has ended: write what is left of its last lines, and wake the followers."""
        for stream, rest in self._pending.items():
            if rest:  # a last line without its newline is written as a part, as containerd does
                self._append(_now() + b" " + stream.encode() + b" P " + rest + b"\n")
        os.close(self._file)
        if _writers.get(self._key) is self:
            del _writers[self._key]
        self._wake()


def _open_to_append(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def _is_replaced(file: IO[bytes], path: Path) -> bool:
    """Whether another file is at the path by now: the log was rotated (and not removed with its pod)."""
    try:
        return os.fstat(file.fileno()).st_ino != os.stat(path).st_ino
    except FileNotFoundError:
        return False


async def read_log(path: Path, options: LogOptions) -> AsyncIterator[bytes]:
    """The log's text in chunks, as `kubectl logs` prints it. Following ends when the container's log is closed.

    `options.previous` is the caller's: it chooses the path. Raises FileNotFoundError.
    """
    since = _since(options)
    bytes_left = options.limit_bytes if options.limit_bytes is not None else -1
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(path, "rb"))
        file.seek(_tail_offset(file, options.tail_lines))
        rest = b""
        at_line_start = True
        while True:
            block = file.read(_BLOCK)
            if not block:
                writer = _writers.get(os.path.abspath(path))
                if not options.follow:
                    return
                if _is_replaced(file, path):  # a rotated file ends with a whole line
                    stack.close()
                    file = stack.enter_context(open(path, "rb"))
                    continue
                if writer is None:
                    return
                await writer.changed()
                continue
            *lines, rest = (rest + block).split(b"\n")
            out = bytearray()
            for line in lines:
                stamp, _, tag, text = [*line.split(b" ", 3), b"", b"", b""][:4]
                if since and stamp[:26] < since[:26]:  # microseconds are enough
                    continue
                if options.timestamps and at_line_start:
                    out += stamp + b" "
                out += text
                at_line_start = tag != b"P"
                if at_line_start:
                    out += b"\n"
            if bytes_left >= 0:
                del out[bytes_left:]
                bytes_left -= len(out)
            if out:
                yield bytes(out)
            if bytes_left == 0:
                return


def _since(options: LogOptions) -> bytes:
    since = options.since_time
    if options.since_seconds is not None:
        since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=options.since_seconds)
    if since is None:
        return b""
    return since.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()


def _tail_offset(file: IO[bytes], lines: int | None) -> int:
    """Where the last `lines` lines begin, counted from the end backwards."""
    if lines is None or lines < 0:
        return 0
    end = file.seek(0, os.SEEK_END)
    if lines == 0:
        return end
    position, newlines = end, 0
    while position > 0:
        start = max(0, position - _BLOCK)
        file.seek(start)
        block = file.read(position - start)
        at = len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            if start + at + 1 == end:
                continue  # the newline that ends the last line
            newlines += 1
            if newlines == lines:
                return start + at + 1
        position = start
    return 0
