"""Paths in directories that pods write to, opened without leaving them, whatever links a pod puts there and when.

A name that was checked may be another thing when it is used: pods that share a directory can swap it for a link in
between (a race between time of check and time of use). So a path is walked component by component, each opened without
following links (O_PATH | O_NOFOLLOW); links are read and followed here, and `..` leads to the descriptor before. What
is opened in the end is what was checked.
Upstream walks the same way: safeOpenSubPath and doSafeOpen in k8s.io/mount-utils and pkg/volume/util/subpath.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

_MAX_LINKS = 40  # as the kernel's limit
_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def open_confined(root: int, path: str, *, follow: bool = True, beneath: bool = False, make: bool = False) -> int:
    """A descriptor (O_PATH) of what `path` is below the directory `root`. Raises OSError.

    What leads above the root, absolute links included, counts from the root, as in openat2's RESOLVE_IN_ROOT; with
    `beneath` it raises EXDEV (RESOLVE_BENEATH). Without `follow` a link raises ELOOP (RESOLVE_NO_SYMLINKS). With
    `make`, directories that are missing are made.
    """
    way = [os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)]  # from the root to where we are
    ahead = path.split("/")[::-1]
    links = 0

    def back_to_root() -> None:
        if beneath:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        while len(way) > 1:
            os.close(way.pop())

    try:
        while ahead:
            name = ahead.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if len(way) > 1:
                    os.close(way.pop())
                else:
                    back_to_root()
                continue
            way.append(_open(name, way[-1], make=make))
            try:
                target = os.readlink("", dir_fd=way[-1])
            except OSError:  # not a link
                continue
            links += 1
            if links > _MAX_LINKS or not follow:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            os.close(way.pop())
            if target.startswith("/"):
                back_to_root()
            ahead += target.split("/")[::-1]
        return way.pop()
    finally:
        for descriptor in way:
            os.close(descriptor)


def _open(name: str, directory: int, *, make: bool) -> int:
    with contextlib.suppress(FileNotFoundError) if make else contextlib.nullcontext():
        return os.open(name, _FLAGS, dir_fd=directory)
    with contextlib.suppress(FileExistsError):  # another has just made it
        os.mkdir(name, dir_fd=directory)
    return os.open(name, _FLAGS, dir_fd=directory)


def open_in_process(pid: int, path: str) -> int:
    """A descriptor (O_PATH) of a directory as process `pid` sees it; `path` is absolute there. Raises OSError.

    Who opens /proc/PID/root/data/w follows a link /data/w -> /root to the opener's own /root: this does not.
    """
    with opened(Path(f"/proc/{pid}/root")) as root:
        directory = open_confined(root, path)
    try:
        return os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    finally:
        os.close(directory)


def open_without_links(path: Path) -> int:
    """A descriptor (O_PATH) of an absolute path without links. Raises OSError: ELOOP where there is one."""
    with opened(Path("/")) as root:
        return open_confined(root, str(path), follow=False)


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[int]:
    """A descriptor (O_PATH) of a directory that no pod can rename or replace, while it is needed. Raises OSError."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def path_of(descriptor: int) -> Path:
    """Where an open file or directory is now, without links. What was opened once may be elsewhere at the next use."""
    return Path(os.readlink(f"/proc/self/fd/{descriptor}"))
