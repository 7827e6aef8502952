"""Counts the healthy pods of every PodDisruptionBudget (pkg/controller/disruption/disruption.go).

Not kept: the clean-up of DisruptionTarget conditions two minutes after an eviction that came to nothing. An eviction
here marks and deletes the pod without a pause between, so there is none.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.conditions import is_pod_ready
from labcluster.api.errors import ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, is_terminating, key_of, name_of, namespace_of, split_key, uid_of
from labcluster.api.owners import controller_of
from labcluster.api.resources import DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS, STATEFUL_SETS, Resource
from labcluster.api.times import parse_time
from labcluster.controllers.controller import Controller
from labcluster.controllers.workload_pods import scaled_value
from labcluster.kinds.poddisruptionbudgets import SYNC_FAILED, selects, set_allowed_condition
from labcluster.kinds.printing import format_selector
from labcluster.kinds.scale_subresource import scale_of
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Change, Registry

DELETION_TIMEOUT = dt.timedelta(minutes=2)  # how long an evicted pod may take to be deleted before it counts again
_SCALED = (REPLICA_SETS, DEPLOYMENTS, STATEFUL_SETS)
_UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status of "
    "the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please "
    'set ".spec.minAvailable" field of the PDB to an integer value.'
)


class CannotCount(Exception):
    """The number of expected pods is unknown: a pod's controller has none."""


