"""The few system calls that Python (3.11) does not offer: namespaces and mounts, through the C library."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

NS_GET_USERNS = 0xB701  # ioctl on a namespace: a descriptor of the user namespace that owns it (ioctl_ns(2))

TIOCSPTLCK = 0x40045431  # ioctl on a pty's master: lock (1) or unlock (0) its slave
TIOCGPTN = 0x80045430  # ioctl on a pty's master: the number of its slave in /dev/pts
TIOCGPTPEER = 0x5441  # ioctl on a pty's master: a descriptor of its slave, without a path (Linux >= 4.13)

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces (unshare(2)); raises OSError."""
    _check(_libc.unshare(ctypes.c_int(flags)))


def setns(descriptor: int, kind: int) -> None:
    """Move the calling thread into the namespace that an open descriptor holds (setns(2)); raises OSError."""
    _check(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)))
