"""The conditions of an object's status; whether a pod is ready or has finished."""

from __future__ import annotations

from labcluster.api.objects import JSON
from labcluster.api.times import now


def condition(obj: JSON, kind: str) -> JSON | None:
    """The entry of status.conditions of that type, or None."""
    for entry in obj.get("status", {}).get("conditions") or ():
        if entry.get("type") == kind:
            return entry  # type: ignore[no-any-return]
    return None


def is_condition_true(obj: JSON, kind: str) -> bool:
    """Whether the condition of that type has status "True"."""
    entry = condition(obj, kind)
    return entry is not None and entry.get("status") == "True"


def is_pod_ready(pod: JSON) -> bool:
    """Whether the pod's Ready condition is True (podutil.IsPodReady)."""
    return is_condition_true(pod, "Ready")


def is_pod_finished(pod: JSON) -> bool:
    """Whether the pod's phase is Succeeded or Failed."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def set_condition(obj: JSON, kind: str, status: str, reason: str = "", message: str = "") -> bool:
    """Set a condition of `obj` in place; returns whether anything changed. Empty texts are left out.

    lastTransitionTime moves with the status only, as in apimachinery's api/meta/conditions.go.
    """
    entry = condition(obj, kind)
    if entry is None:
        entry = {"type": kind}
        obj.setdefault("status", {}).setdefault("conditions", []).append(entry)
    before = dict(entry)
    if entry.get("status") != status:
        entry["status"], entry["lastTransitionTime"] = status, now()
    for name, text in (("reason", reason), ("message", message)):
        if text:
            entry[name] = text
        else:
            entry.pop(name, None)
    return entry != before
