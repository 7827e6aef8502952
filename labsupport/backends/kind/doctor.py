"""What `lab doctor` looks at for kind: every known trouble, before it happens."""

from __future__ import annotations

import os
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from labsupport.backends.contract import Finding
from labsupport.backends.kind import create, engine, troubles
from labsupport.backends.kind.config import Config
from labsupport.backends.kind.engine import Engine, EngineError

_INOTIFY = {"max_user_instances": 512, "max_user_watches": 65536}  # what three nodes and a desktop need
_SYSCTLS = Path("/proc/sys/fs/inotify")
_MEMORY_NEEDED, _MEMORY_WANTED = 2 << 30, 4 << 30  # bytes
_CLUSTER_ADDRESSES = ("127.0.0.1", "localhost")


def examine(state: Path, config: Config, *, sysctls: Path = _SYSCTLS) -> Iterator[Finding]:
    """Look at this machine, for the lab in `state`."""
    yield _kind()
    try:
        found = engine.find()
    except EngineError as error:
        yield Finding("engine", "fail", _text(error), error.trouble.remedy)
    else:
        yield Finding("engine", "ok", f"{found.name} answers{', without root' if found.rootless else ''}")
        yield memory(found)
        yield cgroups(found)
    yield _ports(state, config)
    yield inotify(sysctls)
    yield proxy()


def _text(error: EngineError) -> str:
    return f"{error.trouble.what}{f' ({error.detail})' if error.detail else ''}"


def _kind() -> Finding:
    try:
        version = engine.kind_version()
    except EngineError as error:
        return Finding("kind", "fail", _text(error), error.trouble.remedy)
    return Finding("kind", "ok", f"version {'.'.join(map(str, version))}")


def memory(found: Engine) -> Finding:
    """Whether the engine has memory for three nodes."""
    if not found.memory:
        return Finding("memory", "note", f"{found.name} does not say how much memory it has; the course needs 2 GiB")
    text = f"{found.memory / 2**30:.1f} GiB for containers"
    if found.memory < _MEMORY_NEEDED:
        return Finding("memory", "fail", text, troubles.MEMORY.remedy)
    if found.memory < _MEMORY_WANTED:
        return Finding("memory", "note", f"{text}; with 4 GiB the cluster starts faster", troubles.MEMORY.remedy)
    return Finding("memory", "ok", text)


def cgroups(found: Engine) -> Finding:
    """Whether the engine's cgroups can hold nodes: version 2, and for rootless engines the cpu controller delegated."""
    if found.cgroup_version == "1":
        level = "fail" if found.rootless else "note"
        text = "cgroup v1: rootless engines cannot, and Kubernetes from 1.35 on does not, work with it"
        return Finding("cgroups", level, text, troubles.CGROUP.remedy)
    if found.rootless and not _delegated():
        return Finding("cgroups", "fail", "the cpu controller is not delegated to you", troubles.CGROUP.remedy)
    return Finding("cgroups", "ok", f"version {found.cgroup_version or 'not told'}")


def _delegated() -> bool:
    uid = os.getuid()
    controllers = Path(f"/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers")
    try:
        return "cpu" in controllers.read_text().split()
    except OSError:
        return True  # not a systemd machine, or the engine runs in a virtual one: kind will tell


def taken_ports(config: Config) -> list[int]:
    """The ports of the cluster that another program uses on 127.0.0.1."""
    taken = []
    for port, protocol in config.host_ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if protocol == "UDP" else socket.SOCK_STREAM) as one:
            if protocol == "TCP":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
                if protocol == "TCP":
                    one.listen()  # with SO_REUSEADDR only this tells whether somebody else listens
            except OSError:
                taken.append(port)
    return sorted(set(taken))


def _ports(state: Path, config: Config) -> Finding:
    record = create.read_record(state)
    if record and record.complete:
        return Finding("ports", "ok", "in use by this lab's cluster")
    taken = taken_ports(config)
    if taken:
        text = f"taken on 127.0.0.1: {', '.join(map(str, taken[:5]))}{' ...' if len(taken) > 5 else ''}"
        return Finding("ports", "fail", text, troubles.PORT_TAKEN.remedy.replace("`lab doctor` says which one; ", ""))
    return Finding("ports", "ok", f"all {len(config.host_ports)} are free on 127.0.0.1")


def inotify(sysctls: Path = _SYSCTLS) -> Finding:
    """Whether the kernel's limits are enough; only Linux has them (elsewhere the engine's virtual machine does)."""
    low = []
    for name, wanted in _INOTIFY.items():
        try:
            found = int((sysctls / name).read_text())
        except (OSError, ValueError):
            continue
        if found < wanted:
            low.append(f"fs.inotify.{name} is {found}, wanted {wanted}")
    if low:
        return Finding("inotify", "note", "; ".join(low), troubles.INOTIFY.remedy)
    return Finding("inotify", "ok", "the limits are high enough")


def _bypassed(host: str) -> bool:
    return bool(urllib.request.proxy_bypass_environment(host))  # type: ignore[attr-defined]


def proxy() -> Finding:
    """Whether a proxy of the environment would be asked for the cluster's own addresses."""
    proxies = urllib.request.getproxies_environment()
    if not {"http", "https", "all"} & proxies.keys():
        return Finding("proxy", "ok", "none is set")
    caught = [host for host in _CLUSTER_ADDRESSES if not _bypassed(host)]
    if caught:
        text = f"a proxy is set, and it would be asked for {', '.join(caught)}"
        return Finding("proxy", "fail", text, troubles.PROXY.remedy)
    return Finding("proxy", "ok", "the one that is set leaves 127.0.0.1 alone")
