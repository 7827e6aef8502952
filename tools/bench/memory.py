"""Memory: of the whole control plane, and of each Valkey pod with everything that runs for it."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.running_lab import RunningLab
from tools.bench import workloads
from tools.bench.cluster import MERGE_PATCH, Cluster
from tools.bench.figures import Figure

_UPDATES = 6000


def measure(_: Cluster, runs: int) -> Iterator[Figure]:
    """On fresh labs: RSS counts shared pages for each process, PSS shares them out among those that have them."""
    figures: dict[tuple[str, float | None], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        for run in range(runs):
            lab = RunningLab(Path(place) / f"lab-{run}")
            try:
                lab.up()
                _measure(lab, figures)
            finally:
                lab.down()
    for (name, aim), samples in figures.items():
        yield Figure(name, "MB", samples, at_most=aim)


def control_plane(lab: RunningLab) -> float:
    """RSS of the daemon and what runs in its own network, in MB."""
    daemon = int(lab.status()["pid"])
    return _sum(_by_network(daemon)[_network(daemon)], "Rss")


def everything(lab: RunningLab) -> float:
    """PSS of the daemon and of all pods' processes, in MB."""
    return sum(_sum(processes, "Pss") for processes in _by_network(int(lab.status()["pid"])).values())


def _measure(lab: RunningLab, figures: dict[tuple[str, float | None], list[float]]) -> None:
    daemon = int(lab.status()["pid"])
    own = _network(daemon)
    figures["control plane at rest, RSS", None].append(_sum(_by_network(daemon)[own], "Rss"))
    cluster = Cluster(lab.kubeconfig, lab)
    with cluster.namespace() as namespace:
        workloads.start_set(cluster, namespace, "Parallel")
        found = _by_network(daemon)
        for field in ("Rss", "Pss"):
            aim = 150 if field == "Rss" else None
            figures[f"control plane with 3 Valkey pods, {field.upper()}", aim].append(_sum(found[own], field))
        for network, processes in found.items():
            if network != own:
                for field in ("Rss", "Pss"):
                    figures[f"a Valkey pod, all its processes, {field.upper()}", None].append(_sum(processes, field))
        _wear(cluster, namespace)
        figures["control plane after 6,000 more updates, RSS", 150].append(_sum(_by_network(daemon)[own], "Rss"))


def _wear(cluster: Cluster, namespace: str) -> None:
    """A long session in short: more changes of pods than the history for watches keeps."""
    for number in range(_UPDATES):
        body = {"metadata": {"annotations": {"count": str(number)}}}
        path = f"/api/v1/namespaces/{namespace}/pods/db-{number % 3}"
        cluster.read("PATCH", path, body, content_type=MERGE_PATCH)


def _by_network(daemon: int) -> dict[str, list[int]]:
    """The daemon and its descendants by network namespace: its own is the control plane's, each other is a pod's."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children[int((entry / "stat").read_text().rpartition(")")[2].split()[1])].append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended
    found: dict[str, list[int]] = defaultdict(list)
    ahead = [daemon]
    while ahead:
        process = ahead.pop()
        ahead += children[process]
        try:
            found[_network(process)].append(process)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _network(process: int) -> str:
    return str(Path(f"/proc/{process}/ns/net").readlink())


def _sum(processes: list[int], field: str) -> float:
    """Megabytes (10^6 bytes) of the processes together."""
    total = 0
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
    return total * 1024 / 1e6
