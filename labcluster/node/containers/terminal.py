"""Pseudoterminals of a container's own /dev/pts, from the master's side (pty(7), ioctl_tty(2))."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios

from labcluster.node.containers.confined_paths import open_in_process

_TIOCSPTLCK = 0x40045431  # ioctl on a master: lock (1) or unlock (0) its slave
_TIOCGPTN = 0x80045430  # ioctl on a master: the number of its slave in /dev/pts
_TIOCGPTPEER = 0x5441  # ioctl on a master: a descriptor of its slave, without a path (Linux >= 4.13)

_FLAGS = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC


def open_master(pid: int) -> int:
    """A new terminal in the container of process `pid`: its master. Raises OSError when the process has ended."""
    directory = open_in_process(pid, "/dev/pts")
    try:
        master = os.open("ptmx", _FLAGS | os.O_NOFOLLOW, dir_fd=directory)
    finally:
        os.close(directory)
    try:
        fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    except OSError:
        os.close(master)
        raise
    return master


def open_slave(master: int) -> int:
    """A descriptor of the slave, the side that the program gets. Raises OSError."""
    return fcntl.ioctl(master, _TIOCGPTPEER, _FLAGS)


def path_of_slave(master: int) -> str:
    """The path of the slave in the container. Raises OSError."""
    (number,) = struct.unpack("I", fcntl.ioctl(master, _TIOCGPTN, bytes(4)))
    return f"/dev/pts/{number}"


def resize(master: int, columns: int, rows: int) -> None:
    """Set the size; the program in the foreground gets SIGWINCH. Does nothing for sizes that no terminal has."""
    with contextlib.suppress(OSError, struct.error):
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
