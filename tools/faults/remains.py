"""What may be left on the machine of a cluster at rest: what its running pods need, and nothing more."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from pathlib import Path
from typing import Any

from tests.running_lab import SECONDS, RunningLab

_SPARES = 2  # networks that are made ahead of need
_DESCRIPTORS = (200, 12)  # of the daemon: at most so many, and for each container


def check(lab: RunningLab) -> None:
    """Wait until only that is left, for a moment: probes and ends of containers come and go. Raises AssertionError."""
    deadline = time.monotonic() + SECONDS
    while found := superfluous(lab):
        assert time.monotonic() < deadline, "; ".join(found)
        threading.Event().wait(0.3)


def superfluous(lab: RunningLab) -> list[str]:
    """What is there and should not be, or the other way round."""
    daemon = int(lab.status()["pid"])
    pods = [p for p in _pods(lab) if p["status"].get("phase") == "Running"]
    running = sum("running" in c["state"] for p in pods for c in _statuses(p))
    networks = sum(not p["spec"].get("hostNetwork") for p in pods)
    programs = [program(child) for child in children(daemon)]
    links = Path(f"/proc/{daemon}/net/dev").read_text().count("veth")
    mounts = Path(f"/proc/{daemon}/mountinfo").read_text()
    descriptors = len(list(Path(f"/proc/{daemon}/fd").iterdir()))
    directories = {d.name for d in lab.state.glob("nodes/*/pods/*")}
    found = []
    if programs.count("bwrap") != len(programs) or len(programs) != running:
        found.append(f"{running} containers run, and the daemon's children are {sorted(programs)}")
    if not networks <= links <= networks + _SPARES:
        found.append(f"{networks} pods have a network, and there are {links} links")
    if "/bwrap" in mounts or str(lab.state) in mounts:
        found.append(f"the daemon sees mounts of containers: {mounts}")
    if descriptors > _DESCRIPTORS[0] + _DESCRIPTORS[1] * running:
        found.append(f"the daemon has {descriptors} descriptors for {running} containers")
    if superfluous_pods := directories - {p["metadata"]["uid"] for p in _pods(lab)}:
        found.append(f"directories of pods that are gone: {superfluous_pods}")
    return found


def children(process: int) -> list[int]:
    """The processes that a process has started, of all its threads."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{process}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def program(process: int) -> str:
    """The name of the program that a process runs; "" when it has ended."""
    try:
        return Path(Path(f"/proc/{process}/cmdline").read_text().partition("\0")[0]).name
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _pods(lab: RunningLab) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(lab.kubectl("get", "pods", "-A", "-o", "json"))["items"]
    return found


def _statuses(pod: dict[str, Any]) -> list[dict[str, Any]]:
    status = pod["status"]
    return [*status.get("containerStatuses", []), *status.get("initContainerStatuses", [])]
