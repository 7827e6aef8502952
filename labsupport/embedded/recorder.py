"""Recording Events, with repeats counted instead of stored again (client-go tools/record/events_cache.go)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from labsupport.embedded.errors import ApiError
from labsupport.embedded.objects import JSON, name_of, namespace_of, now, uid_of
from labsupport.embedded.resources import EVENTS

if TYPE_CHECKING:
    from labsupport.embedded.registry import Registry

log = logging.getLogger(__name__)


class EventRecorder:
    """Writes Events about objects on behalf of one component, optionally on one node."""

    def __init__(self, registry: Registry, component: str, host: str = "") -> None:
        self._registry = registry
        self._source = {"component": component, **({"host": host} if host else {})}
        self._seen: dict[tuple[str, ...], str] = {}  # what an event says -> the name of its object

    def event(self, obj: JSON, kind: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Record that `reason` happened to `obj`; `kind` is "Normal" or "Warning". Never raises ApiError."""
        namespace = namespace_of(obj) or "default"
        key = (namespace, obj["kind"], uid_of(obj), kind, reason, message, field_path)
        try:
            if not self._count(namespace, key):
                self._create(namespace, key, obj, kind, reason, message, field_path)
        except ApiError as error:  # e.g. the namespace is being terminated
            log.debug("event %s of %s/%s not recorded: %s", reason, namespace, name_of(obj), error)

    def _count(self, namespace: str, key: tuple[str, ...]) -> bool:
        name = self._seen.get(key)
        if name is None or self._registry.find(EVENTS, namespace, name) is None:
            return False

        def again(event: JSON) -> None:
            event["count"] = event.get("count", 1) + 1
            event["lastTimestamp"] = now()

        self._registry.modify(EVENTS, namespace, name, again)
        return True

    def _create(
        self, namespace: str, key: tuple[str, ...], obj: JSON, kind: str, reason: str, message: str, field_path: str
    ) -> None:
        time = now()
        involved = {
            "kind": obj["kind"],
            "namespace": namespace_of(obj),
            "name": name_of(obj),
            "uid": uid_of(obj),
            "apiVersion": obj["apiVersion"],
            "resourceVersion": obj["metadata"].get("resourceVersion", ""),
            "fieldPath": field_path,
        }
        event = {
            # Like client-go's recorder: unique, and sorting by time.
            "metadata": {"name": f"{name_of(obj)}.{self._registry.revision:016x}", "namespace": namespace},
            "involvedObject": {k: v for k, v in involved.items() if v},
            "reason": reason,
            "message": message,
            "source": self._source,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
            "type": kind,
            "eventTime": None,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
        }
        stored = self._registry.create(EVENTS, event)
        if len(self._seen) > 4096:
            self._seen.clear()
        self._seen[key] = name_of(stored)
