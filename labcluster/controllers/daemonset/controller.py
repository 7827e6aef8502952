"""The DaemonSet controller (pkg/controller/daemon/daemon_controller.go).

Upstream's expectations, which bridge the delay of a watch cache, have no counterpart: reads are never stale here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

from labcluster.api.conditions import is_pod_finished, is_pod_ready
from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, is_terminating, key_of, labels_of, name_of, namespace_of, split_key, uid_of
from labcluster.api.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS, Resource
from labcluster.api.selectors import LabelSelector
from labcluster.controllers import adoption, history
from labcluster.controllers.controller import Controller
from labcluster.controllers.daemonset import update
from labcluster.controllers.daemonset.nodes import REVISION_LABEL, admits, is_updated, new_pod, node_of
from labcluster.controllers.workload_pods import MAX_BATCH, is_available, next_availability, slow_start
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
        self._clock = clock
        # (uid, observed generation, node) -> the back-off in seconds and the clock when a failed pod was last removed
        self._failures: dict[tuple[str, int, str], tuple[float, float]] = {}

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Sets themselves, the sets of pods, and those for which a change of a node counts."""
        return {
            DAEMON_SETS: self.own_key,
            PODS: lambda change: adoption.owner_keys(self.registry, DAEMON_SETS, change),
            NODES: self._on_node,
        }

    def _on_node(self, change: Change) -> list[str]:
        sets = self.registry.list(DAEMON_SETS)
        if change.type == "DELETED":
            return [key_of(each) for each in sets]
        before = (False, False)  # of a node that was not there
        return [
            key_of(each)
            for each in sets
            if admits(each, change.object) != (admits(each, change.old) if change.old is not None else before)
        ]

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
            self._truncate(daemon_set, [r for r in revisions if name_of(r) != name_of(current)])
        finally:
            self._write_status(daemon_set, step.status(collisions))
        waits = (next_availability(step.all_pods(), step.min_ready), step.retry_after)
        return min((wait for wait in waits if wait is not None), default=None)

    def pods_by_node(self, daemon_set: JSON, *, ended: bool = False) -> dict[str, list[JSON]]:
        """The set's pods by their nodes, matching orphans adopted; with `ended`, also those that only wait to go."""
        everyone = self.registry.list(PODS, namespace_of(daemon_set))
        found: dict[str, list[JSON]] = {}
        for pod in adoption.claim(self.registry, DAEMON_SETS, daemon_set, PODS, everyone):
            node = node_of(pod)
            if node is not None and (ended or not (is_pod_finished(pod) and is_terminating(pod))):
                found.setdefault(node, []).append(pod)
        return found

    def create(self, daemon_set: JSON, node: str, revision_hash: str) -> None:
        """Create the pod of a node. Raises ApiError."""
        try:
            pod = self.registry.create(PODS, new_pod(daemon_set, node, revision_hash))
        except ApiError as error:
            if any(c.get("reason") == "NamespaceTerminating" for c in error.details.get("causes") or ()):
                return  # any creation would fail: nothing to report, nothing to retry
            self._events.event(daemon_set, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._events.event(daemon_set, "Normal", "SuccessfulCreate", f"Created pod: {name_of(pod)}")

    def delete(self, daemon_set: JSON, pod: JSON) -> None:
        """Ask for a pod's deletion. Raises ApiError."""
        try:
            self.registry.delete(PODS, namespace_of(pod), name_of(pod))
        except ApiError as error:
            self._events.event(daemon_set, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        self._events.event(daemon_set, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")

    def remove_finished(self, daemon_set: JSON, node: str, pod: JSON) -> float | None:
        """Whether a pod that has ended is to be deleted now: None if so, else in how many seconds."""
        text = f"daemon pod {key_of(pod)} on node {node}, will try to"
        if pod["status"]["phase"] == "Succeeded":
            self._events.event(daemon_set, "Normal", "SucceededDaemonPod", f"Found succeeded {text} delete it")
            return None
        key = (uid_of(daemon_set), daemon_set["status"].get("observedGeneration") or 0, node)
        now = self._clock()
        # After so long without a failure it begins anew; the set or its node may be gone, too.
        self._failures = {each: had for each, had in self._failures.items() if now - had[1] <= 2 * LONGEST_BACKOFF}
        delay, since = self._failures.get(key, (0.0, now))
        if now - since < delay:
            return delay
        self._failures[key] = (min(2 * delay, LONGEST_BACKOFF) or FIRST_BACKOFF, now)
        self._events.event(daemon_set, "Warning", "FailedDaemonPod", f"Found failed {text} kill it")
        return None

    def _truncate(self, daemon_set: JSON, old: Sequence[JSON]) -> None:
        """Delete the oldest revisions beyond the limit that no pod is of; those in use count (cleanupHistory)."""
        pods = [pod for found in self.pods_by_node(daemon_set, ended=True).values() for pod in found]
        live = {labels_of(pod).get(REVISION_LABEL) for pod in pods}
        unused = [revision for revision in old if labels_of(revision).get(REVISION_LABEL) not in live]
        for revision in unused[: max(len(old) - int(daemon_set["spec"]["revisionHistoryLimit"]), 0)]:
            self.registry.delete(CONTROLLER_REVISIONS, namespace_of(revision), name_of(revision))

    def _write_status(self, daemon_set: JSON, status: JSON) -> None:
        def change(obj: JSON) -> None:
            obj["status"] = status

        namespace, name = namespace_of(daemon_set), name_of(daemon_set)
        self.registry.modify(DAEMON_SETS, namespace, name, change, subresource="status")


class _Step:
    """One look at all nodes."""

    def __init__(self, controller: DaemonSetController, daemon_set: JSON, revision_hash: str) -> None:
        self._controller = controller
        self._set = daemon_set
        self._hash = revision_hash
        self._nodes: Mapping[str, tuple[bool, bool]] = {
            name_of(node): admits(daemon_set, node) for node in controller.registry.list(NODES)
        }
        self.min_ready = int(daemon_set["spec"].get("minReadySeconds") or 0)
        self.retry_after: float | None = None  # seconds until a failed pod may be removed

    def run(self) -> None:
        """Create and delete; an update goes on once nothing else is to be done. Raises ApiError."""
        pods = self._controller.pods_by_node(self._set)
        found = update.Plan()
        for node in self._nodes:
            self._look_at(node, pods.get(node), found)
        # A pod that was never placed, for a node that is gone: nobody else would remove it.
        found.delete += [
            pod for node in pods if node not in self._nodes for pod in pods[node] if not pod["spec"].get("nodeName")
        ]
        if not found.create and not found.delete:
            wanted = {node: should for node, (should, _) in self._nodes.items()}
            found = update.plan(self._set, pods, wanted, self._hash, self._is_available)
        self._carry_out(found)

    def _look_at(self, node: str, pods: list[JSON] | None, found: update.Plan) -> None:
        """What a node calls for (podsShouldBeOnNode)."""
        should_run, may_stay = self._nodes[node]
        if pods is None:
            if should_run:
                found.create.append(node)
            return
        staying = [pod for pod in pods if not is_terminating(pod)]
        if not may_stay:
            found.delete += staying
            return
        running = [pod for pod in staying if not is_pod_finished(pod)]
        for pod in staying:
            if is_pod_finished(pod):
                wait = self._controller.remove_finished(self._set, node, pod)
                if wait is None:
                    found.delete.append(pod)
                else:
                    self.retry_after = min(wait, self.retry_after or wait)
        running.sort(key=_oldest_first)
        if not update.surges(self._set):
            found.delete += running[1:]
        elif not running:
            if should_run:
                found.create.append(node)
        elif len(running) > 1:
            found.delete += self._surplus(running)

    def _surplus(self, running: Sequence[JSON]) -> list[JSON]:
        """While it surges, a node keeps its oldest new pod; and its oldest old one as long as that alone serves."""
        new = [pod for pod in running if is_updated(pod, self._hash)]
        old = [pod for pod in running if not is_updated(pod, self._hash)]
        surplus = [*new[1:], *old[1:]]
        if new and old and (not is_pod_ready(old[0]) or self._is_available(new[0])):
            surplus.append(old[0])
        return surplus

    def _carry_out(self, found: update.Plan) -> None:
        """Create, then delete what can be. Raises the first ApiError once all was tried (syncNodes)."""
        failures: list[ApiError] = []
        nodes = found.create[:MAX_BATCH]
        try:
            slow_start(len(nodes), lambda index: self._controller.create(self._set, nodes[index], self._hash))
        except ApiError as error:
            failures.append(error)
        for pod in found.delete[:MAX_BATCH]:
            try:
                self._controller.delete(self._set, pod)
            except ApiError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def status(self, collisions: int) -> JSON:
        """The status, counted from the pods as they are now (updateDaemonSetStatus)."""
        pods = self._controller.pods_by_node(self._set)
        counters = dict.fromkeys((*ALWAYS_WRITTEN, "updatedNumberScheduled", "numberAvailable", "numberUnavailable"), 0)
        for node, (should_run, _) in self._nodes.items():
            there = sorted(pods.get(node, ()), key=_oldest_first)
            if not should_run:
                counters["numberMisscheduled"] += bool(there)
                continue
            counters["desiredNumberScheduled"] += 1
            if there:
                counters["currentNumberScheduled"] += 1
                counters["numberReady"] += is_pod_ready(there[0])
                counters["numberAvailable"] += self._is_available(there[0])
                counters["updatedNumberScheduled"] += is_updated(there[0], self._hash)
        counters["numberUnavailable"] = counters["desiredNumberScheduled"] - counters["numberAvailable"]
        status = {key: number for key, number in counters.items() if number or key in ALWAYS_WRITTEN}
        status["observedGeneration"] = self._set["metadata"]["generation"]
        return {**status, "collisionCount": collisions} if collisions else status

    def all_pods(self) -> list[JSON]:
        """The pods that stay, whose time to become available may have to be waited for."""
        found = self._controller.pods_by_node(self._set)
        return [pod for pods in found.values() for pod in pods if not is_terminating(pod)]

    def _is_available(self, pod: JSON) -> bool:
        return is_available(pod, self.min_ready)


def _oldest_first(pod: JSON) -> tuple[bool, str, str]:
    """Pods that have a node come first."""
    return not pod["spec"].get("nodeName"), pod["metadata"]["creationTimestamp"], name_of(pod)
