"""`lab up`: from nothing, with the cluster there already, and after its process was killed."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.query
import dns.rcode

from tests.running_lab import RunningLab
from tools.bench import names, workloads
from tools.bench.cluster import JSON, Cluster
from tools.bench.figures import Figure


def measure(_: Cluster, runs: int) -> Iterator[Figure]:
    """Time the command itself, from its start to its end, on labs of its own."""
    cold, warm, again, back = [], [], [], []
    for _run in range(runs):
        with _new_lab() as lab:
            cold.append(_up(lab))
            _examine(lab)
            warm.append(_up(lab))
    yield Figure("cold `lab up`: 3 nodes Ready, DNS answers", "s", cold, at_most=1.5)
    yield Figure("warm `lab up`", "s", warm)
    for _run in range(runs):
        with _new_lab() as lab:
            lab.up()
            seconds, all_ready = _kill_and_return(lab)
            again.append(seconds)
            back.append(all_ready)
    yield Figure("`lab up` after kill -9, with 3 Valkey pods", "s", again)
    yield Figure("… until those pods are Ready again", "s", back)


@contextlib.contextmanager
def _new_lab() -> Iterator[RunningLab]:
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        lab = RunningLab(Path(place) / "lab")
        try:
            yield lab
        finally:
            lab.down()


def _up(lab: RunningLab) -> float:
    started = time.perf_counter()
    lab.up()
    return time.perf_counter() - started


def _examine(lab: RunningLab) -> None:
    """What `lab up` has promised is so. Raises RuntimeError."""
    nodes = Cluster(lab.kubeconfig).request("GET", "/api/v1/nodes")["items"]
    if sum(map(workloads.is_ready, nodes)) != 3:
        raise RuntimeError("not every node is Ready after `lab up`")
    query = dns.message.make_query(names.NAME, "A")
    answer = dns.query.udp(query, "127.0.0.1", port=int(lab.status()["dns"].rpartition(":")[2]), timeout=5)
    if answer.rcode() != dns.rcode.NOERROR:
        raise RuntimeError("DNS does not answer after `lab up`")


def _kill_and_return(lab: RunningLab) -> tuple[float, float]:
    """Kill the daemon under three running pods and start it again; seconds until it is up, and until they are Ready."""
    before = Cluster(lab.kubeconfig, lab)
    before.request("POST", "/api/v1/namespaces", {"metadata": {"name": "bench"}})
    accounts = "/api/v1/namespaces/bench/serviceaccounts"
    before.until(accounts, lambda found: any(a["metadata"]["name"] == "default" for a in found), "there")
    workloads.start_set(before, "bench", "Parallel")
    pods = "/api/v1/namespaces/bench/pods"
    containers = {_container(p) for p in before.request("GET", pods)["items"]}

    os.kill(int(lab.status()["pid"]), signal.SIGKILL)
    started = time.perf_counter()
    seconds = _up(lab)
    after = Cluster(lab.kubeconfig, lab)
    after.until(pods, lambda found: sum(_is_new(p, containers) for p in found) == 3, "Ready again")
    return seconds, time.perf_counter() - started


def _is_new(pod: JSON, before: set[str]) -> bool:
    """Whether a pod is Ready with a container that was not there before."""
    return workloads.is_ready(pod) and _container(pod) not in before


def _container(pod: JSON) -> str:
    statuses = pod["status"].get("containerStatuses") or [{}]
    return str(statuses[0].get("containerID", ""))
