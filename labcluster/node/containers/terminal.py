"""Pseudoterminals of a container's own /dev/pts, seen from the master's side (pty(7), ioctl_tty(2))."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios

from labcluster.node.containers.confined import open_in_process
from labcluster.node.containers.syscalls import TIOCGPTN, TIOCGPTPEER, TIOCSPTLCK

_FLAGS = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC


def open_master(pid: int) -> int:
    """A new terminal in the container of process `pid`: its master. Raises OSError when the process has ended."""
    directory = open_in_process(pid, "/dev/pts")
    try:
        master = os.open("ptmx", _FLAGS | os.O_NOFOLLOW, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
    except OSError:
        os.close(master)
        raise
    return master


def open_slave(master: int) -> int:
    """A descriptor of the side that the program gets. Raises OSError."""
    return fcntl.ioctl(master, TIOCGPTPEER, _FLAGS)


def path_of_slave(master: int) -> str:
    """Where the container finds that side. Raises OSError."""
    (number,) = struct.unpack("I", fcntl.ioctl(master, TIOCGPTN, bytes(4)))
    return f"/dev/pts/{number}"


def resize(master: int, columns: int, rows: int) -> None:
    """Set the size; the program in the foreground gets SIGWINCH. Does nothing for sizes that no terminal has."""
    with contextlib.suppress(OSError, struct.error):
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
