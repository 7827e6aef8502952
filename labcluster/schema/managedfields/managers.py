"""The managers of an object's fields: metadata.managedFields read, brought up to date and written.

Upstream: apimachinery util/managedfields/internal/{managedfields,structuredmerge,stripmeta,capmanagers}.go and
structured-merge-diff merge/update.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from labcluster.api.objects import JSON
from labcluster.api.resources import Resource
from labcluster.api.times import now
from labcluster.schema.definitions import Field
from labcluster.schema.managedfields import sets, values
from labcluster.schema.managedfields.sets import NOTHING, Path, Paths
from labcluster.schema.schemas import type_of

MAX_UPDATERS = 10  # of one object; the oldest beyond are put together
ANCIENT = "ancient-changes"
_UNMANAGED: Paths = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    }
)


@dataclass(frozen=True, order=True)
class Manager:
    """Who: a client's name, how it writes, in which version, and through which subresource ("" is the object)."""

    name: str
    operation: Literal["Apply", "Update"]
    api_version: str
    subresource: str = ""

    def __str__(self) -> str:
        """As conflicts name a manager."""
        where = f' with subresource "{self.subresource}"' if self.subresource else ""
        using = f" using {self.api_version}" if self.operation == "Update" else ""
        return f'"{self.name}"{where}{using}'


@dataclass(frozen=True)
class Managed:
    """What a manager manages, and since when."""

    fields: Paths
    time: str


Managers = dict[Manager, Managed]


def decode(entries: Any) -> Managers:
    """The managers of a metadata.managedFields. Raises ValueError when an entry is malformed."""
    managers: Managers = {}
    for entry in entries or ():
        operation = entry.get("operation")
        if operation not in ("Apply", "Update"):
            raise ValueError(f"metadata.managedFields: operation must be `Apply` or `Update`, not {operation!r}")
        if entry.get("fieldsType", "FieldsV1") != "FieldsV1":
            raise ValueError("metadata.managedFields: fieldsType must be `FieldsV1`")
        manager = Manager(
            entry.get("manager", ""), operation, entry.get("apiVersion", ""), entry.get("subresource", "")
        )
        managers[manager] = Managed(sets.decode(entry.get("fieldsV1") or {}), entry.get("time", ""))
    return managers


def encode(managers: Managers) -> list[JSON]:
    """metadata.managedFields: those who apply first, then by time."""
    ordered = sorted(managers.items(), key=lambda item: (item[0].operation, item[1].time, item[0]))
    return [
        {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
            **({"time": managed.time} if managed.time else {}),
            "fieldsType": "FieldsV1",
            "fieldsV1": sets.encode(managed.fields),
            **({"subresource": manager.subresource} if manager.subresource else {}),
        }
        for manager, managed in ordered
    ]


def root(resource: Resource) -> Field:
    """The type of the resource's objects, as the walks in `values` want it."""
    return Field(type_of(resource))


def managed_part(paths: set[Path] | Paths, resource: Resource, subresource: str) -> Paths:
    """The paths that a request may manage: not what the server sets, and not what the (sub)resource does not write."""
    reset = "f:status" if not subresource and "status" in resource.subresources else ""
    kept = (path for path in paths if path not in _UNMANAGED and path[0] != reset)
    if subresource == "status":
        kept = (path for path in kept if path[0] == "f:status")
    return frozenset(kept)


def after_update(managers: Managers, old: JSON, new: JSON, manager: Manager, resource: Resource) -> Managers:
    """The managers once `manager` has replaced `old` ({} for a creation) by `new`: it owns what it changed."""
    difference = values.compare(old, new, root(resource))
    changed = managed_part(difference.added | difference.modified, resource, manager.subresource)
    removed = frozenset(difference.removed)
    result = without(managers, changed | removed, except_for=manager)
    own = managers[manager].fields if manager in managers else NOTHING
    _set(result, manager, (own - removed) | changed)
    return _capped(result)


def without(managers: Managers, paths: Paths, except_for: Manager) -> Managers:
    """The managers without these fields, but for one of them; those who are left with none are dropped."""
    result: Managers = {}
    for manager, managed in managers.items():
        if manager == except_for or managed.fields.isdisjoint(paths):
            result[manager] = managed
        elif left := managed.fields - paths:
            result[manager] = Managed(left, now())
    return result


def _set(managers: Managers, manager: Manager, fields: Paths) -> None:
    """Give a manager its fields; its time moves only when they change."""
    if not fields:
        managers.pop(manager, None)
    elif manager not in managers or managers[manager].fields != fields:
        managers[manager] = Managed(fields, now())


def with_applied(managers: Managers, manager: Manager, fields: Paths) -> Managers:
    """The managers when one of them applies these fields; one who applies none is remembered all the same."""
    known = managers.get(manager)
    return {**managers, manager: known if known and known.fields == fields else Managed(fields, now())}


def _capped(managers: Managers) -> Managers:
    updaters = sorted((m for m in managers if m.operation == "Update"), key=lambda m: (managers[m].time, m))
    if len(updaters) <= MAX_UPDATERS:
        return managers
    result = dict(managers)
    for oldest in updaters[: len(updaters) - MAX_UPDATERS + 1]:
        bucket = Manager(ANCIENT, "Update", oldest.api_version)
        managed = result.pop(oldest)
        known = result.get(bucket, Managed(NOTHING, managed.time))
        result[bucket] = Managed(known.fields | managed.fields, max(known.time, managed.time))
    return result
