"""One step of a StatefulSet towards its desired state (statefulset/stateful_set_control.go, updateStatefulSet).

First the wanted replicas in ascending order, then the condemned pods in descending order, then the rolling
update. With podManagementPolicy OrderedReady a step ends at the first pod that has to be waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from labcluster.api.conditions import is_pod_finished
from labcluster.api.objects import JSON, is_terminating, name_of
from labcluster.controllers import history
from labcluster.controllers.statefulset import status
from labcluster.controllers.statefulset.identity import new_pod, ordinal_of, ordinals_of, revision_of
from labcluster.controllers.statefulset.pods import StatefulPodControl
from labcluster.controllers.workload_pods import slow_start_batch


class Step:
    """One pass over a set's pods. `run` acts; `counters` then hold what the status should say."""

    def __init__(
        self, stateful_set: JSON, pods: Sequence[JSON], current: JSON, update: JSON, control: StatefulPodControl
    ) -> None:
        """`current` and `update` are ControllerRevisions."""
        spec = stateful_set["spec"]
        self._set = stateful_set
        self._pods = pods
        self._current = current
        self._update = update
        self._control = control
        self._min_ready = int(spec.get("minReadySeconds") or 0)
        self._ordered = spec.get("podManagementPolicy", "OrderedReady") != "Parallel"
        self._strategy: JSON = spec.get("updateStrategy") or {"type": "RollingUpdate"}
        self.counters = self._count(pods)

    def run(self) -> None:
        """Do what can be done now. Raises ApiError; `counters` are right even then."""
        if is_terminating(self._set):
            return
        wanted = ordinals_of(self._set)
        existing = {ordinal_of(pod): pod for pod in self._pods}
        replicas = [existing.get(ordinal) or self._new_pod(ordinal) for ordinal in wanted]
        condemned = [pod for pod in self._pods if ordinal_of(pod) >= 0 and ordinal_of(pod) not in wanted]
        condemned.sort(key=ordinal_of, reverse=True)
        first_unavailable = next(
            (pod for pod in (*replicas, *reversed(condemned)) if status.is_unavailable(pod, self._min_ready)), None
        )
        try:
            settled = (
                self._for_all(replicas, self._settle)
                and self._for_all(condemned, self._settle_claims)
                and self._for_all(condemned, lambda pod: self._condemn(pod, first_unavailable))
            )
        finally:
            self.counters = self._count((*replicas, *condemned))
        if settled and self._strategy.get("type") != "OnDelete":
            self._roll(replicas)

    def _count(self, pods: Iterable[JSON]) -> dict[str, int]:
        return status.count(pods, self._min_ready, name_of(self._current), name_of(self._update))

    def _new_pod(self, ordinal: int) -> JSON:
        revision = self._current if self._is_current_needed(ordinal) else self._update
        return new_pod(self._set, history.template_of(revision), name_of(revision), ordinal)

    def _is_current_needed(self, ordinal: int) -> bool:
        """Whether a missing pod comes back with the current revision rather than the new one."""
        if self._strategy.get("type", "RollingUpdate") != "RollingUpdate":
            return False
        rolling = self._strategy.get("rollingUpdate")
        old = self._set.get("status", {}).get("currentReplicas", 0) if rolling is None else _partition(rolling)
        return ordinal < ordinals_of(self._set).start + int(old)

    def _for_all(self, pods: Sequence[JSON], settle: Callable[[JSON], bool]) -> bool:
        """Settle pods one after the other until one is to be waited for, or, in parallel, all of them in batches."""
        if self._ordered:
            return all(settle(pod) for pod in pods)
        slow_start_batch(len(pods), lambda index: settle(pods[index]))
        return True

    def _settle(self, pod: JSON) -> bool:
        """Create, recreate or repair a pod (processReplica). False when it has to be waited for."""
        if is_pod_finished(pod):
            # Succeeded as well as Failed: a pod that was stopped with its node may end either way. The next one is
            # created when this one is gone.
            if not is_terminating(pod):
                self._control.delete(pod)
            return False
        if not status.is_created(pod):
            if self._control.has_stale_claim(pod):
                return False
            self._control.create(pod)
            return not self._ordered
        if pod.get("status", {}).get("phase") == "Pending":
            self._control.create_missing_claims(pod)
        if self._ordered and status.is_unavailable(pod, self._min_ready):
            return False
        self._control.repair(pod)
        return True

    def _settle_claims(self, pod: JSON) -> bool:
        self._control.repair_claims(pod)
        return True

    def _condemn(self, pod: JSON, first_unavailable: JSON | None) -> bool:
        """Delete a condemned pod (processCondemned). False when it, or another one, has to be waited for."""
        if is_terminating(pod):
            return not self._ordered
        available = status.is_running_and_available(pod, self._min_ready)
        if self._ordered and not available and pod is not first_unavailable:
            return False
        self._control.delete(pod)
        return not self._ordered

    def _roll(self, replicas: Sequence[JSON]) -> None:
        """Delete the pod of the highest ordinal with another revision, unless one above is still to be waited for."""
        first = _partition(self._strategy.get("rollingUpdate") or {})
        for pod in reversed(replicas[first:]):
            if revision_of(pod) != name_of(self._update) and not is_terminating(pod):
                if status.is_created(pod):
                    self._control.delete(pod)
                    self.counters["currentReplicas"] -= revision_of(pod) == name_of(self._current)
                return
            if status.is_unavailable(pod, self._min_ready):
                return


def _partition(rolling: JSON) -> int:
    return int(rolling.get("partition") or 0)
