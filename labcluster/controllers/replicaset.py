"""The ReplicaSet controller (pkg/controller/replicaset).

Upstream's expectations, which bridge the delay of a watch cache, have no counterpart: reads are never stale here.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable
from functools import cmp_to_key

from labcluster.api.conditions import condition, is_pod_finished, is_pod_ready
from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, annotations_of, is_terminating, labels_of, namespace_of, split_key, uid_of
from labcluster.api.owners import controller_of, is_controlled_by
from labcluster.api.resources import PODS, REPLICA_SETS, Resource
from labcluster.api.times import now, parse_time
from labcluster.controllers import adoption
from labcluster.controllers.controller import Controller
from labcluster.controllers.workload_pods import (
    BURST_REPLICAS,
    PodControl,
    bounded,
    is_pod_active,
    is_pod_available,
    next_availability,
    pod_from_template,
    slow_start_batch,
)
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Change, Registry

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}
_OMITTED_WHEN_ZERO = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")


class ReplicaSetController(Controller):
    """Keeps a number of interchangeable pods."""

    name = "replicaset-controller"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._pod_control = PodControl(registry, EventRecorder(registry, self.name))

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Sets themselves, and the sets of pods."""
        return {
            REPLICA_SETS: self.own_key,
            PODS: lambda change: adoption.owner_keys(self.registry, REPLICA_SETS, change),
        }

    def reconcile(self, key: str) -> float | None:
        """Create what is missing or delete what is too much, then write the status counted before."""
        replica_set = self.registry.find(REPLICA_SETS, *split_key(key))
        if replica_set is None:
            return None
        all_pods = self.registry.list(PODS, namespace_of(replica_set))
        active = [pod for pod in all_pods if is_pod_active(pod)]
        pods = adoption.claim(self.registry, REPLICA_SETS, replica_set, PODS, active)
        terminating = [
            pod
            for pod in all_pods
            if is_terminating(pod) and not is_pod_finished(pod) and is_controlled_by(pod, replica_set)
        ]
        failure: ApiError | None = None
        if not is_terminating(replica_set):
            try:
                self._manage(replica_set, pods)
            except ApiError as error:
                failure = error
        status = calculate_status(replica_set, pods, terminating, failure)
        self.write_status(REPLICA_SETS, replica_set, status)
        if failure is not None:
            raise failure
        return next_availability(pods, _min_ready(replica_set))

    def _manage(self, replica_set: JSON, pods: list[JSON]) -> None:
        """Bring the number of pods to spec.replicas (manageReplicas). Raises ApiError."""
        excess = len(pods) - bounded(_replicas(replica_set))
        if excess < 0:
            template = replica_set["spec"].get("template") or {}
            slow_start_batch(
                min(-excess, BURST_REPLICAS),
                lambda _: self._pod_control.create(replica_set, pod_from_template(template, replica_set)),
            )
        elif excess > 0:
            ranked = rank_for_deletion(pods, self._related_pods(replica_set))
            self._pod_control.delete(replica_set, ranked[: min(excess, BURST_REPLICAS)])

    def _related_pods(self, replica_set: JSON) -> list[JSON]:
        """The pods of all sets with the same controller: a Deployment's pods of other revisions count as well."""
        owner = controller_of(replica_set)
        related = [replica_set]
        if owner is not None:
            siblings = self.registry.list(REPLICA_SETS, namespace_of(replica_set))
            related = [s for s in siblings if (controller_of(s) or {}).get("uid") == owner.get("uid")]
        uids = {uid_of(s) for s in related}
        pods = self.registry.list(PODS, namespace_of(replica_set))
        return [pod for pod in pods if (controller_of(pod) or {}).get("uid") in uids]


