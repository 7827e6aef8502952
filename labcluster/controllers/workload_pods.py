"""What the controllers that make pods share (pkg/controller/controller_utils.go, pkg/api/v1/pod/util.go)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from labcluster.api.conditions import condition, is_pod_finished, is_pod_ready
from labcluster.api.errors import ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, is_terminating, name_of, namespace_of
from labcluster.api.owners import controller_reference
from labcluster.api.times import parse_time

MAX_BATCH = 500  # pods that one sync creates or deletes at most
MOST_PODS = 5000  # of one workload: the nodes hold 330, and a mistyped number must not take the machine's memory


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


def is_active(pod: JSON) -> bool:
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


def is_available(pod: JSON, min_ready_seconds: int) -> bool:
    """Whether the pod has been Ready for min_ready_seconds (podutil.IsPodAvailable)."""
    return seconds_until_available(pod, min_ready_seconds) == 0.0


def next_availability(pods: list[JSON], min_ready_seconds: int) -> float | None:
    """Seconds until the next Ready pod becomes available, or None when there is nothing to wait for."""
    waits = [seconds_until_available(pod, min_ready_seconds) for pod in pods]
    return min((w for w in waits if w), default=None)


def bounded(replicas: int) -> int:
    """As many of the wanted pods as are ever made."""
    return min(replicas, MOST_PODS)


def slow_start(count: int, call: Callable[[int], object]) -> None:
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
        size = min(2 * size, count - done, MAX_BATCH)
