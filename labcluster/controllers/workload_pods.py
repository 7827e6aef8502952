"""What the controllers of workloads share (pkg/controller/controller_utils.go, pkg/api/v1/pod/util.go)."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable

from labcluster.api.conditions import condition, is_pod_finished, is_pod_ready
from labcluster.api.errors import NAMESPACE_TERMINATING, ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, is_terminating, name_of, namespace_of
from labcluster.api.owners import controller_reference
from labcluster.api.resources import PODS
from labcluster.api.times import parse_time
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Registry

BURST_REPLICAS = 500  # pods that one sync creates or deletes at most
MAX_PODS = 5000  # of one workload: the nodes hold 330, and a mistyped number must not take the machine's memory


class PodControl:
    """Creates and deletes pods for a controller, each with an event on the pod's owner (RealPodControl)."""

    def __init__(self, registry: Registry, recorder: EventRecorder) -> None:
        self._registry = registry
        self._recorder = recorder

    def create(self, owner: JSON, pod: JSON) -> None:
        """Create a pod. Raises ApiError, except in a namespace that is being deleted: no creation succeeds there."""
        try:
            created = self._registry.create(PODS, pod)
        except ApiError as error:
            if error.has_cause(NAMESPACE_TERMINATING):
                return
            self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {name_of(created)}")

    def delete(self, owner: JSON, pods: Iterable[JSON]) -> None:
        """Delete pods. Raises the first ApiError, once all of them were tried."""
        failures: list[ApiError] = []
        for pod in pods:
            try:
                self._registry.delete(PODS, namespace_of(pod), name_of(pod))
            except ApiError as error:
                self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
                failures.append(error)
            else:
                self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
        if failures:
            raise failures[0]


def pod_from_template(template: JSON, owner: JSON) -> JSON:
    """A pod of the template, controlled by `owner`, with a generateName but no name yet."""
    metadata: JSON = template.get("metadata") or {}
    copied = {k: clone(metadata[k]) for k in ("labels", "annotations", "finalizers") if metadata.get(k)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **copied,
            "namespace": namespace_of(owner),
            "generateName": f"{name_of(owner)}-",
            "ownerReferences": [controller_reference(owner)],
        },
        "spec": clone(template.get("spec") or {}),
    }


def is_pod_active(pod: JSON) -> bool:
    """Whether the pod runs or may still run: neither finished nor terminating (controller.IsPodActive)."""
    return not is_pod_finished(pod) and not is_terminating(pod)


def seconds_until_available(pod: JSON, min_ready_seconds: int) -> float | None:
    """How long until the pod has been Ready for min_ready_seconds: 0 if it has, None if it is not Ready."""
    if not is_pod_ready(pod):
        return None
    if min_ready_seconds <= 0:
        return 0.0
    ready = condition(pod, "Ready") or {}
    since = ready.get("lastTransitionTime")
    if not since:
        return None
    left = parse_time(since) + dt.timedelta(seconds=min_ready_seconds) - dt.datetime.now(dt.UTC)
    return max(left.total_seconds(), 0.0)


def is_pod_available(pod: JSON, min_ready_seconds: int) -> bool:
    """Whether the pod has been Ready for min_ready_seconds (podutil.IsPodAvailable)."""
    return seconds_until_available(pod, min_ready_seconds) == 0.0


def next_availability(pods: list[JSON], min_ready_seconds: int) -> float | None:
    """Seconds until the next Ready pod becomes available, or None when there is nothing to wait for."""
    waits = [seconds_until_available(pod, min_ready_seconds) for pod in pods]
    return min((w for w in waits if w), default=None)


def bounded(replicas: int) -> int:
    """The replicas that are made of those asked for: MAX_PODS at most."""
    return min(replicas, MAX_PODS)


def scaled_value(value: int | str | None, total: int, *, round_up: bool) -> int:
    """A number, or a percentage of `total`, as it is; nothing is 0 (intstr.GetScaledValueFromIntOrPercent)."""
    if isinstance(value, str):
        share = int(value.rstrip("%")) * total / 100
        return math.ceil(share) if round_up else math.floor(share)
    return value or 0


def slow_start_batch(count: int, call: Callable[[int], object]) -> None:
    """Call with 0 ... count-1 in batches of 1, 2, 4 ... (slowStartBatch): a failing batch is the last one.

    So a cause that would fail every call (a quota, a rejected template) costs one call and not `count`.
    Raises the first ApiError of the failing batch.
    """
    done, size = 0, min(count, 1)
    while size > 0:
        failures: list[ApiError] = []
        for index in range(done, done + size):
            try:
                call(index)
            except ApiError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        done += size
        size = min(2 * size, count - done, BURST_REPLICAS)
