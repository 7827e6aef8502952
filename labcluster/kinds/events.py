"""Event: what happened to an object, with the fields that `kubectl describe` selects by (printers.go printEvent)."""

from __future__ import annotations

from typing import Any, ClassVar

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import EVENTS, Resource
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import translate_timestamp

_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
# Where events about cluster-scoped objects may be written (ValidateEvent's legacy rule).
_CLUSTER_NAMESPACES = ("", "default", "kube-system")


class EventKind(Kind):
    """An event belongs to the namespace of the object it is about."""

    resource: ClassVar[Resource] = EVENTS

    def validate(self, obj: JSON) -> list[FieldError]:
        """The event and its object are in one namespace."""
        namespace, about = obj["metadata"].get("namespace", ""), obj.get("involvedObject") or {}
        given = about.get("namespace", "")
        if given == namespace or (not given and namespace in _CLUSTER_NAMESPACES):
            return []
        return [field.invalid("involvedObject.namespace", given, "does not match event.namespace")]

    def fields(self, obj: JSON) -> dict[str, str]:
        """The involved object, reason, type and source."""
        about = obj.get("involvedObject") or {}
        reporter = obj.get("reportingComponent", "")
        return {
            **{f"involvedObject.{key}": str(about.get(key, "")) for key in _INVOLVED},
            "reason": obj.get("reason", ""),
            "reportingComponent": reporter,
            "source": (obj.get("source") or {}).get("component") or reporter,
            "type": obj.get("type", ""),
        }

    columns = (
        Column("Last Seen"),
        Column("Type"),
        Column("Reason"),
        Column("Object"),
        Column("Subobject", priority=1),
        Column("Source", priority=1),
        Column("Message"),
        Column("First Seen", priority=1),
        Column("Count", priority=1),
        Column("Name", format="name", priority=1),
    )

    def cells(self, obj: JSON) -> list[Any]:
        """Times as ages; an event of the newer API has a series in place of first and last times."""
        series = obj.get("series") or {}
        first = obj.get("firstTimestamp") or obj.get("eventTime")
        last = series.get("lastObservedTime") or obj.get("lastTimestamp") or first
        about, source = obj.get("involvedObject") or {}, obj.get("source") or {}
        target = about.get("kind", "").lower()
        component = source.get("component") or obj.get("reportingComponent", "")
        host = source.get("host") or obj.get("reportingInstance", "")
        return [
            translate_timestamp(last),
            obj.get("type", ""),
            obj.get("reason", ""),
            f"{target}/{about['name']}" if about.get("name") else target,
            about.get("fieldPath", ""),
            f"{component}, {host}" if host else component,
            obj.get("message", "").strip(),
            translate_timestamp(first),
            series.get("count") or obj.get("count") or 1,
            obj["metadata"]["name"],
        ]
