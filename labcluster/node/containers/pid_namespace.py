"""The PID namespace of a container that another one joins: that of its target by an ephemeral container, and that of
the pause container by all containers of a pod with shareProcessNamespace.

Who joins a PID namespace needs its capabilities in the user namespace that owns it, so both are joined. In that user
namespace there is one user, root; a container with another one makes itself a user namespace below it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal

from labcluster.node.spec import ContainerSpec, StartError

_NS_GET_USERNS = 0xB701  # ioctl on a namespace: a descriptor of the user namespace that owns it (ioctl_ns(2))
_UNSHARE = "/usr/bin/unshare"
_MAX_ROUNDS = 100  # of killing what was forked during the round before


class PidNamespace:
    """Open descriptors of a PID namespace and its owner. Raises OSError when process `pid`, a member, has ended."""

    def __init__(self, pid: int) -> None:
        self.pids = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.users = fcntl.ioctl(self.pids, _NS_GET_USERNS)
        except OSError:
            os.close(self.pids)
            raise

    @property
    def descriptors(self) -> tuple[int, int]:
        """Both, to be inherited by bwrap and closed."""
        return self.pids, self.users

    @property
    def options(self) -> list[str]:
        """The options with which bwrap joins them."""
        return ["--pidns", str(self.pids), "--userns", str(self.users), "--uid", "0", "--gid", "0"]


def as_user(spec: ContainerSpec) -> list[str]:
    """The command before a program that joins a PID namespace and does not run as root. Raises StartError."""
    if spec.uid == 0 and spec.gid == 0:
        return []
    if not os.access(_UNSHARE, os.X_OK):
        raise StartError(f"only root may share a PID namespace here: there is no {_UNSHARE}")
    return [_UNSHARE, "--user", f"--map-user={spec.uid}", f"--map-group={spec.gid}", "--"]


class MountNamespace:
    """The mount namespace of a container, kept open: by it all processes of the container are found.

    A container that is PID 1 of its own namespace takes its processes with it; one that joined another's does not.
    """

    def __init__(self, pid: int) -> None:
        """Raises OSError when process `pid` has ended."""
        self._descriptor = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def kill(self) -> None:
        """SIGKILL to every process in it; then close it."""
        own = os.fstat(self._descriptor)
        killed: set[int] = set()
        try:
            # Again for those that were forked meanwhile; a process that has been killed forks no more. What survives
            # all rounds ends with the container whose PID namespace it is in: nothing may wait for it here.
            for _ in range(_MAX_ROUNDS):
                members = {pid for pid in _processes() if pid not in killed and _is_in(pid, own)}
                if not members:
                    break
                for pid in members:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                killed |= members
        finally:
            os.close(self._descriptor)


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _is_in(pid: int, namespace: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/ns/mnt"), namespace)
    except OSError:  # it has ended: a zombie is in no namespace any more
        return False
