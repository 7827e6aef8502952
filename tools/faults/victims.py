"""One way for each kind of process to be killed under a changing load, with what must hold for it afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from test_survival import Processes, descendants, held

from tests.running_lab import BIN, SECONDS, RunningLab
from tools.faults.load import Load
from tools.faults.remains import children, program


def daemon(lab: RunningLab, load: Load, chance: random.Random) -> None:
    """The daemon: with it end all processes of its namespaces, and the next `lab up` has everything."""
    with load.changing() as stop:
        stop.wait(chance.uniform(0.05, 2.5))
        old = Processes(lab)
        old.kill()
        old.assert_gone()
    lab.up()


def start(lab: RunningLab, load: Load, chance: random.Random) -> None:
    """`lab up` or what it has started, in the middle of a start: the next `lab up` starts, or waits for that start."""
    old = Processes(lab)
    old.kill()
    old.assert_gone()
    with _started(lab, [BIN / "lab", "up"]) as up:
        with contextlib.suppress(subprocess.TimeoutExpired):
            up.wait(chance.uniform(0.1, 2.5))
        for process in chance.sample([up.pid, *descendants(up.pid)], k=1):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        _, errors = up.communicate(timeout=2 * SECONDS)
        assert b"Traceback" not in errors, errors.decode()
    lab.up()


def container(lab: RunningLab, load: Load, chance: random.Random) -> None:
    """The first process of a container: it is restarted in its pod, which keeps its uid and address."""
    _kill_in_a_container(lab, load, chance, lambda bwrap: children(bwrap)[0])


def watcher(lab: RunningLab, load: Load, chance: random.Random) -> None:
    """The bubblewrap process that watches a container: the container ends with it, and is restarted."""
    _kill_in_a_container(lab, load, chance, lambda bwrap: bwrap)


def _kill_in_a_container(lab: RunningLab, load: Load, chance: random.Random, choose: Callable[[int], int]) -> None:
    with load.changing() as stop:
        stop.wait(chance.uniform(0.05, 2.5))
        found = [pid for pid in children(int(lab.status()["pid"])) if program(pid) == "bwrap" and children(pid)]
        bwrap = chance.choice(found)
        processes = held([bwrap, *descendants(bwrap)])
        name = _pod_of(children(bwrap)[0])
        before = _pod(load, name)
        with contextlib.suppress(ProcessLookupError, IndexError):  # the load has ended it just now
            os.kill(choose(bwrap), signal.SIGKILL)
        for descriptor in processes:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            assert poll.poll(SECONDS * 1000), f"a process outlives its container in {name}"
            os.close(descriptor)
    after = _pod(load, name)
    if not before or not after or after["metadata"]["uid"] != before["metadata"]["uid"]:
        return  # the load has replaced the pod meanwhile
    if "deletionTimestamp" not in after["metadata"]:
        count = before["status"]["containerStatuses"][0]["restartCount"]
        restarted = f"jsonpath={{.status.containerStatuses[0].restartCount}}={count + 1}"
        load.space.wait(f"pod/{name}", restarted, seconds=2 * SECONDS)
        after = _pod(load, name)
        assert after["status"]["podIP"] == before["status"]["podIP"], f"{name} has another address"


def command(lab: RunningLab, load: Load, chance: random.Random) -> None:
    """A `kubectl exec`, at either end: the other end notices, and the container is none the worse for it."""
    seconds = str(chance.randint(100_000, 999_999))  # by which the process is known
    before = _pod(load, "db-0")
    with _started(lab, [BIN / "kubectl", "exec", "db-0", "--", "sleep", seconds]) as kubectl:
        process = _await_process(lab, seconds)
        (descriptor,) = held([process])
        with load.changing() as stop:
            stop.wait(chance.uniform(0.05, 1))
            if chance.random() < 0.5:
                kubectl.kill()
            else:
                with contextlib.suppress(ProcessLookupError):  # the load has replaced the pod
                    os.kill(process, signal.SIGKILL)
                kubectl.wait(SECONDS)
                assert kubectl.returncode in (137, 1)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        assert poll.poll(SECONDS * 1000), "a program outlives its kubectl exec"
        os.close(descriptor)
    _assert_untouched(load, before)


def forward(lab: RunningLab, load: Load, chance: random.Random) -> None:
    """A `kubectl port-forward` with open connections: the pod notices, and the next one serves."""
    before = _pod(load, "db-0")
    for _ in range(2):
        with _started(lab, [BIN / "kubectl", "port-forward", "pod/db-0", ":6379"]) as kubectl:
            assert kubectl.stdout
            line = kubectl.stdout.readline().decode()
            port = int(line.partition("127.0.0.1:")[2].split()[0])
            with contextlib.ExitStack() as connections:
                for _ in range(chance.randint(1, 8)):
                    one = connections.enter_context(socket.create_connection(("127.0.0.1", port), SECONDS))
                    one.sendall(b"PING\r\n")
                    assert one.recv(100) == b"+PONG\r\n"
                kubectl.kill()
    clients = load.space.sh("db-0", "valkey-cli client list | grep -vc cmd=client || true")
    assert int(clients) == 0, f"{clients.strip()} connections are left in the pod"
    _assert_untouched(load, before)


KINDS = {f.__name__: f for f in (daemon, container, start, watcher, command, forward)}


def _started(lab: RunningLab, arguments: list[Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(arguments, env=lab.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _pod_of(process: int) -> str:
    """The name of the pod that a container's process runs in."""
    try:
        variables = Path(f"/proc/{process}/environ").read_text().split("\0")
    except OSError:
        return ""
    return next((v.partition("=")[2] for v in variables if v.startswith("HOSTNAME=")), "")


def _pod(load: Load, name: str) -> dict[str, Any]:
    """The pod, or nothing when there is none."""
    found = {p["metadata"]["name"]: p for p in load.space.get("pods")["items"]}
    return found.get(name, {})


def _assert_untouched(load: Load, before: dict[str, Any]) -> None:
    after = _pod(load, before["metadata"]["name"])
    if after and after["metadata"]["uid"] == before["metadata"]["uid"]:
        restarts = [p["status"]["containerStatuses"][0]["restartCount"] for p in (before, after)]
        assert restarts[0] == restarts[1], "the container was restarted for a client that went away"


def _await_process(lab: RunningLab, marker: str) -> int:
    """The process of the cluster whose last argument is the marker; it is about to begin."""
    for _ in range(100 * SECONDS):
        for process in descendants(int(lab.status()["pid"])):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{process}/cmdline").read_text().split("\0")
                if words[0] == "sleep" and marker in words:
                    return process
    raise AssertionError(f"no process sleeps for {marker} s")
