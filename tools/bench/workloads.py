"""StatefulSets of Valkey: from nothing to three Ready pods, and a lost pod's way back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from tools.bench.cluster import JSON, Cluster
from tools.bench.figures import Figure

IMAGE = "valkey/valkey:8.1.8"


def measure(cluster: Cluster, runs: int) -> Iterator[Figure]:
    """Time the first start of a set (claims are provisioned, too), and the replacement of a deleted pod."""
    _start(cluster, "Parallel")  # not counted: a real cluster pulls the image now
    ordered, back = [], []
    for _ in range(runs):
        with cluster.namespace() as namespace:
            ordered.append(start_set(cluster, namespace, "OrderedReady"))
            back.append(replace_pod(cluster, namespace, "db-1"))
    yield Figure("StatefulSet 0 → 3 Ready, ordered, Valkey with claims", "s", ordered, at_most=0.8)
    parallel = [_start(cluster, "Parallel") for _ in range(runs)]
    yield Figure("StatefulSet 0 → 3 Ready, Parallel, Valkey with claims", "s", parallel)
    yield Figure("pod deleted → its replacement Ready", "s", back)


def _start(cluster: Cluster, policy: str) -> float:
    with cluster.namespace() as namespace:
        return start_set(cluster, namespace, policy)


def start_set(cluster: Cluster, namespace: str, policy: str, replicas: int = 3) -> float:
    """Create the set `db` with its headless Service; returns the seconds until all its pods are Ready."""
    spec = {"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 6379}]}
    cluster.request("POST", f"/api/v1/namespaces/{namespace}/services", {"metadata": {"name": "db"}, "spec": spec})
    sets = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
    started = time.perf_counter()
    cluster.request("POST", sets, _stateful_set(policy, replicas))
    cluster.until(sets, lambda found: found[0].get("status", {}).get("readyReplicas") == replicas, "Ready")
    return time.perf_counter() - started


def replace_pod(cluster: Cluster, namespace: str, name: str) -> float:
    """Delete a pod; returns the seconds until another of that name is Ready."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    lost = cluster.request("GET", f"{pods}/{name}")["metadata"]["uid"]

    def replaced(found: list[JSON]) -> bool:
        return any(is_ready(p) for p in found if p["metadata"]["name"] == name and p["metadata"]["uid"] != lost)

    started = time.perf_counter()
    cluster.request("DELETE", f"{pods}/{name}")
    cluster.until(pods, replaced, f"replaced ({name})")
    return time.perf_counter() - started


def is_ready(pod: JSON) -> bool:
    """Whether a pod's condition Ready is True."""
    conditions: list[JSON] = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def valkey(name: str = "valkey", **container: Any) -> JSON:
    """A container with a Valkey server, Ready when it answers."""
    probe = {"exec": {"command": ["valkey-cli", "ping"]}, "periodSeconds": 1}
    return {"name": name, "image": IMAGE, "readinessProbe": probe, **container}


def _stateful_set(policy: str, replicas: int) -> JSON:
    container = valkey(volumeMounts=[{"name": "data", "mountPath": "/data"}])
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    spec = {
        "serviceName": "db",
        "replicas": replicas,
        "podManagementPolicy": policy,
        "selector": {"matchLabels": {"app": "db"}},
        "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [container]}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }
    return {"metadata": {"name": "db"}, "spec": spec}
