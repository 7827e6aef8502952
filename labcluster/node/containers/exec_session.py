"""Exec: programs run inside a running container (`kubectl exec`, exec probes, lifecycle hooks).

The namespace thread enters the container's PID namespace and starts nsenter there, which enters the others and
becomes the program. So the program is the daemon's own child, and its exit status and signals are exact.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from labcluster.api.pod_runtime import STDERR, STDOUT
from labcluster.node.containers import terminal as pty
from labcluster.node.containers.confined_paths import open_confined, open_in_process, opened
from labcluster.node.containers.process import Child, Processes, Stdio
from labcluster.node.containers.rootfs import exec_not_started, find_program, missing_program
from labcluster.node.containers.standard_input import StandardInput
from labcluster.node.spec import PATH, StartError

_BLOCK = 64 * 1024
_QUEUE = 16  # blocks of output that wait for a slow reader; then the program has to wait


class ProcessSession:
    """A program in a container with its streams; implements api.pod_runtime.StreamSession."""

    def __init__(
        self, child: Child, stdin: StandardInput | None, outputs: dict[int, int], terminal: int | None
    ) -> None:
        self._child = child
        self._loop = asyncio.get_running_loop()
        self._stdin = stdin
        self._terminal = terminal
        self._outputs = outputs  # descriptor -> STDOUT or STDERR
        self._paused: set[int] = set()
        self._queue: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        for descriptor in outputs:
            os.set_blocking(descriptor, False)
            self._loop.add_reader(descriptor, self._read, descriptor)
        self._watch = self._loop.create_task(self._end())

    def _read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _BLOCK)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: a terminal without a program at the other end
        if not data:
            self._close_stream(descriptor)
            return
        self._queue.put_nowait((self._outputs[descriptor], data))
        if self._queue.qsize() >= _QUEUE:
            self._loop.remove_reader(descriptor)
            self._paused.add(descriptor)

    def _close_stream(self, descriptor: int) -> None:
        if self._outputs.pop(descriptor, None) is None:
            return
        self._paused.discard(descriptor)
        self._loop.remove_reader(descriptor)
        if descriptor == self._terminal:
            self._terminal = None
        os.close(descriptor)
        if not self._outputs:
            self._queue.put_nowait(None)

    async def _end(self) -> int:
        code = await self._child.wait()
        if self._stdin is not None:
            self._stdin.abort()
        # A program that it left behind may hold the streams open for ever; what is in them now is still read.
        for descriptor in list(self._outputs):
            if descriptor not in self._paused:
                self._drain(descriptor)
        return code if code >= 0 else 128 - code

    def _drain(self, descriptor: int) -> None:
        """Read what is in a stream now, bounded: a program that writes on must not hold up the event loop."""
        with contextlib.suppress(OSError):
            for _ in range(_QUEUE):
                data = os.read(descriptor, _BLOCK)
                if not data:
                    break
                self._queue.put_nowait((self._outputs[descriptor], data))
        self._close_stream(descriptor)

    async def write_stdin(self, data: bytes) -> None:
        """Write to the program's input; waits when it does not read, and drops what it can no longer read."""
        if self._stdin is not None:
            await self._stdin.write(data)

    async def close_stdin(self) -> None:
        """End the program's input (on a terminal: type Ctrl-D)."""
        if self._stdin is not None:
            self._stdin.close()

    def resize(self, columns: int, rows: int) -> None:
        """Set the terminal's size; the program gets SIGWINCH."""
        if self._terminal is not None:
            pty.resize(self._terminal, columns, rows)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Chunks of output until the program has ended and all is read; for one reader."""
        while (item := await self._queue.get()) is not None:
            if self._queue.qsize() < _QUEUE // 2:
                self._resume()
            yield item

    def _resume(self) -> None:
        paused, self._paused = self._paused, set()
        for descriptor in paused:
            if self._watch.done():
                self._drain(descriptor)
            else:
                self._loop.add_reader(descriptor, self._read, descriptor)

    async def wait(self) -> int:
        """The exit code; 128 + signal when a signal ended it."""
        return await asyncio.shield(self._watch)

    async def close(self) -> None:
        """SIGKILL, wait for the end, and close the streams, which nobody reads any more."""
        self._child.kill()
        await self.wait()
        for descriptor in list(self._outputs):
            self._close_stream(descriptor)


def _check_program(pid: int, argv: Sequence[str], path: str, working_dir: str) -> None:
    if not argv:
        raise exec_not_started("no command specified")
    root = Path(f"/proc/{pid}/root")
    if not (root / "proc").is_dir():
        raise StartError("the container is not running")
    with opened(root) as inside:

        def executable(name: str) -> bool | None:
            try:
                descriptor = open_confined(inside, name)  # links lead to where they lead in the container
            except OSError:
                return None
            try:
                mode = os.fstat(descriptor).st_mode
            finally:
                os.close(descriptor)
            return bool(mode & 0o111) if stat.S_ISREG(mode) else None

        is_executable = find_program(argv[0], path, executable, working_dir)
    if is_executable is None:
        raise exec_not_started(missing_program(argv[0]))
    if not is_executable:
        raise exec_not_started(f'exec: "{argv[0]}": permission denied')


def _tool(name: str) -> str:
    return shutil.which(name) or f"/usr/bin/{name}"


# `kubectl cp` unpacks as root and hands the files to the uid they had at home; in here there is no other uid than one.
_TAR_ENVIRONMENT = {"TAR_OPTIONS": "--no-same-owner"}


async def start_session(
    processes: Processes,
    pid: int,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    working_dir: str,
    stdin: bool,
    tty: bool,
) -> ProcessSession:
    """Run a program in the namespaces of process `pid`. Raises StartError."""
    _check_program(pid, argv, env.get("PATH", PATH), working_dir)
    if os.path.basename(argv[0]) == "tar":
        env = {**_TAR_ENVIRONMENT, **env}
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:

        def owned(stack: contextlib.ExitStack, descriptor: int) -> int:
            stack.callback(os.close, descriptor)
            return descriptor

        try:
            directory = owned(theirs, open_in_process(pid, working_dir))
        except OSError as e:
            raise exec_not_started(f'chdir to cwd ("{working_dir}") failed: {e.strerror}') from e
        command = [_tool("nsenter"), "--target", str(pid), "--user", "--mount", "--uts", "--ipc", "--net"]
        command += ["--preserve-credentials", "--wd=.", "--", *argv]  # where the process is started
        try:
            namespace = owned(theirs, os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC))
            terminal = None
            if tty:
                terminal = owned(ours, pty.open_master(pid))
                slave = owned(theirs, pty.open_slave(terminal))
                stdio = Stdio(slave, slave, slave)
                outputs = {terminal: STDOUT}
                write_end = owned(ours, os.dup(terminal)) if stdin else None
                env = {"TERM": "xterm", **env}
                command = [_tool("setsid"), "--ctty", *command]
            else:
                out, out_child = os.pipe2(os.O_CLOEXEC)
                err, err_child = os.pipe2(os.O_CLOEXEC)
                outputs = {owned(ours, out): STDOUT, owned(ours, err): STDERR}
                stdio = Stdio(subprocess.DEVNULL, owned(theirs, out_child), owned(theirs, err_child))
                write_end = None
                if stdin:
                    read_end, write_end = os.pipe2(os.O_CLOEXEC)
                    stdio = replace(stdio, stdin=owned(theirs, read_end))
                    owned(ours, write_end)
            child = await processes.spawn(
                command,
                stdio,
                env=env,
                pid_namespace=namespace,
                directory=f"/proc/self/fd/{directory}",
                new_session=not tty,
            )
        except OSError as e:
            raise StartError(f"the container is not running: {e.strerror}") from e
        ours.pop_all()
    standard_input = None if write_end is None else StandardInput(write_end, terminal=tty)
    return ProcessSession(child, standard_input, outputs, terminal)
