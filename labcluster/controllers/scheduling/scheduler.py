"""default-scheduler: gives every pod a node (pkg/scheduler/schedule_one.go, backend/queue/scheduling_queue.go).

One pod at a time: filter the nodes, score them, bind the volumes, bind the pod. A pod that fits no node waits among the
unschedulable ones until an event may make it schedulable. There is no preemption: a pod with a higher priority goes
first in the queue and never displaces another. There is no back-off either, upstream's at least one second before a
retry; the retries cost next to nothing here.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.conditions import condition, is_condition_true, is_pod_finished, set_condition
from labcluster.api.errors import ApiError
from labcluster.api.objects import (
    JSON,
    annotations_of,
    is_terminating,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    split_key,
)
from labcluster.api.resources import (
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    STORAGE_CLASSES,
    Resource,
)
from labcluster.controllers.controller import Controller
from labcluster.controllers.scheduling.filters import (
    ASSIGNED_POD_ADD,
    ASSIGNED_POD_DELETE,
    CLAIM,
    NODE,
    NODE_EVENTS,
    NODE_FILTERS,
    STORAGE_CLASS,
    VOLUME,
    Filter,
    Rejection,
)
from labcluster.controllers.scheduling.nodes import NodeInfo
from labcluster.controllers.scheduling.scores import choose
from labcluster.controllers.scheduling.topology import affinity_filter, spread_filter
from labcluster.controllers.scheduling.volumes import UNRESOLVED_EVENTS, VolumePlan, binding_state
from labcluster.controllers.volumes import matching
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Change, Registry

log = logging.getLogger(__name__)

SCHEDULER_NAME = "default-scheduler"
CYCLE = "cycle"  # the one key of the work queue; the pods are in a queue of their own, ordered by priority

# What the plugins that run after filtering add to a failure, in 1.34 to 1.36 (dynamicresources, defaultpreemption).
AFTER_PREFILTER = "not found"
AFTER_FILTER = "no new claims to deallocate, preemption: "


class Scheduler(Controller):
    """Schedules the pods whose schedulerName is default-scheduler."""

    name: ClassVar[str] = SCHEDULER_NAME
    cools_down: ClassVar[bool] = False  # its one key stands for another pod each time

    def __init__(self, registry: Registry) -> None:
        """Prepare to run on the registry."""
        super().__init__(registry)
        self._events = EventRecorder(registry, SCHEDULER_NAME)
        self._active: dict[str, int] = {}  # pods to schedule (activeQ) -> their place in the queue
        self._arrivals = 0
        self._failures: Counter[str] = Counter()  # attempts that ended in an API error
        self._unschedulable: dict[str, frozenset[int]] = {}  # pods that fit no node -> the events to try again on
        self._assumed: dict[str, str] = {}  # pods that wait for their volumes -> the node chosen
        self._assigned: dict[str, dict[str, JSON]] = {}  # node -> the pods on it that have not ended

    # ------------------------------------------------------------------ events

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Pods to schedule, and all that may make an unschedulable one fit."""
        return {
            NODES: self._on_node,
            PERSISTENT_VOLUME_CLAIMS: self._on_claim,
            PERSISTENT_VOLUMES: lambda change: self._requeue(VOLUME),
            STORAGE_CLASSES: lambda change: self._requeue(STORAGE_CLASS),
            PODS: self._on_pod,
        }

    def _on_node(self, change: Change) -> list[str]:
        if _is_unchanged(change, _node_fields):
            return []  # a heartbeat
        return self._requeue(NODE)

    def _on_claim(self, change: Change) -> list[str]:
        if _is_unchanged(change, _claim_fields):
            return []
        namespace, name = namespace_of(change.object), name_of(change.object)
        for key in (*self._unschedulable, *self._assumed):
            pod = self.registry.find(PODS, *split_key(key))
            concerned = pod is not None and namespace_of(pod) == namespace and name in matching.claims_of(pod)
            if concerned and (key in self._assumed or CLAIM in self._unschedulable[key]):
                self._activate(key)
        return [CYCLE]

    def _on_pod(self, change: Change) -> list[str]:
        pod, key = change.object, key_of(change.object)
        was_assigned = self._unassign(key, change.old)
        alive = change.type != "DELETED" and not is_pod_finished(pod)
        if alive and pod["spec"].get("nodeName"):
            self._assigned.setdefault(pod["spec"]["nodeName"], {})[key] = pod
            self._forget(key)
            moved = not was_assigned or change.old is None or labels_of(change.old) != labels_of(pod)
            return self._requeue(ASSIGNED_POD_ADD) if moved else []
        if not alive or not _is_ours(pod):
            was_assumed = key in self._assumed
            self._forget(key)
            return self._requeue(ASSIGNED_POD_DELETE) if was_assigned or was_assumed else []
        if change.old is None or change.type == "ADDED" or _scheduling_fields(change.old) != _scheduling_fields(pod):
            self._activate(key)
        return [CYCLE]

    def _unassign(self, key: str, old: JSON | None) -> bool:
        node = old["spec"].get("nodeName") if old is not None else None
        return bool(node) and self._assigned.get(str(node), {}).pop(key, None) is not None

    def _activate(self, key: str) -> None:
        self._unschedulable.pop(key, None)
        if key not in self._active:
            self._arrivals += 1
            self._active[key] = self._arrivals

    def _forget(self, key: str) -> None:
        for queue in (self._active, self._unschedulable, self._assumed, self._failures):
            queue.pop(key, None)

    def _requeue(self, event: int) -> list[str]:
        """Queue the unschedulable pods that the event may help (MoveAllToActiveOrBackoffQueue)."""
        for key in [k for k, requeue_on in self._unschedulable.items() if event in requeue_on]:
            self._activate(key)
        return [CYCLE]

    # ------------------------------------------------------------------- cycle

    def reconcile(self, key: str) -> float | None:
        """Schedule the next pod of the queue."""
        pod_key = min(self._active, key=self._queue_order, default=None)
        if pod_key is None:
            return None
        place = self._active.pop(pod_key)
        pod = self.registry.find(PODS, *split_key(pod_key))
        try:
            if pod is not None and not pod["spec"].get("nodeName") and _is_ours(pod):
                self._schedule(pod_key, pod)
        except ApiError:
            self._active[pod_key] = place
            self._failures[pod_key] += 1
            raise
        return 0.0 if self._active else None

    def _queue_order(self, key: str) -> tuple[int, int, int]:
        pod = self.registry.find(PODS, *split_key(key))
        priority = pod["spec"].get("priority", 0) if pod is not None else 0
        return (self._failures[key], -priority, self._active[key])

    def _schedule(self, key: str, pod: JSON) -> None:
        if key in self._assumed:
            match binding_state(self.registry, pod, self._assumed[key]):
                case "bound":
                    self._bind(pod, self._assumed[key])
                    return
                case "waiting":
                    return
            del self._assumed[key]
        nodes = self._snapshot()
        plan = VolumePlan(self.registry, pod)
        if not nodes:
            self._park(key, pod, "no nodes available to schedule pods", NODE_EVENTS)
            return
        if plan.unresolvable:
            message = f"0/{len(nodes)} nodes are available: {plan.unresolvable}. {AFTER_PREFILTER}"
            self._park(key, pod, message, UNRESOLVED_EVENTS)
            return
        feasible, rejections = self._filter(pod, nodes, plan)
        if not feasible:
            requeue_on = frozenset[int]().union(*(r.requeue_on for r in rejections))
            self._park(key, pod, fit_error(rejections), requeue_on)
            return
        chosen = choose(pod, feasible, nodes, self._namespace_labels)
        if plan.start_binding(chosen):
            self._assumed[key] = chosen.name
        else:
            self._bind(pod, chosen.name)

    def _snapshot(self) -> list[NodeInfo]:
        infos = {name_of(n): NodeInfo(n, list(self._assigned.get(name_of(n), {}).values())) for n in self._nodes()}
        for key, node in self._assumed.items():
            pod = self.registry.find(PODS, *split_key(key))
            if pod is not None and node in infos:
                infos[node].pods.append(pod)
        return list(infos.values())

    def _nodes(self) -> list[JSON]:
        return self.registry.list(NODES)

    def _namespace_labels(self, name: str) -> dict[str, str]:
        namespace = self.registry.find(NAMESPACES, "", name)
        return labels_of(namespace) if namespace is not None else {}

    def _filter(self, pod: JSON, nodes: list[NodeInfo], plan: VolumePlan) -> tuple[list[NodeInfo], list[Rejection]]:
        filters: list[Filter] = [
            *NODE_FILTERS,
            lambda _, info: plan.check_restrictions(info),
            lambda _, info: plan.check(info),
            *(f for f in (spread_filter(pod, nodes), affinity_filter(pod, nodes, self._namespace_labels)) if f),
        ]
        feasible: list[NodeInfo] = []
        rejections: list[Rejection] = []
        for info in nodes:
            rejection = next((result for f in filters if (result := f(pod, info)) is not None), None)
            if rejection is None:
                feasible.append(info)
            else:
                rejections.append(rejection)
        return feasible, rejections

    # ----------------------------------------------------------------- outcome

    def _bind(self, pod: JSON, node: str) -> None:
        def change(new: JSON) -> None:
            new["spec"]["nodeName"] = node
            set_pod_scheduled(new, "True")

        self.registry.modify(PODS, namespace_of(pod), name_of(pod), change, subresource="binding")
        message = f"Successfully assigned {key_of(pod)} to {node}"
        self._events.event(pod, "Normal", "Scheduled", message)

    def _park(self, key: str, pod: JSON, message: str, requeue_on: frozenset[int]) -> None:
        self._unschedulable[key] = requeue_on
        self._events.event(pod, "Warning", "FailedScheduling", message)
        self.registry.modify(
            PODS,
            namespace_of(pod),
            name_of(pod),
            lambda new: set_pod_scheduled(new, "False", "Unschedulable", message),
            subresource="status",
        )


