"""The daemon's child processes: started on the namespace thread, awaited through pidfds; and the reaper of orphans."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from labcluster.node.linux_namespaces import CLONE_NEWNET, CLONE_NEWPID, NamespaceThread, entered


@dataclass(frozen=True)
class Stdio:
    """The descriptors that become a child's standard streams."""

    stdin: int = subprocess.DEVNULL
    stdout: int = subprocess.DEVNULL
    stderr: int = subprocess.DEVNULL


class Child:
    """A child process. Its end is seen through a pidfd: no thread and no polling."""

    def __init__(self, popen: subprocess.Popen[bytes], on_end: Callable[[], None]) -> None:
        self._popen = popen
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = os.pidfd_open(popen.pid)
        self._loop.add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        """The process id in the daemon's PID namespace."""
        return self._popen.pid

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._ended.set_result(self._popen.wait())
        self._on_end()

    async def wait(self) -> int:
        """The exit code, or -signal. May be awaited by several."""
        return await asyncio.shield(self._ended)

    def kill(self) -> None:
        """SIGKILL; nothing when it has ended."""
        self._popen.kill()


def _kill(starting: asyncio.Future[Child]) -> None:
    """End a child whose start was cancelled."""
    if not starting.exception():
        starting.result().kill()


class Processes:
    """Starts children and, as PID 1, reaps the processes that become orphans.

    Every child of the daemon has to be started here: the reaper takes all others for orphans.
    """

    def __init__(self, thread: NamespaceThread) -> None:
        self._thread = thread
        self._known: set[int] = set()
        self._starting = 0

    def start(self) -> None:
        """Begin to reap orphans, if this process is a PID 1."""
        if os.getpid() == 1:
            asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self.reap)

    def stop(self) -> None:
        """Reap no more."""
        if os.getpid() == 1:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)

    async def spawn(
        self,
        argv: Sequence[str],
        stdio: Stdio,
        *,
        env: Mapping[str, str],
        network: int | None = None,
        pid_namespace: int | None = None,
        pass_fds: Sequence[int] = (),
        directory: str = "/",
        new_session: bool = True,
    ) -> Child:
        """Start a program, in another network namespace and as a member of another PID namespace if given.

        The namespace thread enters them and starts it from there, with vfork and without a preexec_fn: a
        fork of the whole daemon would cost several times as much. Raises OSError.
        """

        def start() -> subprocess.Popen[bytes]:
            with contextlib.ExitStack() as stack:
                if network is not None:
                    stack.enter_context(entered(network, CLONE_NEWNET))
                if pid_namespace is not None:
                    stack.enter_context(entered(pid_namespace, CLONE_NEWPID))
                return subprocess.Popen(
                    argv,
                    env=env,
                    stdin=stdio.stdin,
                    stdout=stdio.stdout,
                    stderr=stdio.stderr,
                    pass_fds=pass_fds,
                    start_new_session=new_session,
                    umask=0o022,
                    cwd=directory,
                )

        starting = asyncio.ensure_future(self._start(start))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_kill)
            raise

    async def _start(self, start: Callable[[], subprocess.Popen[bytes]]) -> Child:
        self._starting += 1
        try:
            popen = await self._thread.run(start)
            self._known.add(popen.pid)
        finally:
            self._starting -= 1
        child = Child(popen, lambda: self._forget(popen.pid))
        self.reap()
        return child

    def _forget(self, pid: int) -> None:
        self._known.discard(pid)
        self.reap()

    def reap(self) -> None:
        """Reap the orphans that have ended. While a child is being started nobody knows its PID: then later."""
        if self._starting or os.getpid() != 1:
            return
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if ended.si_pid in self._known:
                    return  # Child._reap takes it, and _forget comes back here
                os.waitpid(ended.si_pid, os.WNOHANG)
