"""A StatefulSet's status, counted from its pods (statefulset/stateful_set_control.go, computeReplicaStatus)."""

from __future__ import annotations

from collections.abc import Iterable

from labcluster.api.conditions import is_pod_ready
from labcluster.api.objects import JSON, is_terminating, uid_of
from labcluster.controllers.statefulset.identity import replicas_of, revision_of
from labcluster.controllers.workload_pods import is_pod_available

_OMITTED_WHEN_ZERO = ("readyReplicas", "currentReplicas", "updatedReplicas")


def is_created(pod: JSON) -> bool:
    """Whether the pod is in the registry, and not only meant to be."""
    return bool(uid_of(pod))


def is_running_and_ready(pod: JSON) -> bool:
    """Whether the pod is Running and Ready; it may be terminating."""
    return pod.get("status", {}).get("phase") == "Running" and is_pod_ready(pod)


def is_running_and_available(pod: JSON, min_ready_seconds: int) -> bool:
    """Whether the pod is Running and has been Ready for min_ready_seconds; it may be terminating."""
    return is_running_and_ready(pod) and is_pod_available(pod, min_ready_seconds)


def is_unavailable(pod: JSON, min_ready_seconds: int) -> bool:
    """Whether the pod is not available, or terminating."""
    return is_terminating(pod) or not is_running_and_available(pod, min_ready_seconds)


def count(pods: Iterable[JSON], min_ready_seconds: int, current: str, update: str) -> dict[str, int]:
    """The counters of the status. `current` and `update` are names of revisions.

    `replicas` counts terminating pods, ready and available ones may be terminating, the counts of revisions
    leave terminating pods out.
    """
    counters = dict.fromkeys(
        ("replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"), 0
    )
    for pod in pods:
        if not is_created(pod):
            continue
        counters["replicas"] += 1
        counters["readyReplicas"] += is_running_and_ready(pod)
        counters["availableReplicas"] += is_running_and_available(pod, min_ready_seconds)
        if not is_terminating(pod):
            counters["currentReplicas"] += revision_of(pod) == current
            counters["updatedReplicas"] += revision_of(pod) == update
    return counters


def build(stateful_set: JSON, counters: dict[str, int], current: str, update: str, collisions: int) -> JSON:
    """The status object. A finished rolling update makes the update revision the current one."""
    counters = dict(counters)
    done = all(counters[k] == replicas_of(stateful_set) for k in ("updatedReplicas", "readyReplicas", "replicas"))
    if done and stateful_set["spec"].get("updateStrategy", {}).get("type", "RollingUpdate") == "RollingUpdate":
        counters["currentReplicas"] = counters["updatedReplicas"]
        current = update
    status = {
        "observedGeneration": stateful_set["metadata"].get("generation", 0),
        "replicas": counters["replicas"],
        "readyReplicas": counters["readyReplicas"],
        "currentReplicas": counters["currentReplicas"],
        "updatedReplicas": counters["updatedReplicas"],
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": collisions,
        "availableReplicas": counters["availableReplicas"],
    }
    return {k: v for k, v in status.items() if v or k not in _OMITTED_WHEN_ZERO}
