"""Run a command as PID 1 of new user, network, mount and PID namespaces. A program of its own, standard library only.

    python -I -S linux_namespaces.py '{"command": [...], "report": 5, "keep": [6, 7], "log": "...", "record": "..."}'

`unshare` wants a process without threads, which the caller (a notebook, for example) is not. The program forks:
the first half writes the record of the daemon's PID and leaves at once, so that the daemon becomes a child of
init; the second half becomes the command. A failure is reported on the descriptor `report` as one JSON line
{"refused": {"stage", "errno", "text"}}.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import sys
from collections.abc import Iterator

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 16384, 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _write(path: str, text: str) -> None:
    with open(path, "w") as f:
        f.write(text)


def _new_namespaces() -> Iterator[str]:
    """Yield the name of each step before it is done."""
    uid, gid = os.getuid(), os.getgid()
    yield "create a user namespace"
    _check(_libc.unshare(CLONE_NEWUSER))
    yield "map the user into the new user namespace"
    _write("/proc/self/setgroups", "deny")  # needed before gid_map may be written, user_namespaces(7)
    _write("/proc/self/uid_map", f"0 {uid} 1")
    _write("/proc/self/gid_map", f"0 {gid} 1")
    yield "create network, mount and PID namespaces"
    _check(_libc.unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS))
    yield "keep mounts to the new namespace"
    _check(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))


def _start_time(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as f:
        return int(f.read().rpartition(")")[2].split()[19])


def _record(path: str, pid: int) -> None:
    with open("/proc/sys/kernel/random/boot_id") as f:
        boot = f.read().strip()
    scratch = f"{path}.new"
    _write(scratch, json.dumps({"pid": pid, "startTime": _start_time(pid), "boot": boot}) + "\n")
    os.replace(scratch, path)


def _raise_limits() -> None:
    """As many open files as allowed: every pod costs the daemon a few."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _close_all_but(keep: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            with contextlib.suppress(OSError):  # the descriptor that listed the directory is gone
                os.close(int(name))


def main(argument: str) -> int:
    """See the module's docstring. Returns the exit code of the first half; the second half does not return."""
    plan = json.loads(argument)
    report = plan["report"]
    stage = ""
    pid = -1
    try:
        for stage in _new_namespaces():  # noqa: B007 (the name of the step is for the report)
            pass
        stage = "start a process in the new PID namespace"
        recorded, go = os.pipe()
        pid = os.fork()
        if pid:
            stage = f"write {plan['record']}"
            _record(plan["record"], pid)
            os.write(go, b"x")
            return 0
        os.close(go)
        if not os.read(recorded, 1):
            return 1  # the first half failed and has reported why
        stage = "mount /proc"
        _check(_libc.mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None))
        stage = f"open {plan['log']}"
        log = os.open(plan["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        keep = {report, *plan["keep"]}
        _close_all_but(keep)
        for descriptor in keep:
            os.set_inheritable(descriptor, True)
        _raise_limits()
        stage = f"execute {plan['command'][0]}"
        os.execv(plan["command"][0], plan["command"])
    except OSError as e:
        line = {"refused": {"stage": stage, "errno": e.errno, "text": e.strerror}}
        os.write(report, json.dumps(line).encode() + b"\n")
    return 1


if __name__ == "__main__":
    os._exit(main(sys.argv[1]))
