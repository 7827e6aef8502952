"""The watch cache: all objects in memory, the changes that led there, and who follows them.

What upstream's apiserver has as staging/src/k8s.io/apiserver/pkg/storage/cacher: reads and watches are answered from
here, and the store is only written. Reads return the stored objects themselves. They are shared: clone before changing.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from labcluster.api import errors
from labcluster.api.json_values import clone, sharing
from labcluster.api.objects import JSON, name_of, namespace_of
from labcluster.api.resources import CUSTOM_RESOURCE_DEFINITIONS, EVERYTHING, RESOURCES, Resource
from labcluster.api.selectors import LabelSelector
from labcluster.kinds.served_kinds import ServedKinds, in_version
from labcluster.storage.store import HISTORY, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """One write, as watchers see it."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    resource: Resource
    object: JSON  # the new state; for DELETED the last one, with the deletion's resourceVersion
    old: JSON | None  # the state before; None for ADDED
    revision: int


# The class has a method called list, so its annotations cannot say list[...].
Objects = list[JSON]
Dependents = list[tuple[Resource, JSON]]
Changes = list[Change]


class WatchCache:
    """All objects of the cluster, as reads and watches see them."""

    def __init__(self, store: Store, kinds: ServedKinds) -> None:
        """Load what the store holds. What CustomResourceDefinitions bring is served by `kinds` from then on."""
        self._store = store
        self._kinds = kinds
        self._objects: dict[Resource, dict[str, dict[str, JSON]]] = {r: {} for r in RESOURCES}
        self._dependents: dict[str, dict[tuple[Resource, str, str], None]] = {}
        self._subscribers: dict[Resource, list[Callable[[Change], None]]] = {}
        self._history: deque[Change] = deque(maxlen=HISTORY)
        self._forgotten = 0  # the newest revision that is no longer in the history
        self.revision = 0  # the resourceVersion of the whole store
        self._load()

    def _load(self) -> None:
        rows = self._store.rows()
        definitions = {row.key: row.value for row in rows if row.key.startswith(CUSTOM_RESOURCE_DEFINITIONS.prefix)}
        for crd in definitions.values():
            self._follow(None, crd)  # before the objects, which are rows like any other
        prefixes = {r.prefix: r for r in self._kinds.resources.stored()}
        for row in rows:
            head, _, rest = row.key[len("/registry/") :].partition("/")
            plural, _, rest = rest.partition("/")
            resource = prefixes.get(f"/registry/{head}/{plural}/")
            self.revision = row.revision
            if resource is None:
                continue  # a resource of a newer version: kept in the store, not served
            namespace, _, name = rest.rpartition("/")
            old = self._objects[resource].get(namespace, {}).get(name)
            if row.value is not None:
                change = Change("MODIFIED" if old else "ADDED", resource, row.value, old, row.revision)
            elif old is not None:
                last = {**old, "metadata": {**old["metadata"], "resourceVersion": str(row.revision)}}
                change = Change("DELETED", resource, last, old, row.revision)
            else:
                continue
            self._apply(change)
        for resource in self._kinds.resources.stored():
            if resource.custom:
                self._renew(resource)
        # Rows of compacted keys leave gaps, so a watch cannot start before this process did.
        self._history.clear()
        self._forgotten = self.revision

    def find(self, resource: Resource, namespace: str, name: str) -> JSON | None:
        """The object, or None. `namespace` is "" for cluster-scoped resources."""
        obj = self._objects[resource].get(namespace, {}).get(name)
        return obj if obj is None or not resource.custom else in_version(resource, obj)

    def get(self, resource: Resource, namespace: str, name: str) -> JSON:
        """The object. Raises ApiError 404."""
        obj = self.find(resource, namespace, name)
        if obj is None:
            raise errors.not_found(resource, name)
        return obj

    def list(self, resource: Resource, namespace: str = "", *, labels: LabelSelector | None = None) -> Objects:
        """The objects of one namespace, or of all (""), in the order of their keys."""
        by_namespace = self._objects[resource]
        names = [namespace] if namespace else sorted(by_namespace)
        objects = [by_namespace[n][k] for n in names if n in by_namespace for k in sorted(by_namespace[n])]
        if resource.custom:
            objects = [in_version(resource, obj) for obj in objects]
        if labels is None or not labels.requirements:
            return objects
        return [o for o in objects if labels.matches(o["metadata"].get("labels") or {})]

    def list_at(self, resource: Resource, namespace: str, revision: int) -> Objects:
        """The list as it was at that revision. Raises ApiError 410 when the history does not reach back."""
        state = {(namespace_of(o), name_of(o)): o for o in self.list(resource, namespace)}
        for change in reversed(self.changes_since(revision)):
            key = (namespace_of(change.object), name_of(change.object))
            if change.resource != resource or (namespace and key[0] != namespace):
                continue
            if change.old is None:
                state.pop(key, None)
            else:
                state[key] = in_version(resource, change.old)
        return [state[key] for key in sorted(state)]

    def dependents(self, uid: str) -> Dependents:
        """The objects with an owner reference to that uid."""
        keys = self._dependents.get(uid, {})
        return [(self._kinds.stored(r).resource, self._objects[r][namespace][name]) for r, namespace, name in keys]

    def subscribe(self, resource: Resource, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call back for every change of a resource, or of EVERYTHING, first with ADDED for what exists.

        The callback runs inside the write, after it is stored: it must be quick and must not write.
        Returns the function that ends the subscription.
        """
        for each in self._kinds.resources.stored() if resource == EVERYTHING else (resource,):
            for obj in self.list(each):
                callback(Change("ADDED", each, obj, None, int(obj["metadata"]["resourceVersion"])))
        return self.follow(resource, callback)

    def follow(self, resource: Resource, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Like subscribe, for changes from now on only."""
        callbacks = self._subscribers.setdefault(resource, [])
        callbacks.append(callback)
        return lambda: callbacks.remove(callback) if callback in callbacks else None

    def changes_since(self, revision: int) -> Changes:
        """The changes after a revision. Raises ApiError 410 when it is too old and 504 when it is too new."""
        if revision > self.revision:
            raise errors.too_large_resource_version(revision, self.revision)
        if revision < self._forgotten:
            raise errors.expired(f"too old resource version: {revision} ({self._forgotten})")
        changes: Changes = []
        for change in reversed(self._history):
            if change.revision <= revision:
                break
            changes.append(change)
        changes.reverse()
        return changes

    def publish(self, change: Change) -> None:
        """Take a write that the store has taken, and call back for it."""
        self.revision = change.revision
        if len(self._history) == HISTORY:
            self._forgotten = self._history[0].revision
        self._history.append(change)
        self._apply(change)
        if change.resource == CUSTOM_RESOURCE_DEFINITIONS:
            self._follow(change.old, change.object if change.type != "DELETED" else None)
        self._notify(change)

    def _notify(self, change: Change) -> None:
        for callback in (*self._subscribers.get(change.resource, ()), *self._subscribers.get(EVERYTHING, ())):
            try:
                callback(change)
            except Exception:  # the write is stored: it has not failed, and the others must hear of it
                log.exception("a subscriber failed on %s %s", change.type, name_of(change.object))

    def _follow(self, old: JSON | None, crd: JSON | None) -> None:
        """Serve what a CustomResourceDefinition brings; its objects follow to their storage version."""
        resource = self._kinds.follow(old, crd)
        if resource is None:
            return
        known = self._objects.pop(resource, None)
        self._objects[resource] = known if known is not None else {}
        if known is None and self.revision:  # not served since the start: its objects are in the store only
            self._load_late(resource)
        self._renew(resource)

    def _load_late(self, resource: Resource) -> None:
        """Load the objects of a resource that is served from now on; who follows everything hears of them."""
        values = {row.key: row for row in self._store.rows(resource.prefix)}
        for row in values.values():
            if row.value is None:
                continue
            change = Change("ADDED", resource, row.value, None, row.revision)
            self._apply(change)
            self._notify(change)

    def _renew(self, resource: Resource) -> None:
        """Bring a custom resource's objects to its storage version and schema, as upstream does on reading them."""
        kind = self._kinds.stored(resource)
        for by_name in self._objects[resource].values():
            for name, obj in by_name.items():
                new = clone(in_version(resource, obj))
                try:
                    kind.default(new)
                except Exception:  # a schema that was stored before it would be refused: the object stays as it is
                    log.exception("%s %s cannot be brought to its schema", resource.qualified, name)
                    continue
                by_name[name] = sharing(new, obj)

    def _apply(self, change: Change) -> None:
        """Bring the state in memory and the index of dependents up to date."""
        resource, obj = change.resource, change.object
        namespace, name = namespace_of(obj), name_of(obj)
        reference = (resource, namespace, name)
        for owner in _owner_uids(change.old):
            owned = self._dependents.get(owner, {})
            owned.pop(reference, None)
            if not owned:
                self._dependents.pop(owner, None)
        by_namespace = self._objects[resource]
        if change.type == "DELETED":
            by_namespace[namespace].pop(name, None)
            if not by_namespace[namespace]:
                del by_namespace[namespace]
            return
        by_namespace.setdefault(namespace, {})[name] = obj
        for owner in _owner_uids(obj):
            self._dependents.setdefault(owner, {})[reference] = None


def _owner_uids(obj: JSON | None) -> list[str]:
    if obj is None:
        return []
    return [str(r.get("uid", "")) for r in obj["metadata"].get("ownerReferences") or ()]
