"""How time and memory grow with the size of the cluster: with pods of a stand-in node, and with real Valkey pods.

A hollow node (as Kubernetes' own scale tests have them) is a Node object whose pods this program reports as running.
So all that is done for a pod but its processes is measured with sizes that no machine of a learner could run.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.running_lab import RunningLab
from tools.bench import api, memory, workloads
from tools.bench.cluster import JSON, MERGE_PATCH, Cluster
from tools.bench.figures import Figure

HOLLOW = (100, 300, 1000)  # pods
VALKEY = (3, 12, 24)
_NODE = "hollow"
_WRITES_SEEN = 50


def measure(_: Cluster, runs: int) -> Iterator[Figure]:
    """On a lab of its own that grows from size to size; one run, for each size has many pods."""
    del runs
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        lab = RunningLab(Path(place) / "lab")
        try:
            lab.up()
            cluster = Cluster(lab.kubeconfig, lab)
            yield from _hollow(cluster, lab)
            yield from _valkey(cluster, lab)
        finally:
            lab.down()


def _hollow(cluster: Cluster, lab: RunningLab) -> Iterator[Figure]:
    with cluster.namespace() as namespace:
        _add_node(cluster)
        kubelet = threading.Thread(target=_report_running, args=(Cluster(cluster.kubeconfig), namespace), daemon=True)
        kubelet.start()
        deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        cluster.request("POST", deployments, _deployment())
        service = {"metadata": {"name": "all"}, "spec": {"selector": {"app": "hollow"}, "ports": [{"port": 80}]}}
        cluster.request("POST", f"/api/v1/namespaces/{namespace}/services", service)
        before = 0
        for size in HOLLOW:
            started = time.perf_counter()
            cluster.read("PATCH", f"{deployments}/all", {"spec": {"replicas": size}}, content_type=MERGE_PATCH)
            cluster.until(deployments, lambda found, size=size: _ready(found) == size, f"{size} Ready")
            seconds = time.perf_counter() - started
            yield Figure(f"{before} → {size} hollow pods Ready", "s", [seconds])
            yield Figure("… for each pod", "ms", [seconds * 1000 / (size - before)])
            yield Figure("… their list", "ms", [_list(cluster, namespace) for _ in range(5)])
            with cluster.namespace() as other:
                latency = api.watch_latency(cluster, other, _WRITES_SEEN)
            yield Figure("… watch latency", "ms", latency.samples)
            yield Figure("… control plane, RSS", "MB", [memory.control_plane(lab)])
            before = size
        started = time.perf_counter()
    yield Figure(f"{before} → 0 hollow pods, by deleting their namespace", "s", [time.perf_counter() - started])
    cluster.request("DELETE", f"/api/v1/nodes/{_NODE}")


def _valkey(cluster: Cluster, lab: RunningLab) -> Iterator[Figure]:
    for size in VALKEY:
        with cluster.namespace() as namespace:
            seconds = workloads.start_set(cluster, namespace, "Parallel", size)
            yield Figure(f"0 → {size} Valkey pods Ready, Parallel, with claims", "s", [seconds])
            yield Figure("… for each pod", "ms", [seconds * 1000 / size])
            yield Figure("… control plane, RSS", "MB", [memory.control_plane(lab)])
            yield Figure("… the whole cluster, PSS", "MB", [memory.everything(lab)])


def _ready(found: list[JSON]) -> int:
    return int(found[0].get("status", {}).get("readyReplicas") or 0)


def _list(cluster: Cluster, namespace: str) -> float:
    started = time.perf_counter()
    cluster.read("GET", f"/api/v1/namespaces/{namespace}/pods")
    return (time.perf_counter() - started) * 1000


def _add_node(cluster: Cluster) -> None:
    """A node that is Ready and has room."""
    taint = {"key": _NODE, "effect": "NoSchedule"}
    node = {"metadata": {"name": _NODE, "labels": {"node": _NODE}}, "spec": {"taints": [taint]}}
    cluster.request("POST", "/api/v1/nodes", node)
    room = {"pods": str(2 * max(HOLLOW)), "cpu": "1000", "memory": "1Ti"}
    status = {"capacity": room, "allocatable": room, "conditions": [{"type": "Ready", "status": "True"}]}
    cluster.read("PATCH", f"/api/v1/nodes/{_NODE}/status", {"status": status}, content_type=MERGE_PATCH)


def _deployment() -> JSON:
    """Pods that go to the hollow node only."""
    spec = {
        "nodeSelector": {"node": _NODE},
        "tolerations": [{"key": _NODE, "operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,  # nobody ends them: they are deleted at once
        "containers": [{"name": "pause", "image": "registry.k8s.io/pause:3.10"}],
    }
    template = {"metadata": {"labels": {"app": "hollow"}}, "spec": spec}
    selector = {"matchLabels": {"app": "hollow"}}
    return {"metadata": {"name": "all"}, "spec": {"replicas": 0, "selector": selector, "template": template}}


def _report_running(cluster: Cluster, namespace: str) -> None:
    """What the hollow node's kubelet does: each pod that is bound to it runs at once, and is Ready."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    since = cluster.request("GET", pods)["metadata"]["resourceVersion"]
    address = 0
    for event in cluster.watch(pods, since, 600):
        pod = event["object"]
        if event["type"] in ("ADDED", "MODIFIED") and pod["spec"].get("nodeName") and not pod["status"].get("podIP"):
            address += 1
            status = {
                "phase": "Running",
                "podIP": f"10.250.{address // 256}.{address % 256}",
                "conditions": [{"type": "Ready", "status": "True"}],
            }
            path = f"{pods}/{pod['metadata']['name']}/status"
            cluster.read("PATCH", path, {"status": status}, content_type=MERGE_PATCH)