def calculate_status(replica_set: JSON, pods: list[JSON], terminating: list[JSON], failure: ApiError | None) -> JSON:
    """The status for the active pods and the terminating ones (replica_set_utils.go, calculateStatus)."""
    template_labels = ((replica_set["spec"].get("template") or {}).get("metadata") or {}).get("labels") or {}
    status = {
        "replicas": len(pods),
        "fullyLabeledReplicas": sum(template_labels.items() <= labels_of(pod).items() for pod in pods),
        "readyReplicas": sum(is_pod_ready(pod) for pod in pods),
        "availableReplicas": sum(is_pod_available(pod, _min_ready(replica_set)) for pod in pods),
        "terminatingReplicas": len(terminating),
        "observedGeneration": replica_set["metadata"].get("generation", 0),
    }
    status = {k: v for k, v in status.items() if v or k not in _OMITTED_WHEN_ZERO}
    conditions = _conditions(replica_set, len(pods), failure)
    return {**status, "conditions": conditions} if conditions else status


def _conditions(replica_set: JSON, count: int, failure: ApiError | None) -> list[JSON]:
    conditions: list[JSON] = list(replica_set.get("status", {}).get("conditions") or ())
    if failure is None:
        return [c for c in conditions if c["type"] != "ReplicaFailure"]
    if condition(replica_set, "ReplicaFailure") is not None:
        return conditions
    reported = {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": now(),
        "reason": "FailedCreate" if count < _replicas(replica_set) else "FailedDelete",
        "message": str(failure),
    }
    return [*conditions, reported]


def rank_for_deletion(pods: list[JSON], related: list[JSON]) -> list[JSON]:
    """The pods in the order in which to delete them (controller_utils.go, ActivePodsWithRanks).

    Unassigned before assigned, Pending before Running, not ready before ready, lower deletion cost first, more
    related pods on the same node first, ready for a shorter time first, more restarts first, newer first. Ages are
    compared by their logarithm, so that among pods of similar age the uid decides, and not always the youngest goes.
    """
    on_node: dict[str, int] = {}
    for pod in related:
        if is_pod_active(pod):
            node = pod["spec"].get("nodeName", "")
            on_node[node] = on_node.get(node, 0) + 1
    time = dt.datetime.now(dt.UTC)

    def rank(pod: JSON) -> tuple[int, ...]:
        node = pod["spec"].get("nodeName", "")
        return (
            1 if node else 0,
            _PHASE_RANK.get(pod.get("status", {}).get("phase", ""), 0),
            1 if is_pod_ready(pod) else 0,
            _deletion_cost(pod),
            -on_node.get(node, 0),
        )

    def compare(one: JSON, two: JSON) -> int:
        if rank(one) != rank(two):
            return -1 if rank(one) < rank(two) else 1
        if is_pod_ready(one) and (by_age := _compare_ages(_ready_since(one), _ready_since(two), one, two, time)):
            return by_age
        if _restarts(one) != _restarts(two):
            return -1 if _restarts(one) > _restarts(two) else 1
        return _compare_ages(
            one["metadata"].get("creationTimestamp"), two["metadata"].get("creationTimestamp"), one, two, time
        )

    return sorted(pods, key=cmp_to_key(compare))


def _compare_ages(first: str | None, second: str | None, one: JSON, two: JSON, time: dt.datetime) -> int:
    """Negative when `one`, since `first`, is the younger; the uid decides between times of the same magnitude."""
    if first == second:
        return 0
    if not first or not second:
        return -1 if not first else 1
    difference = _magnitude(first, time) - _magnitude(second, time)
    return difference or (-1 if uid_of(one) < uid_of(two) else 1)


def _magnitude(since: str, time: dt.datetime) -> int:
    seconds = (time - parse_time(since)).total_seconds()
    return int(math.log2(seconds * 1e9)) if seconds > 0 else -1


def _ready_since(pod: JSON) -> str | None:
    return (condition(pod, "Ready") or {}).get("lastTransitionTime")


def _restarts(pod: JSON) -> int:
    return max((c.get("restartCount", 0) for c in pod.get("status", {}).get("containerStatuses") or ()), default=0)


def _deletion_cost(pod: JSON) -> int:
    try:
        return int(annotations_of(pod).get(DELETION_COST, "0"))
    except ValueError:
        return 0


def _replicas(replica_set: JSON) -> int:
    return int(replica_set["spec"].get("replicas", 1))


def _min_ready(replica_set: JSON) -> int:
    return int(replica_set["spec"].get("minReadySeconds") or 0)
