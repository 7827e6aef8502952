"""The DaemonSet controller (pkg/controller/daemon/daemon_controller.go).

Upstream's expectations, which bridge the delay of a watch cache, have no counterpart: reads are never stale here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

from labcluster.api.conditions import is_pod_finished, is_pod_ready
from labcluster.api.objects import JSON, is_terminating, key_of, labels_of, name_of, namespace_of, split_key, uid_of
from labcluster.api.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS, Resource
from labcluster.api.selectors import LabelSelector
from labcluster.controllers import adoption, history
from labcluster.controllers.controller import Controller
from labcluster.controllers.daemonset import update
from labcluster.controllers.daemonset.nodes import REVISION_LABEL, is_updated, new_pod, node_of, should_run
from labcluster.controllers.workload_pods import (
    BURST_REPLICAS,
    PodControl,
    is_pod_available,
    next_availability,
    slow_start_batch,
)
from labcluster.kinds.daemonsets import ALWAYS_WRITTEN
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Change, Registry

FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 900.0  # seconds between a failed pod and its removal, after the first


class DaemonSetController(Controller):
    """Keeps one pod on each node that should have one."""

    name: ClassVar[str] = "daemonset-controller"

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare to run on the registry; `clock` gives seconds."""
        super().__init__(registry)
        self._events = EventRecorder(registry, self.name)
        self.pod_control = PodControl(registry, self._events)
        self._clock = clock
        # (uid, observed generation, node) -> the back-off in seconds and the clock when a failed pod was last removed
        self._backoff: dict[tuple[str, int, str], tuple[float, float]] = {}

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Sets themselves, the sets of pods, and those for which a change of a node counts."""
        return {
            DAEMON_SETS: self.own_key,
            PODS: lambda change: adoption.owner_keys(self.registry, DAEMON_SETS, change),
            NODES: self._on_node,
        }

    def _on_node(self, change: Change) -> list[str]:
        daemon_sets = self.registry.list(DAEMON_SETS)
        if change.type == "DELETED":
            return [key_of(daemon_set) for daemon_set in daemon_sets]

        def concerns(daemon_set: JSON) -> bool:
            before = (False, False) if change.old is None else should_run(daemon_set, change.old)
            return should_run(daemon_set, change.object) != before

        return [key_of(daemon_set) for daemon_set in daemon_sets if concerns(daemon_set)]

    def reconcile(self, key: str) -> float | None:
        """Create and delete what the nodes call for, take the next step of an update, and write the status."""
        daemon_set = self.registry.find(DAEMON_SETS, *split_key(key))
        if daemon_set is None or is_terminating(daemon_set):
            return None
        selector = LabelSelector.from_object(daemon_set["spec"].get("selector"))
        history.adopt_orphans(self.registry, DAEMON_SETS, daemon_set, selector)
        revisions = history.list_revisions(self.registry, daemon_set, selector)
        collisions = int(daemon_set["status"].get("collisionCount") or 0)
        number = revisions[-1]["revision"] + 1 if revisions else 1
        candidate = history.new_revision(daemon_set, daemon_set["spec"]["template"], number, collisions)
        current, collisions = history.store_revision(self.registry, daemon_set, revisions, candidate, collisions)
        step = _Step(self, daemon_set, labels_of(current).get(REVISION_LABEL, name_of(current)))
        try:
            step.run()
            self._clean_up_history(daemon_set, [r for r in revisions if name_of(r) != name_of(current)])
        finally:
            self.write_status(DAEMON_SETS, daemon_set, step.status(collisions))
        waits = (next_availability(step.all_pods(), step.min_ready), step.retry_after)
        return min((wait for wait in waits if wait is not None), default=None)

    def pods_by_node(self, daemon_set: JSON, *, include_deleted_terminal: bool = False) -> dict[str, list[JSON]]:
        """The set's pods by node, matching orphans adopted (getNodesToDaemonPods).

        Pods that have ended and are being deleted are left out unless they are asked for.
        """
        candidates = self.registry.list(PODS, namespace_of(daemon_set))
        by_node: dict[str, list[JSON]] = {}
        for pod in adoption.claim(self.registry, DAEMON_SETS, daemon_set, PODS, candidates):
            node = node_of(pod)
            if node is not None and (include_deleted_terminal or not (is_pod_finished(pod) and is_terminating(pod))):
                by_node.setdefault(node, []).append(pod)
        return by_node

    def removal_delay(self, daemon_set: JSON, node: str, pod: JSON) -> float:
        """Seconds until a pod that has ended is to be deleted; 0 is now: the event says so, the back-off grows."""
        text = f"daemon pod {key_of(pod)} on node {node}, will try to"
        if pod["status"]["phase"] == "Succeeded":
            self._events.event(daemon_set, "Normal", "SucceededDaemonPod", f"Found succeeded {text} delete it")
            return 0.0
        key = (uid_of(daemon_set), daemon_set["status"].get("observedGeneration") or 0, node)
        now = self._clock()
        # After so long without a failure the back-off begins anew; the set or its node may be gone, too.
        self._backoff = {k: entry for k, entry in self._backoff.items() if now - entry[1] <= 2 * LONGEST_BACKOFF}
        delay, since = self._backoff.get(key, (0.0, now))
        if now - since < delay:
            return delay
        self._backoff[key] = (min(2 * delay, LONGEST_BACKOFF) or FIRST_BACKOFF, now)
        self._events.event(daemon_set, "Warning", "FailedDaemonPod", f"Found failed {text} kill it")
        return 0.0

    def _clean_up_history(self, daemon_set: JSON, old: Sequence[JSON]) -> None:
        """Delete the oldest revisions beyond the limit that no pod is of; those in use count (cleanupHistory)."""
        by_node = self.pods_by_node(daemon_set, include_deleted_terminal=True)
        live = {labels_of(pod).get(REVISION_LABEL) for pods in by_node.values() for pod in pods}
        unused = [revision for revision in old if labels_of(revision).get(REVISION_LABEL) not in live]
        for revision in unused[: max(len(old) - int(daemon_set["spec"]["revisionHistoryLimit"]), 0)]:
            self.registry.delete(CONTROLLER_REVISIONS, namespace_of(revision), name_of(revision))


class _Step:
    """One sync of a DaemonSet over all nodes (manage, rollingUpdate, syncNodes)."""

    def __init__(self, controller: DaemonSetController, daemon_set: JSON, revision_hash: str) -> None:
        self._controller = controller
        self._set = daemon_set
        self._hash = revision_hash
        self._nodes: Mapping[str, tuple[bool, bool]] = {
            name_of(node): should_run(daemon_set, node) for node in controller.registry.list(NODES)
        }
        self.min_ready = int(daemon_set["spec"].get("minReadySeconds") or 0)
        self.retry_after: float | None = None  # seconds until a failed pod may be removed

    def run(self) -> None:
        """Create and delete; an update goes on once nothing else is to be done. Raises ApiError."""
        pods = self._controller.pods_by_node(self._set)
        plan = update.Plan()
        for node in self._nodes:
            self._plan_node(node, pods.get(node), plan)
        # A pod that was never placed, for a node that is gone: nobody else would remove it.
        plan.delete += [
            pod for node in pods if node not in self._nodes for pod in pods[node] if not pod["spec"].get("nodeName")
        ]
        if not plan.create and not plan.delete:
            wanted = {node: should for node, (should, _) in self._nodes.items()}
            plan = update.plan(self._set, pods, wanted, self._hash, self._is_available)
        self._carry_out(plan)

    def _plan_node(self, node: str, pods: list[JSON] | None, plan: update.Plan) -> None:
        """Add to the plan what a node calls for (podsShouldBeOnNode)."""
        should, may_stay = self._nodes[node]
        if pods is None:
            if should:
                plan.create.append(node)
            return
        staying = [pod for pod in pods if not is_terminating(pod)]
        if not may_stay:
            plan.delete += staying
            return
        running = [pod for pod in staying if not is_pod_finished(pod)]
        for pod in staying:
            if is_pod_finished(pod):
                if delay := self._controller.removal_delay(self._set, node, pod):
                    self.retry_after = min(delay, self.retry_after or delay)
                else:
                    plan.delete.append(pod)
        running.sort(key=_oldest_first)
        if not update.surges(self._set):
            plan.delete += running[1:]
        elif not running:
            if should:
                plan.create.append(node)
        elif len(running) > 1:
            plan.delete += self._surplus(running)

    def _surplus(self, running: Sequence[JSON]) -> list[JSON]:
        """While it surges, a node keeps its oldest new pod; and its oldest old one as long as that alone serves."""
        new = [pod for pod in running if is_updated(pod, self._hash)]
        old = [pod for pod in running if not is_updated(pod, self._hash)]
        surplus = [*new[1:], *old[1:]]
        if new and old and (not is_pod_ready(old[0]) or self._is_available(new[0])):
            surplus.append(old[0])
        return surplus

    def _carry_out(self, plan: update.Plan) -> None:
        """Create, and delete whether or not that worked (syncNodes). Raises ApiError."""
        control = self._controller.pod_control
        nodes = plan.create[:BURST_REPLICAS]
        try:
            slow_start_batch(
                len(nodes), lambda index: control.create(self._set, new_pod(self._set, nodes[index], self._hash))
            )
        finally:
            control.delete(self._set, plan.delete[:BURST_REPLICAS])

    def status(self, collisions: int) -> JSON:
        """The status, counted from the pods as they are now (updateDaemonSetStatus)."""
        pods = self._controller.pods_by_node(self._set)
        counters = dict.fromkeys((*ALWAYS_WRITTEN, "updatedNumberScheduled", "numberAvailable", "numberUnavailable"), 0)
        for node, (should, _) in self._nodes.items():
            on_node = sorted(pods.get(node, ()), key=_oldest_first)
            if not should:
                counters["numberMisscheduled"] += bool(on_node)
                continue
            counters["desiredNumberScheduled"] += 1
            if on_node:
                counters["currentNumberScheduled"] += 1
                counters["numberReady"] += is_pod_ready(on_node[0])
                counters["numberAvailable"] += self._is_available(on_node[0])
                counters["updatedNumberScheduled"] += is_updated(on_node[0], self._hash)
        counters["numberUnavailable"] = counters["desiredNumberScheduled"] - counters["numberAvailable"]
        status = {key: number for key, number in counters.items() if number or key in ALWAYS_WRITTEN}
        status["observedGeneration"] = self._set["metadata"]["generation"]
        return {**status, "collisionCount": collisions} if collisions else status

    def all_pods(self) -> list[JSON]:
        """The pods that are not being deleted."""
        by_node = self._controller.pods_by_node(self._set)
        return [pod for pods in by_node.values() for pod in pods if not is_terminating(pod)]

    def _is_available(self, pod: JSON) -> bool:
        return is_pod_available(pod, self.min_ready)


def _oldest_first(pod: JSON) -> tuple[bool, str, str]:
    """Pods that have a node come first."""
    return not pod["spec"].get("nodeName"), pod["metadata"]["creationTimestamp"], name_of(pod)
