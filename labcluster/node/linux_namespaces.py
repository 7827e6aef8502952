"""Linux namespaces: the system calls that make and enter them, and the thread on which that happens.

A namespace belongs to a thread, so all that has to happen inside another one (making it, configuring its interfaces,
starting a process in it) is run on a thread of its own and never on the event loop's. Python 3.11 offers neither
unshare(2) nor setns(2): they are called in the C library.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_NAMES = {CLONE_NEWNET: "net", CLONE_NEWPID: "pid"}  # in /proc/PID/ns

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _unshare(flags: int) -> None:
    """Move the calling thread into new namespaces (unshare(2)); raises OSError."""
    _check(_libc.unshare(ctypes.c_int(flags)))


def _setns(descriptor: int, kind: int) -> None:
    """Move the calling thread into the namespace that an open descriptor holds (setns(2)); raises OSError."""
    _check(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)))


class NamespaceThread:
    """A thread whose namespaces may be changed for the length of a call.

    One thread, so calls run in order; each of them takes a few milliseconds.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="namespaces")

    async def run(self, function: Callable[[], T]) -> T:
        """Run `function` on the thread and return what it returns; its exceptions are raised here."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    def close(self) -> None:
        """End the thread after the calls that are under way."""
        self._executor.shutdown(wait=True)


@contextmanager
def entered(descriptor: int, kind: int = CLONE_NEWNET) -> Iterator[None]:
    """Put the calling thread into a namespace for the length of a `with` block.

    For CLONE_NEWPID it is the processes started in the block that live there (pid_namespaces(7)).
    """
    home = os.open(f"/proc/thread-self/ns/{_NAMES[kind]}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(descriptor, kind)
        try:
            yield
        finally:
            _setns(home, kind)
    finally:
        os.close(home)


def create_network_namespace() -> int:
    """Make a network namespace and return the descriptor that keeps it alive. Blocks (call it on the thread).

    Ports below 1024 are open to every user in it, as containerd has it for pods
    (enable_unprivileged_ports), since the programs run without capabilities.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _unshare(CLONE_NEWNET)
        try:
            set_sysctl("net/ipv4/ip_unprivileged_port_start", "0")
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def set_sysctl(name: str, value: str) -> None:
    """Write a sysctl of the calling thread's namespace, for example `net/ipv4/ip_forward`."""
    Path("/proc/sys", name).write_text(value)
