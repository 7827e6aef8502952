"""Network namespaces held by an open descriptor, and the one thread that enters them.

A namespace belongs to a thread, so all that has to happen inside another one (making it, configuring
its interfaces, starting a process in it) is run on a thread of its own and never on the event loop's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from labcluster.node.containers.syscalls import CLONE_NEWNET, CLONE_NEWPID, setns, unshare

T = TypeVar("T")

_NAMES = {CLONE_NEWNET: "net", CLONE_NEWPID: "pid"}


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
        setns(descriptor, kind)
        try:
            yield
        finally:
            setns(home, kind)
    finally:
        os.close(home)


def create_network_namespace() -> int:
    """Make a network namespace and return the descriptor that keeps it alive. Blocks (call it on the thread).

    Ports below 1024 are open to every user in it, as containerd has it for pods
    (enable_unprivileged_ports), since the programs run without capabilities.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare(CLONE_NEWNET)
        try:
            set_sysctl("net/ipv4/ip_unprivileged_port_start", "0")
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def set_sysctl(name: str, value: str) -> None:
    """Write a sysctl of the calling thread's namespace, for example `net/ipv4/ip_forward`."""
    Path("/proc/sys", name).write_text(value)