def set_pod_scheduled(pod: JSON, status: str, reason: str = "", message: str = "") -> None:
    """Set the pod's condition PodScheduled in place."""
    set_condition(pod, "PodScheduled", status, reason, message)
    entry = condition(pod, "PodScheduled") or {}
    entry.setdefault("lastProbeTime", None)
    entry["observedGeneration"] = pod["metadata"].get("generation", 1)


def fit_error(rejections: list[Rejection]) -> str:
    """The text of FailedScheduling when every node was filtered out (framework/types.go FitError)."""
    head = f"0/{len(rejections)} nodes are available"
    reasons = Counter(reason for rejection in rejections for reason in rejection.reasons)
    # Nothing is preempted here; upstream says this where no pod of lower priority could be.
    preemption = Counter(
        "No preemption victims found for incoming pod" if r.resolvable else "Preemption is not helpful for scheduling"
        for r in rejections
    )
    return f"{head}: {_histogram(reasons)}. {AFTER_FILTER}{head}: {_histogram(preemption)}."


def _histogram(counts: Counter[str]) -> str:
    return ", ".join(sorted(f"{count} {text}" for text, count in counts.items()))


def _is_ours(pod: JSON) -> bool:
    """Whether this scheduler is to place the pod now: not another's, not terminating, not held by a gate."""
    spec = pod["spec"]
    ours = spec.get("schedulerName", SCHEDULER_NAME) == SCHEDULER_NAME
    return ours and not is_terminating(pod) and not is_pod_finished(pod) and not spec.get("schedulingGates")


def _is_unchanged(change: Change, fields: Callable[[JSON], tuple[object, ...]]) -> bool:
    """Whether an update left these fields of its object as they were."""
    return change.type == "MODIFIED" and change.old is not None and fields(change.old) == fields(change.object)


def _scheduling_fields(pod: JSON) -> tuple[object, ...]:
    """What of a pod its placement depends on."""
    return (pod["spec"], labels_of(pod), _is_ours(pod))


def _node_fields(node: JSON) -> tuple[object, ...]:
    """What of a node the placement of pods depends on."""
    ready = is_condition_true(node, "Ready")
    return (node.get("spec"), labels_of(node), (node.get("status") or {}).get("allocatable"), ready)


def _claim_fields(claim: JSON) -> tuple[object, ...]:
    """What of a claim the placement of its pods depends on."""
    selected = annotations_of(claim).get(matching.SELECTED_NODE)
    phase = (claim.get("status") or {}).get("phase")
    return (claim["spec"], matching.is_bound(claim), selected, is_terminating(claim), phase == "Lost")
