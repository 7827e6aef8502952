"""Directories of a container, opened from outside without leaving it.

Who opens /proc/PID/root/data/w follows a link /data/w -> /root to the opener's own /root. The container wrote that
link, so its links are followed here as the container itself would: from its root, and never above it.
"""

from __future__ import annotations

import errno
import os

_MOST_LINKS = 40  # as the kernel's limit
_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def open_directory(pid: int, path: str) -> int:
    """A descriptor (O_PATH) of a directory as process `pid` sees it; `path` is absolute there. Raises OSError."""
    way = [os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]  # from the root to where we are
    ahead = path.split("/")[::-1]
    links = 0
    try:
        while ahead:
            name = ahead.pop()
            if name == "..":
                if len(way) > 1:
                    os.close(way.pop())
                continue
            if name in ("", "."):
                continue
            found = os.open(name, _FLAGS, dir_fd=way[-1])
            way.append(found)
            try:
                target = os.readlink("", dir_fd=found)
            except OSError:  # no link
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            os.close(way.pop())
            if target.startswith("/"):
                while len(way) > 1:
                    os.close(way.pop())
            ahead += target.split("/")[::-1]
        return os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=way[-1])
    finally:
        for descriptor in way:
            os.close(descriptor)
