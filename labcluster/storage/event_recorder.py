"""Recording Events, with repeats counted instead of stored again (client-go tools/record/events_cache.go)."""

from __future__ import annotations

import logging
import time

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, name_of, namespace_of, uid_of
from labcluster.api.resources import EVENTS
from labcluster.api.times import now
from labcluster.storage.registry import Registry

log = logging.getLogger(__name__)

SIMILAR = 10  # so many different messages of one reason about one object are told apart, within:
SIMILAR_SECONDS = 600
COMBINED = "(combined from similar events): "
REMEMBERED = 4096


class _Similar:
    """What was said lately about one object for one reason."""

    def __init__(self) -> None:
        self.messages: set[str] = set()
        self.last = 0.0


class EventRecorder:
    """Writes Events about objects on behalf of one component, optionally on one node."""

    def __init__(self, registry: Registry, component: str, host: str = "") -> None:
        self._registry = registry
        self._source = {"component": component, **({"host": host} if host else {})}
        self._seen: dict[tuple[str, ...], str] = {}  # what an event says -> the name of its object
        self._similar: dict[tuple[str, ...], _Similar] = {}  # all but the message -> the messages

    def event(self, obj: JSON, kind: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Record that `reason` happened to `obj`; `kind` is "Normal" or "Warning". Never raises ApiError."""
        namespace = namespace_of(obj) or "default"
        about = (namespace, obj["kind"], name_of(obj), uid_of(obj), kind, reason)
        combined = self._is_one_of_many(about, message)
        key = about if combined else (*about, message, field_path)
        message = COMBINED + message if combined else message
        try:
            if not self._count(namespace, key, message):
                self._create(namespace, key, obj, kind, reason, message, field_path)
        except ApiError as error:  # e.g. the namespace is being terminated
            log.debug("event %s of %s/%s not recorded: %s", reason, namespace, name_of(obj), error)

    def _is_one_of_many(self, about: tuple[str, ...], message: str) -> bool:
        """Whether so much was said of this that one event stands for all that follows (EventAggregate)."""
        at = time.monotonic()
        similar = self._similar.get(about)
        if similar is None or at - similar.last > SIMILAR_SECONDS:
            if len(self._similar) > REMEMBERED:
                self._similar.clear()
            similar = self._similar[about] = _Similar()
        similar.last = at
        similar.messages.add(message)
        if len(similar.messages) < SIMILAR:
            return False
        similar.messages.discard(next(m for m in similar.messages if m != message))
        return True

    def _count(self, namespace: str, key: tuple[str, ...], message: str) -> bool:
        name = self._seen.get(key)
        if name is None or self._registry.find(EVENTS, namespace, name) is None:
            return False

        def again(event: JSON) -> None:
            event["count"] = event.get("count", 1) + 1
            event["message"] = message
            event["lastTimestamp"] = now()

        self._registry.modify(EVENTS, namespace, name, again)
        return True

    def _create(
        self, namespace: str, key: tuple[str, ...], obj: JSON, kind: str, reason: str, message: str, field_path: str
    ) -> None:
        moment = now()
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
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "type": kind,
            "eventTime": None,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
        }
        stored = self._registry.create(EVENTS, event)
        if len(self._seen) > REMEMBERED:
            self._seen.clear()
        self._seen[key] = name_of(stored)
