"""Writing conditions, with the time of the last transition kept right (apimachinery's api/meta/conditions.go)."""

from __future__ import annotations

from labcluster.api.objects import JSON, condition, now


def set_condition(obj: JSON, kind: str, status: str, reason: str = "", message: str = "") -> bool:
    """Set a condition of `obj` in place; returns whether anything changed. Empty texts are left out."""
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