class DisruptionController(Controller):
    """Keys: the budget's."""

    name: ClassVar[str] = "disruption-controller"

    def __init__(self, registry: Registry) -> None:
        """Prepare to run on the registry."""
        super().__init__(registry)
        self._events = EventRecorder(registry, "controllermanager")

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Budgets, their pods, and the sizes of what makes the pods.

        Custom resources are not followed, as upstream: when their size changes, so do their pods.
        """
        scales = dict.fromkeys(_SCALED, self._on_scale)
        return {POD_DISRUPTION_BUDGETS: self.own_key, PODS: self._on_pod, **scales}

    def _on_pod(self, change: Change) -> list[str]:
        budgets = self.registry.list(POD_DISRUPTION_BUDGETS, namespace_of(change.object))
        states = [state for state in (change.object, change.old) if state is not None]
        return [key_of(budget) for budget in budgets if any(selects(budget, state) for state in states)]

    def _on_scale(self, change: Change) -> list[str]:
        if change.old is not None and _replicas(change.old) == _replicas(change.object):
            return []
        return [key_of(budget) for budget in self.registry.list(POD_DISRUPTION_BUDGETS, namespace_of(change.object))]

    def reconcile(self, key: str) -> float | None:
        """Bring the budget's status up to date; come back when an eviction that was granted must have happened."""
        budget = self.registry.find(POD_DISRUPTION_BUDGETS, *split_key(key))
        if budget is None or is_terminating(budget):
            return None
        pods = [pod for pod in self.registry.list(PODS, namespace_of(budget)) if selects(budget, pod)]
        if not pods:
            self._events.event(budget, "Normal", "NoPods", "No matching pods found")
        new = clone(budget)
        status = new["status"]
        status["observedGeneration"] = budget["metadata"]["generation"]
        try:
            expected, desired = self._expected(budget, pods)
        except CannotCount as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self._events.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            status["disruptionsAllowed"] = 0
            set_allowed_condition(new, SYNC_FAILED, str(error))
            self.registry.update(POD_DISRUPTION_BUDGETS, new, subresource="status")
            return None
        disrupted, wait = self._disrupted(budget, pods)
        healthy = sum(
            1 for pod in pods if not is_terminating(pod) and name_of(pod) not in disrupted and is_pod_ready(pod)
        )
        status["currentHealthy"], status["desiredHealthy"], status["expectedPods"] = healthy, desired, expected
        status["disruptionsAllowed"] = max(healthy - desired, 0) if expected > 0 else 0
        status.pop("disruptedPods", None)
        if disrupted:
            status["disruptedPods"] = disrupted
        set_allowed_condition(new)
        self.registry.update(POD_DISRUPTION_BUDGETS, new, subresource="status")
        return wait

    def _expected(self, budget: JSON, pods: list[JSON]) -> tuple[int, int]:
        """The expected pods, and how many of them must be healthy (getExpectedPodCount). Raises CannotCount."""
        spec = budget["spec"]
        at_least, at_most = spec.get("minAvailable"), spec.get("maxUnavailable")
        if at_most is not None:
            expected = self._expected_scale(budget, pods)
            return expected, max(expected - scaled_value(at_most, expected, round_up=True), 0)
        if isinstance(at_least, str):
            expected = self._expected_scale(budget, pods)
            return expected, scaled_value(at_least, expected, round_up=True)
        return (len(pods), at_least) if at_least is not None else (0, 0)

    def _expected_scale(self, budget: JSON, pods: list[JSON]) -> int:
        """The sum of the replicas of all that controls one of the pods. Raises CannotCount."""
        scales: dict[str, int] = {}
        unmanaged = False
        for pod in pods:
            if controller_of(pod) is None:
                unmanaged = True
                continue
            reference = controller_of(self._replica_set_of_a_deployment(pod) or pod)
            scale = self._scale(reference, namespace_of(pod)) if reference else None
            if scale is None:
                raise CannotCount(f'found no controllers for pod "{name_of(pod)}"')
            scales[uid_of(scale)] = _replicas(scale)
        if unmanaged:
            text = _UNMANAGED.format(format_selector(budget["spec"].get("selector")))
            self._events.event(budget, "Warning", "UnmanagedPods", text)
        return sum(scales.values())

    def _replica_set_of_a_deployment(self, pod: JSON) -> JSON | None:
        """The pod's ReplicaSet, if a Deployment that is there controls it."""
        replica_set = self._controller(pod, REPLICA_SETS)
        return replica_set if replica_set and self._controller(replica_set, DEPLOYMENTS) else None

    def _controller(self, obj: JSON, resource: Resource) -> JSON | None:
        """The controller of an object, if it is one of the resource's objects."""
        reference = controller_of(obj)
        if reference is None or (reference["apiVersion"], reference["kind"]) != (resource.api_version, resource.kind):
            return None
        controller = self.registry.find(resource, namespace_of(obj), reference["name"])
        return controller if controller and uid_of(controller) == reference["uid"] else None

    def _scale(self, reference: JSON, namespace: str) -> JSON | None:
        """The Scale of a controller of any kind, None when it is gone (getScaleController). Raises CannotCount."""
        version, kind = reference["apiVersion"], reference["kind"]
        resource = self.registry.served.find_kind(version, kind)
        if resource is None:
            raise CannotCount(f'no matches for kind "{kind}" in version "{version}"')
        if "scale" not in resource.subresources:
            raise CannotCount(f"{resource.qualified} does not implement the scale subresource")
        owner = self.registry.find(resource, namespace if resource.namespaced else "", reference["name"])
        if owner is None or uid_of(owner) != reference["uid"]:
            return None
        try:
            return scale_of(owner, self.registry.kind(resource).scale_paths)
        except ApiError as error:  # a custom resource without the field that its definition names
            raise CannotCount(str(error)) from error

    def _disrupted(self, budget: JSON, pods: list[JSON]) -> tuple[dict[str, str], float | None]:
        """Granted evictions whose pods are not terminating yet, and the seconds until the first of them lapses."""
        granted: dict[str, str] = budget["status"].get("disruptedPods") or {}
        pending: dict[str, str] = {}
        waits: list[float] = []
        for pod in pods:
            since = granted.get(name_of(pod))
            if since is None or is_terminating(pod):
                continue
            left = (parse_time(since) + DELETION_TIMEOUT - dt.datetime.now(dt.UTC)).total_seconds()
            if left < 0:
                text = f"Pod was expected by PDB {key_of(budget)} to be deleted but it wasn't"
                self._events.event(pod, "Warning", "NotDeleted", text)
            else:
                pending[name_of(pod)] = since
                waits.append(left)
        return pending, min(waits, default=None)


def _replicas(workload: JSON) -> int:
    return int(workload["spec"].get("replicas") or 0)
