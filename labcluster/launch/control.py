"""Start and stop the embedded cluster's daemon: one process, PID 1 of its own namespaces.

Whatever happens to the daemon, kill -9 included, the kernel then ends everything that ran in its PID namespace
and drops its networks and mounts. So stopping is one signal and there is nothing to clean up.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labcluster import settings
from labcluster.launch import search
from labcluster.launch.errors import LaunchError, disk_full, namespaces_refused, tool_missing
from labcluster.launch.host_ports import Ports, bind_host_sockets, read_ports

RECORD = "daemon.json"
LOG = "daemon.log"
_SCRIPT = Path(__file__).with_name("linux_namespaces.py")
TOOLS = {"nsenter": "util-linux", "setsid": "util-linux", "flock": "util-linux"}
ROOM_NEEDED = 32 * 1024 * 1024  # bytes; the state of a cluster with some pods
_LOG_LIMIT = 4 * 1024 * 1024  # bytes; a larger log is rotated at a start


@dataclass(frozen=True)
class Launched:
    """A daemon that runs and is ready."""

    pid: int
    ports: Ports
    already: bool  # it ran already
    facts: dict[str, Any] = field(default_factory=dict)  # what the daemon reported with Report.ready


@dataclass(frozen=True)
class _Process:
    """A daemon that is known to be ours: a PID with the start time that daemon.json has."""

    pid: int
    descriptor: int


@contextlib.contextmanager
def _locked(state_dir: Path, timeout: float) -> Iterator[int]:
    """Hold <state>/lock, so that two commands do not start or stop the same lab at once; yields its descriptor.

    A daemon that is being started holds it, too, until it is ready: when the command that started it is killed, the
    next one waits until the cluster has started.
    """
    lock = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # flock(2) has no timeout; flock(1) on the same open file has one, and the lock it gets is ours.
            waiter = subprocess.run(["flock", "--timeout", f"{timeout:.0f}", str(lock)], pass_fds=[lock], check=False)
            if waiter.returncode:
                raise LaunchError(
                    f"Another command has been starting or stopping this lab for {timeout:.0f} seconds.",
                    f"See which one: fuser -v {state_dir / 'lock'}",
                ) from None
        yield lock
    finally:
        os.close(lock)


@contextlib.contextmanager
def _daemon(state_dir: Path) -> Iterator[_Process | None]:
    """The running daemon of this lab, held by a pidfd so that its PID cannot come to mean another process."""
    try:
        pid, start_time, boot = _read_record(state_dir)
        descriptor = os.pidfd_open(pid)
    except (OSError, LookupError):
        yield None
        return
    try:
        stat = search.proc_stat(pid)
        ours = boot == search.boot_id() and len(stat) > 19 and int(stat[19]) == start_time and stat[0] not in "ZX"
        yield _Process(pid, descriptor) if ours else None
    finally:
        os.close(descriptor)


def _read_record(state_dir: Path) -> tuple[int, int, str]:
    """PID, start time and boot of the daemon. Raises LookupError when there is no record and no daemon runs."""
    try:
        data = json.loads((state_dir / RECORD).read_text())
        return int(data["pid"]), int(data["startTime"]), str(data["boot"])
    except (OSError, ValueError, KeyError, TypeError):
        data = search.recover_record(state_dir / RECORD)
        return data["pid"], data["startTime"], data["boot"]


def is_running(state_dir: Path) -> bool:
    """Whether the daemon of the lab in `state_dir` runs (it may still be starting)."""
    with _daemon(state_dir) as process:
        return process is not None


def _ends_within(process: _Process, seconds: float) -> bool:
    poll = select.poll()
    poll.register(process.descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def stop(state_dir: Path, *, timeout: float = 20) -> bool:
    """Stop the lab's daemon and with it every pod: SIGTERM, and SIGKILL after `timeout` seconds.

    Returns whether it ran. Never signals another process than the one that daemon.json describes.
    Raises LaunchError when the kernel does not end it.
    """
    if not state_dir.is_dir():
        return False
    with _locked(state_dir, timeout + 15):
        return _stop(state_dir, timeout)


def _stop(state_dir: Path, timeout: float) -> bool:
    with _daemon(state_dir) as process:
        if process:
            _signal(process, signal.SIGTERM)
            if not _ends_within(process, timeout):
                _signal(process, signal.SIGKILL)
                if not _ends_within(process, 10):
                    raise LaunchError(
                        f"Process {process.pid} does not end, not even by SIGKILL.",
                        "A system call of it hangs (a dead network disk?); restart the machine.",
                    )
        (state_dir / RECORD).unlink(missing_ok=True)
        return process is not None


def _signal(process: _Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process.descriptor, number)


def start(
    state_dir: Path,
    *,
    node_ports: Sequence[int] = settings.NODE_PORTS,
    dns_node_port: int = settings.DNS_NODE_PORT,
    api_port: int = settings.API_PORT,
    progress: Callable[[str], None] = lambda text: None,
    timeout: float = 60,
    command: Sequence[str] = (sys.executable, "-m", "labcluster.daemon"),
) -> Launched:
    """Start the daemon of the lab in `state_dir` and wait until it says that it is ready (`timeout` in seconds).

    Does nothing when it runs already. The daemon is called as `command --state DIR --sockets JSON`; `progress`
    gets its lines. Raises LaunchError with the remedy; then nothing is left running.
    """
    state_dir = state_dir.absolute()
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(state_dir, timeout) as lock:
            with _daemon(state_dir) as process:
                if process and (ports := read_ports(state_dir)):
                    return Launched(process.pid, ports, already=True)
            _stop(state_dir, timeout=5)
            _check_tools()
            _check_disk_space(state_dir)
            _rotate(state_dir / LOG)
            return _start(state_dir, node_ports, dns_node_port, api_port, progress, timeout, list(command), lock)
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(state_dir) from e
        raise LaunchError(
            f"{e.strerror}: {e.filename or state_dir}", "See that the directory is yours, and writable."
        ) from e


def _start(
    state_dir: Path,
    node_ports: Sequence[int],
    dns_node_port: int,
    api_port: int,
    progress: Callable[[str], None],
    timeout: float,
    command: list[str],
    lock: int,
) -> Launched:
    ports, sockets = bind_host_sockets(state_dir, api_port=api_port, dns_node_port=dns_node_port, node_ports=node_ports)
    try:
        with contextlib.closing(_ReportReader.create()) as report:
            described = json.dumps({**sockets.descriptors(), "report": report.writer, "lock": lock})
            keep = [lock, *(s.fileno() for s in sockets.all())]
            try:
                _spawn_in_namespaces(
                    [*command, "--state", str(state_dir), "--sockets", described], state_dir, report, keep
                )
                facts = report.wait(progress, timeout, state_dir / LOG)
                with _daemon(state_dir) as process:
                    if process:
                        return Launched(process.pid, ports, already=False, facts=facts)
                raise LaunchError("The daemon ended just after it was ready." + _log_tail(state_dir / LOG))
            except BaseException:
                _stop(state_dir, timeout=2)
                raise
    finally:
        sockets.close()


def _spawn_in_namespaces(command: list[str], state_dir: Path, report: _ReportReader, keep: list[int]) -> None:
    """Run linux_namespaces.py; returns when its first half has exited, and the command runs."""
    plan = {
        "command": command,
        "report": report.writer,
        "keep": keep,
        "log": str(state_dir / LOG),
        "record": str(state_dir / RECORD),
    }
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_SCRIPT), json.dumps(plan)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[report.writer, *keep],
        start_new_session=True,  # Ctrl-C is for the command that waits, not for the daemon
        cwd="/",
    )
    report.close_writer()
    child.wait(timeout=30)


class _ReportReader:
    """The reading end of the pipe on which the daemon reports its progress (the other is inherited.Report)."""

    def __init__(self, reader: int, writer: int) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    def create(cls) -> _ReportReader:
        return cls(*os.pipe())

    def close_writer(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def close(self) -> None:
        self.close_writer()
        os.close(self.reader)

    def wait(self, progress: Callable[[str], None], timeout: float, log: Path) -> dict[str, Any]:
        """Pass progress on until the daemon is ready; returns the facts that it reported. Raises LaunchError."""
        deadline = time.monotonic() + timeout
        last = "nothing yet"
        for line in self._lines(deadline):
            if "progress" in line:
                last = str(line["progress"])
                progress(last)
            elif "ready" in line:
                return dict(line["ready"])
            elif "failed" in line:
                raise LaunchError(line["failed"]["message"], line["failed"].get("remedy", ""))
            elif "refused" in line:
                what = line["refused"]
                if what["errno"] in (errno.ENOSPC, errno.EDQUOT) and what["stage"].startswith(("write", "open")):
                    raise disk_full(log.parent)
                raise namespaces_refused(what["stage"], what["errno"], what["text"])
        if time.monotonic() >= deadline:
            raise LaunchError(
                f"The cluster was not ready within {timeout:.0f} seconds; the last it did: {last}." + _log_tail(log),
                f"The whole log: {log}",
            )
        raise LaunchError("The daemon ended before it was ready." + _log_tail(log), f"The whole log: {log}")

    def _lines(self, deadline: float) -> Iterator[dict[str, Any]]:
        buffer = b""
        poll = select.poll()
        poll.register(self.reader, select.POLLIN)
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            data = os.read(self.reader, 65536)
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                yield json.loads(line)


def check_namespaces(directory: Path | None = None) -> None:
    """Try whether this machine allows the namespaces that the cluster needs. Raises LaunchError with the remedy."""
    _check_tools()
    with tempfile.TemporaryDirectory(dir=directory) as scratch, contextlib.closing(_ReportReader.create()) as report:
        ready = "import os,sys; os.write(int(sys.argv[1]), b'{\"ready\": {}}\\n')"
        _spawn_in_namespaces([sys.executable, "-I", "-S", "-c", ready, str(report.writer)], Path(scratch), report, [])
        report.wait(lambda text: None, 30, Path(scratch, LOG))


def _check_tools() -> None:
    for tool, package in TOOLS.items():
        if not shutil.which(tool):
            raise tool_missing(tool, package)


def _check_disk_space(state_dir: Path) -> None:
    disk = os.statvfs(state_dir)
    if disk.f_bavail * disk.f_frsize < ROOM_NEEDED:
        raise disk_full(state_dir)


def _rotate(log: Path) -> None:
    """Begin a new log file when the old one is large."""
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        os.replace(log, log.with_suffix(".log.1"))


def _log_tail(log: Path, lines: int = 8) -> str:
    try:
        text = log.read_bytes()[-4096:].decode(errors="replace").strip()
    except OSError:
        return ""
    return "\nIt said last:\n" + "\n".join(text.splitlines()[-lines:]) if text else ""
