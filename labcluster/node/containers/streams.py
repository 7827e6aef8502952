"""The three streams of a container: into its log, and to and from the clients that are attached to it.

Upstream: containerd's internal/cri/io/container_io.go. As there, a client gets what comes after it has attached, and
one that does not read makes the container wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator

from labcluster.api.pod_runtime import STDERR, STDOUT
from labcluster.node.containers import terminal as pty
from labcluster.node.containers.log import LogWriter
from labcluster.node.containers.pipe import OutputPipe, OutputReader
from labcluster.node.containers.process import Stdio
from labcluster.node.containers.standard_input import StandardInput
from labcluster.node.spec import ContainerSpec

_QUEUE = 16  # blocks of output that wait for a slow client; then the container has to wait

# What runs first in the container and executes the program. An empty line on its output says that the container is set
# up: bubblewrap tells only when it begins to do that. A terminal can be opened only then, in the container's own
# /dev/pts; the shell reads its path, and by opening it makes it the program's controlling terminal.
_WRAPPER = ("/bin/sh", "-c", 'echo; exec "$@"', "sh")
_WRAPPER_ON_TERMINAL = ("/bin/sh", "-c", 'echo; read -r terminal; exec "$@" <>"$terminal" >&0 2>&1', "sh")


class ContainerStreams:
    """The streams of one run of a container. Closes the log with them."""

    def __init__(self, spec: ContainerSpec, log: LogWriter) -> None:
        """Make the pipes. Raises OSError."""
        self.wrapper = _WRAPPER_ON_TERMINAL if spec.tty else _WRAPPER
        self.stdin_once = spec.stdin_once and not spec.tty
        self.stdin: StandardInput | None = None
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._spec = spec
        self._log = log
        self._attached: set[Attachment] = set()
        self._slow: set[Attachment] = set()
        self._ended = False
        self._terminal: OutputReader | None = None
        self._stdout = OutputPipe(self._on_stdout)
        self._stderr = OutputPipe(lambda data: self._on_output(STDERR, data))
        self._readers: list[OutputReader] = [self._stdout, self._stderr]
        self._stdin = self._stdin_writer = subprocess.DEVNULL
        if spec.stdin or spec.tty:
            self._stdin, self._stdin_writer = os.pipe2(os.O_CLOEXEC)

    @property
    def for_child(self) -> Stdio:
        """The child's ends of the pipes."""
        return Stdio(self._stdin, self._stdout.writer, self._stderr.writer)

    def start(self) -> None:
        """The child has its ends: close them here, and begin to read."""
        self._close_stdin_of_child()
        self._stdout.start()
        self._stderr.start()
        if self._spec.stdin and not self._spec.tty:
            self.stdin, self._stdin_writer = StandardInput(self._stdin_writer, terminal=False), -1

    def open_terminal(self, pid: int) -> None:
        """Open the terminal of a container that has started with `tty`. Raises OSError."""
        if not self._spec.tty:
            return
        self._terminal = OutputReader(pty.open_master(pid), lambda data: self._on_output(STDOUT, data))
        self._readers.append(self._terminal)
        if self._spec.stdin:
            self.stdin = StandardInput(os.dup(self._terminal.descriptor), terminal=True)
        path = pty.path_of_slave(self._terminal.descriptor)
        os.write(self._stdin_writer, path.encode() + b"\n")
        os.close(self._stdin_writer)
        self._stdin_writer = -1
        self._terminal.start()

    def _on_stdout(self, data: bytes) -> None:
        if not self.started.done():
            self.started.set_result(None)
            data = data[1:]  # the wrapper's empty line
        if data:
            self._on_output(STDOUT, data)

    def _on_output(self, channel: int, data: bytes) -> None:
        self._log.write("stdout" if channel == STDOUT else "stderr", data)
        for client in self._attached:
            client.put(channel, data)
            if client.is_slow:
                self._slow.add(client)
        if self._slow and not self._ended:
            for reader in self._readers:
                reader.pause()

    def attach(self, *, stdin: bool) -> Attachment:
        """Attach a client; it may write to the container's input only with `stdin`."""
        client = Attachment(self, self.stdin if stdin else None)
        if self._ended:
            client.end()
        else:
            self._attached.add(client)
        return client

    def caught_up(self, client: Attachment) -> None:
        """A client has read what it was slow to read, or has left."""
        if client in self._slow:
            self._slow.remove(client)
            if not self._slow:
                for reader in self._readers:
                    reader.resume()

    def detach(self, client: Attachment) -> None:
        """Forget a client; may be called again."""
        self._attached.discard(client)
        self.caught_up(client)
        client.end()

    def resize(self, columns: int, rows: int) -> None:
        """Set the terminal's size, if there is one."""
        if self._terminal is not None and self._terminal.descriptor >= 0:
            pty.resize(self._terminal.descriptor, columns, rows)

    async def drained(self) -> None:
        """The container has ended: take the rest of its output, whether or not clients keep up, and close all."""
        self._ended = True
        for reader in self._readers:
            reader.resume()
        for reader in self._readers:
            await reader.drained()
        self.close()

    async def stderr_drained(self) -> None:
        """Wait until the standard error of a child which failed is read."""
        await self._stderr.drained()

    def close(self) -> None:
        """Close everything; the clients get what they have not read yet."""
        self._ended = True
        for reader in self._readers:
            reader.close()
        self._close_stdin_of_child()
        if self._stdin_writer >= 0:
            os.close(self._stdin_writer)
            self._stdin_writer = -1
        if self.stdin is not None:
            self.stdin.abort()
        for client in tuple(self._attached):
            self.detach(client)
        self._log.close()

    def _close_stdin_of_child(self) -> None:
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1


class Attachment:
    """One client that is attached to the streams of a container; implements api.pod_runtime.StreamSession."""

    def __init__(self, streams: ContainerStreams, stdin: StandardInput | None) -> None:
        self._streams = streams
        self._stdin = stdin
        self._queue: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()

    def put(self, channel: int, data: bytes) -> None:
        """Queue output of the container for the client."""
        self._queue.put_nowait((channel, data))

    @property
    def is_slow(self) -> bool:
        """Whether the client's queue is full."""
        return self._queue.qsize() >= _QUEUE

    def end(self) -> None:
        """No more output comes."""
        self._queue.put_nowait(None)

    async def write_stdin(self, data: bytes) -> None:
        """Write to the container's input; waits when it does not read, and drops what it can no longer read."""
        if self._stdin is not None:
            await self._stdin.write(data)

    async def close_stdin(self) -> None:
        """The client's input has ended. With stdinOnce that ends the container's; otherwise it detaches the client."""
        if self._stdin is None:
            return
        if self._streams.stdin_once:
            self._stdin.close()
        else:
            self._streams.detach(self)

    def resize(self, columns: int, rows: int) -> None:
        """Set the size of the container's terminal."""
        self._streams.resize(columns, rows)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Chunks of output until the container has ended or the client is detached; for one reader."""
        while (item := await self._queue.get()) is not None:
            if self._queue.qsize() < _QUEUE // 2:
                self._streams.caught_up(self)
            yield item

    async def wait(self) -> int:
        """Always 0: the exit code is in the pod's status (kubelet's ServeAttach)."""
        return 0

    async def close(self) -> None:
        """The client has disconnected: its input ends, the container runs on."""
        with contextlib.suppress(OSError):
            await self.close_stdin()
        self._streams.detach(self)
