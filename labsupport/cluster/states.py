"""What "Ready", "Bound" or "Deleted" mean for each kind, as `kubectl wait` and `kubectl rollout status` see it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Object = dict[str, Any]
SETS = ("StatefulSet", "ReplicaSet", "Deployment")
_CANNOT_START = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CrashLoopBackOff",
)


def reached(kind: str, state: str) -> Callable[[Object | None], bool]:
    """The test whether an object of that kind is in that state. Raises ValueError for a state it cannot have."""
    if state == "Deleted":
        return lambda obj: obj is None
    if (count := re.fullmatch(r"(\d+) ready", state)) and kind in SETS:
        wanted = int(count[1])
        return lambda obj: obj is not None and _status(obj).get("readyReplicas", 0) == wanted
    if (count := re.fullmatch(r"(\d+) left", state)) and kind in SETS:
        most = int(count[1])
        return lambda obj: obj is not None and _remaining(obj) == most
    if (count := re.fullmatch(r"(\d+) allowed", state)) and kind == "PodDisruptionBudget":
        budget = int(count[1])
        return lambda obj: obj is not None and _observed(obj) and _allowed(obj) == budget
    test = _TESTS.get((kind, state)) or _TESTS.get(("*", state))
    if test is None:
        raise ValueError(f"a {kind} is never {state!r}; it can be {', '.join(_known(kind))}")
    return lambda obj: obj is not None and test(obj)


def hopeless(
    kind: str, state: str, pods_of: Callable[[dict[str, str]], list[Object]]
) -> Callable[[Object | None], str]:
    """The test whether the state can no longer come; it returns the reason, or "" while there is hope."""
    if state not in ("Ready", "Running", "Complete"):
        return lambda obj: ""
    if kind == "Pod":
        return lambda obj: "it does not exist" if obj is None else _why_stuck(obj)
    if kind in SETS:

        def of_its_pods(obj: Object | None) -> str:
            if obj is None:
                return "it does not exist"
            for pod in pods_of(obj["spec"]["selector"].get("matchLabels") or {}):
                why = _why_stuck(pod)
                if why:
                    return f"its pod {pod['metadata']['name']}: {why}"
            return ""

        return of_its_pods
    return lambda obj: "it does not exist" if obj is None else ""


def describe(kind: str, obj: Object | None) -> str:
    """One line on the state of an object, for the text of a failed wait."""
    if obj is None:
        return "it does not exist"
    status = _status(obj)
    if kind == "Pod":
        ready = sum(c.get("ready", False) for c in status.get("containerStatuses") or ())
        total = len(obj["spec"]["containers"])
        return f"{_phase_or_reason(obj)}, {ready} of {total} containers ready"
    if kind in SETS:
        return f"{status.get('readyReplicas', 0)} of {obj['spec'].get('replicas', 1)} replicas ready"
    return str(status.get("phase") or "it exists")


def _status(obj: Object) -> Object:
    return obj.get("status") or {}


def _known(kind: str) -> list[str]:
    return sorted({state for k, state in _TESTS if k in (kind, "*")} | {"Deleted"})


def _condition(obj: Object, name: str, status: str = "True") -> bool:
    return any(c["type"] == name and c["status"] == status for c in _status(obj).get("conditions") or ())


def _all_ready(obj: Object) -> bool:
    """Every replica that is wanted is there and ready, and the status is about this spec."""
    status, wanted = _status(obj), obj["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= obj["metadata"].get("generation", 0)
        and status.get("replicas", 0) == wanted
        and status.get("readyReplicas", 0) == wanted
    )


def is_ready(pod: Object) -> bool:
    """Whether a pod is Ready and not stopping."""
    return _condition(pod, "Ready") and not pod["metadata"].get("deletionTimestamp")


def _remaining(obj: Object) -> int:
    """How many pods there are, those that are stopping included; -1 while the status is about an older spec."""
    status = _status(obj)
    if status.get("observedGeneration", 0) < obj["metadata"].get("generation", 0):
        return -1
    return int(status.get("replicas", 0)) + int(status.get("terminatingReplicas") or 0)


def _allowed(budget: Object) -> int:
    """How many pods may be evicted now under a PodDisruptionBudget."""
    return int(_status(budget).get("disruptionsAllowed", 0))


def _observed(obj: Object) -> bool:
    """The controller has acted on the spec as it is now, at least once."""
    return bool(_status(obj).get("observedGeneration", 0) >= obj["metadata"].get("generation", 0))


def _rolled_out(obj: Object) -> bool:
    status, wanted = _status(obj), obj["spec"].get("replicas", 1)
    strategy = obj["spec"].get("updateStrategy") or {}
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    if partition:
        return _all_ready(obj) and bool(status.get("updatedReplicas", 0) >= wanted - partition)
    same = obj["kind"] != "StatefulSet" or status.get("currentRevision") == status.get("updateRevision")
    return _all_ready(obj) and same and status.get("updatedReplicas", wanted) == wanted


def _phase_or_reason(pod: Object) -> str:
    return _why_stuck(pod) or str(_status(pod).get("phase", "Pending"))


def _why_stuck(pod: Object) -> str:
    """The reason why a container of the pod cannot start, with its message; "" otherwise."""
    status = _status(pod)
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _CANNOT_START:
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    return ""


_TESTS: dict[tuple[str, str], Callable[[Object], bool]] = {
    ("Pod", "Ready"): lambda obj: _condition(obj, "Ready"),
    ("Pod", "Stuck"): lambda obj: bool(_why_stuck(obj)),
    ("Pod", "Unschedulable"): lambda obj: _condition(obj, "PodScheduled", "False"),
    ("Node", "Ready"): lambda obj: _condition(obj, "Ready"),
    ("StatefulSet", "Ready"): _all_ready,
    ("ReplicaSet", "Ready"): _all_ready,
    ("Deployment", "Ready"): _all_ready,
    ("StatefulSet", "Complete"): _rolled_out,
    ("Deployment", "Complete"): _rolled_out,
    **{(kind, "Observed"): _observed for kind in SETS},
    ("CustomResourceDefinition", "Established"): lambda obj: _condition(obj, "Established"),
    ("Namespace", "Active"): lambda obj: _status(obj).get("phase") == "Active",
    ("PersistentVolumeClaim", "Bound"): lambda obj: _status(obj).get("phase") == "Bound",
    ("PersistentVolumeClaim", "Pending"): lambda obj: _status(obj).get("phase") == "Pending",
    ("PersistentVolume", "Bound"): lambda obj: _status(obj).get("phase") == "Bound",
    ("PersistentVolume", "Released"): lambda obj: _status(obj).get("phase") == "Released",
    ("*", "there"): lambda obj: True,
    **{
        ("Pod", phase): lambda obj, phase=phase: _status(obj).get("phase") == phase  # type: ignore[misc]
        for phase in ("Pending", "Running", "Succeeded", "Failed")
    },
}
