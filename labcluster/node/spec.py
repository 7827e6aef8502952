"""Images, containers and how they ended: the plain data that kubelet and container runtime exchange, as in the CRI."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # of images, as docker build sets it


class StartError(Exception):
    """A sandbox, a container or a program in it could not be started; the text is as containerd and runc word it."""


@dataclass(frozen=True)
class Mount:
    """A file or directory of the host, shown in the container at `target`.

    The `source` of a mount of a ContainerSpec is a path without links: one that is met later was put there by a pod.
    """

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Image:
    """A container image: what the official image of that name sets, made from programs of this machine."""

    name: str  # normalised: docker.io/valkey/valkey:8.1
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    user: int = 0
    user_name: str = "root"
    programs: tuple[Mount, ...] = ()
    files: dict[str, str] = field(default_factory=dict)  # path -> content; executable when it begins with #!
    links: dict[str, str] = field(default_factory=dict)  # path -> where the symbolic link leads
    directories: tuple[str, ...] = ()


@dataclass(frozen=True)
class ContainerSpec:
    """All that is needed to run a container."""

    name: str
    image: Image
    argv: tuple[str, ...]
    log_path: Path
    env: dict[str, str] = field(default_factory=dict)  # all of it, the image's own included
    working_dir: str = "/"
    mounts: tuple[Mount, ...] = ()
    uid: int = 0
    gid: int = 0
    capabilities: tuple[str, ...] = ()  # of user 0 beyond the default ones, without CAP_
    read_only_root: bool = False
    stdin: bool = False  # a standard input for the clients that attach; otherwise /dev/null
    stdin_once: bool = False  # it ends with the first client that attaches to it; otherwise never
    tty: bool = False  # a terminal for its streams


@dataclass(frozen=True)
class ExitStatus:
    """How a container ended. `code` is what the kubelet reports: 128 + signal when a signal ended it."""

    code: int
    signal: int
    finished_at: dt.datetime
