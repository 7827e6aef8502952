"""The registry: every read and write of objects, with the rules that hold for all kinds.

It does what apiserver's generic registry does (staging/src/k8s.io/apiserver/pkg/registry/generic/registry/
store.go and registry/rest/{create,update,delete}.go): names and uids, optimistic concurrency, generation,
status kept apart from spec, graceful deletion, finalizers. What differs from kind to kind is in `kinds`.

Reads return the stored objects themselves. They are shared: clone before changing.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from labsupport.embedded import errors
from labsupport.embedded.kinds import KINDS
from labsupport.embedded.kinds import metadata as metadata_rules
from labsupport.embedded.kinds.kind import Kind
from labsupport.embedded.objects import (
    JSON,
    clone,
    is_terminating,
    name_of,
    namespace_of,
    now,
    random_suffix,
    sharing,
    uid_of,
)
from labsupport.embedded.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    EVERYTHING,
    NAMESPACES,
    NODES,
    PODS,
    RESOURCES,
    Resource,
)
from labsupport.embedded.selectors import LabelSelector
from labsupport.embedded.served_kinds import ServedKinds, seen
from labsupport.embedded.store import HISTORY, Store

log = logging.getLogger(__name__)

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
GENERATE_NAME_TRIES = 8
GENERATE_NAME_BASE = 58  # characters of generateName that are kept before the suffix (names/generate.go)


@dataclass(frozen=True, slots=True)
class Change:
    """One write, as watchers see it."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    resource: Resource
    object: JSON  # the new state; for DELETED the last one, with the deletion's resourceVersion
    old: JSON | None  # the state before; None for ADDED
    revision: int


@dataclass(frozen=True)
class DeleteOptions:
    """How to delete: metav1.DeleteOptions without what is not served."""

    grace_seconds: int | None = None
    propagation: str | None = None  # "Background", "Foreground" or "Orphan"; None is the kind's default, Background
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False


# The class has a method called list, so its annotations cannot say list[...].
Objects = list[JSON]
Dependents = list[tuple[Resource, JSON]]
Changes = list[Change]


class Registry:
    """All objects of the cluster, in memory and in the store."""

    def __init__(self, store: Store, kinds: Mapping[Resource, Kind] = KINDS) -> None:
        """Load what the store holds."""
        self._store = store
        self._kinds = ServedKinds(kinds)
        self.served = self._kinds.resources
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
        prefixes = {r.prefix: r for r in self.served.stored()}
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
        for resource in self.served.stored():
            if resource.custom:
                self._renew(resource)
        # Rows of compacted keys leave gaps, so a watch cannot start before this process did.
        self._history.clear()
        self._forgotten = self.revision

    # ------------------------------------------------------------------ reads

    def kind(self, resource: Resource) -> Kind:
        """The behaviour of the resource's kind, for custom resources in that version. Raises ApiError 404."""
        return self._kinds.kind(resource)

    def find(self, resource: Resource, namespace: str, name: str) -> JSON | None:
        """The object, or None. `namespace` is "" for cluster-scoped resources."""
        found = self._objects[resource].get(namespace, {}).get(name)
        return found if found is None or not resource.custom else seen(resource, found)

    def get(self, resource: Resource, namespace: str, name: str) -> JSON:
        """The object. Raises ApiError 404."""
        found = self.find(resource, namespace, name)
        if found is None:
            raise errors.not_found(resource, name)
        return found

    def list(self, resource: Resource, namespace: str = "", *, labels: LabelSelector | None = None) -> Objects:
        """The objects of one namespace, or of all (""), in the order of their keys."""
        by_namespace = self._objects[resource]
        names = [namespace] if namespace else sorted(by_namespace)
        found = [by_namespace[n][k] for n in names if n in by_namespace for k in sorted(by_namespace[n])]
        if resource.custom:
            found = [seen(resource, obj) for obj in found]
        if labels is None or not labels.requirements:
            return found
        return [o for o in found if labels.matches(o["metadata"].get("labels") or {})]

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
                state[key] = seen(resource, change.old)
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
        for each in self.served.stored() if resource == EVERYTHING else (resource,):
            for obj in self.list(each):
                callback(Change("ADDED", each, obj, None, int(obj["metadata"]["resourceVersion"])))
        callbacks = self._subscribers.setdefault(resource, [])
        callbacks.append(callback)
        return lambda: callbacks.remove(callback) if callback in callbacks else None

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
        found: Changes = []
        for change in reversed(self._history):
            if change.revision <= revision:
                break
            found.append(change)
        found.reverse()
        return found

    # ----------------------------------------------------------------- writes

    def create(
        self, resource: Resource, obj: JSON, *, dry_run: bool = False, managed_fields: Objects | None = None
    ) -> JSON:
        """Store a new object, with `managed_fields` as metadata.managedFields if they are given.

        Raises ApiError 400, 403 (admission), 404 (namespace), 409, 422.
        """
        kind = self._kinds.kind(resource)
        new: JSON = clone(obj)
        new["apiVersion"], new["kind"] = resource.api_version, resource.kind
        metadata = new.setdefault("metadata", {})
        if metadata.pop("resourceVersion", ""):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        for unset in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"):
            metadata.pop(unset, None)
        if managed_fields:
            metadata["managedFields"] = managed_fields
        if not resource.namespaced:
            metadata.pop("namespace", None)
        generated = not metadata.get("name") and bool(metadata.get("generateName"))
        if generated:
            metadata["name"] = self._generate(resource, metadata)
        self._check_namespace(resource, metadata)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = now()
        if kind.tracks_generation:
            metadata["generation"] = 1
        else:
            metadata.pop("generation", None)
        if "status" in resource.subresources and resource != NODES:
            new.pop("status", None)
        kind.default(new)
        kind.prepare_create(new, self)
        self._raise_invalid(resource, new, [*metadata_rules.validate(new, kind), *kind.validate(new)])
        if self.find(resource, metadata.get("namespace", ""), metadata["name"]) is not None:
            raise errors.already_exists(resource, metadata["name"])
        return self._write(resource, new, None, dry_run=dry_run)

    def update(
        self,
        resource: Resource,
        obj: JSON,
        *,
        subresource: str = "",
        dry_run: bool = False,
        managed_fields: Objects | None = None,
    ) -> JSON:
        """Replace an object, or only its status. Nothing is written when nothing changes.

        metadata.managedFields stays as it is stored unless `managed_fields` are given.
        Raises ApiError 404, 409 when `obj` carries another resourceVersion or uid, 422.
        """
        kind = self._kinds.kind(resource)
        old = self.get(resource, obj["metadata"].get("namespace", ""), name_of(obj))
        self._check_preconditions(resource, old, obj["metadata"].get("uid"), obj["metadata"].get("resourceVersion"))
        new = self._merged(resource, obj, old, subresource)
        if managed_fields is not None:
            new["metadata"]["managedFields"] = managed_fields
            if not managed_fields:
                del new["metadata"]["managedFields"]
        if subresource in ("status", "binding"):
            if resource.custom:
                kind.default(new)
            self._raise_invalid(resource, new, kind.validate_status_update(new, old))
        else:
            kind.default(new)
            kind.prepare_update(new, old, self)
            if kind.tracks_generation and _intent(resource, new) != _intent(resource, old):
                new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
            found = [*metadata_rules.validate_update(new, old, kind), *kind.validate_update(new, old)]
            self._raise_invalid(resource, new, found)
        if new == old:
            return old
        if self._is_deletable(resource, new):
            return self._remove(resource, old, last=new, dry_run=dry_run)
        return self._write(resource, new, old, dry_run=dry_run)

    def modify(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[JSON], None],
        *,
        subresource: str = "",
    ) -> JSON:
        """Update an object by changing a copy of it in place. Raises as get and update do."""
        new = clone(self.get(resource, namespace, name))
        change(new)
        return self.update(resource, new, subresource=subresource)

    def delete(self, resource: Resource, namespace: str, name: str, options: DeleteOptions = DeleteOptions()) -> JSON:
        """Delete an object, or mark it as being deleted while a grace period or finalizers hold it.

        Returns the object's last state. Raises ApiError 404 and 409 (preconditions).
        """
        old = self.get(resource, namespace, name)
        self._check_preconditions(resource, old, options.uid, options.resource_version, deleting=True)
        kind = self._kinds.kind(resource)
        new: JSON = clone(old)
        metadata = new["metadata"]
        if not is_terminating(old):
            kind.prepare_delete(new)
        finalizers = [f for f in metadata.get("finalizers") or [] if f not in (FOREGROUND, ORPHAN)]
        if options.propagation == "Foreground" or (options.propagation is None and FOREGROUND in _finalizers(old)):
            finalizers.append(FOREGROUND)
        elif options.propagation == "Orphan" or (
            options.propagation is None and (ORPHAN in _finalizers(old) or kind.orphans_by_default)
        ):
            finalizers.append(ORPHAN)
        if finalizers:
            metadata["finalizers"] = finalizers
        else:
            metadata.pop("finalizers", None)
        grace = kind.grace_seconds(old, options.grace_seconds)
        if is_terminating(old):
            before = metadata.get("deletionGracePeriodSeconds", 0)
            if grace < before:  # a second DELETE may only shorten the wait
                metadata["deletionGracePeriodSeconds"] = grace
                metadata["deletionTimestamp"] = _shifted(metadata["deletionTimestamp"], grace - before)
        else:
            metadata["deletionTimestamp"] = _shifted(now(), grace)
            metadata["deletionGracePeriodSeconds"] = grace
            if metadata.get("generation"):
                metadata["generation"] += 1
            if resource == NAMESPACES:
                new["status"] = {**new.get("status", {}), "phase": "Terminating"}
        if self._is_deletable(resource, new):
            if resource == PODS and new != old and not options.dry_run:
                # What is deleted with grace is first marked so that nothing is left of it (registry/rest/delete.go).
                old = new = self._write(resource, new, old, dry_run=False)
            # Deleted at once: the last state is as it was, without the marks of a deletion that nobody saw.
            return self._remove(resource, old, last=old if not is_terminating(old) else new, dry_run=options.dry_run)
        if new == old:
            return old
        return self._write(resource, new, old, dry_run=options.dry_run)

    # -------------------------------------------------------------- internals

    def _generate(self, resource: Resource, metadata: JSON) -> str:
        base = metadata["generateName"][:GENERATE_NAME_BASE]
        for _ in range(GENERATE_NAME_TRIES):
            name: str = base + random_suffix()
            if self.find(resource, metadata.get("namespace", ""), name) is None:
                return name
        raise errors.already_exists(resource, name)

    def _check_namespace(self, resource: Resource, metadata: JSON) -> None:
        """The NamespaceLifecycle admission plugin."""
        if not resource.namespaced:
            return
        name = metadata.get("namespace") or ""
        namespace = self.find(NAMESPACES, "", name)
        if namespace is None:
            raise errors.not_found(NAMESPACES, name)
        if is_terminating(namespace):
            why = f"unable to create new content in namespace {name} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {name} is being terminated",
                "field": "metadata.namespace",
            }
            raise errors.forbidden(resource, metadata.get("name", ""), why, causes=[cause])

    def _check_preconditions(
        self, resource: Resource, old: JSON, uid: str | None, version: str | None, *, deleting: bool = False
    ) -> None:
        if uid and uid != uid_of(old):
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {uid_of(old)}"
            raise errors.conflict(resource, name_of(old), why)
        stored = old["metadata"]["resourceVersion"]
        if version and version != stored:
            why = errors.MODIFIED
            if deleting:
                why = (
                    f"Precondition failed: ResourceVersion in precondition: {version}, "
                    f"ResourceVersion in object meta: {stored}"
                )
            raise errors.conflict(resource, name_of(old), why)

    @staticmethod
    def _merged(resource: Resource, obj: JSON, old: JSON, subresource: str) -> JSON:
        """The new object, with what this request may not touch taken from the old one."""
        if subresource in ("status", "binding"):
            merged: JSON = clone(old)
            if "status" in obj:
                merged["status"] = clone(obj["status"])
            elif resource.custom:
                merged.pop("status", None)
            if subresource == "binding":  # the scheduler's write: the node and the condition in one
                merged["spec"]["nodeName"] = obj["spec"]["nodeName"]
            return merged
        new: JSON = clone(obj)
        new["apiVersion"], new["kind"] = resource.api_version, resource.kind
        metadata = new["metadata"]
        for fixed in (
            "uid",
            "creationTimestamp",
            "generation",
            "generateName",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "resourceVersion",
            "managedFields",
        ):
            if fixed in old["metadata"]:
                metadata[fixed] = old["metadata"][fixed]
            else:
                metadata.pop(fixed, None)
        if "status" in resource.subresources:
            if "status" in old:
                new["status"] = clone(old["status"])
            else:
                new.pop("status", None)
        return new

    @staticmethod
    def _raise_invalid(resource: Resource, obj: JSON, found: Iterable[Any]) -> None:
        problems = list(found)
        if problems:
            raise errors.invalid(resource, name_of(obj), problems)

    @staticmethod
    def _is_deletable(resource: Resource, obj: JSON) -> bool:
        """Whether nothing holds a terminating object any more."""
        metadata = obj["metadata"]
        if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
            return False
        if resource == NAMESPACES and obj.get("spec", {}).get("finalizers"):
            return False
        return not metadata.get("deletionGracePeriodSeconds")

    def _write(self, resource: Resource, new: JSON, old: JSON | None, *, dry_run: bool) -> JSON:
        storage = self._kinds.stored(resource).resource
        if storage.version != resource.version:
            before = self._objects[resource][namespace_of(old)][name_of(old)] if old else None
            return seen(resource, self._write(storage, seen(storage, new), before, dry_run=dry_run))
        revision = self.revision + 1
        if dry_run:
            new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"] if old else ""
            if not old:
                del new["metadata"]["resourceVersion"]
            return new
        new["metadata"]["resourceVersion"] = str(revision)
        self._store.append(revision, resource.key(namespace_of(new), name_of(new)), orjson.dumps(new))
        if old:
            new = sharing(new, old)  # the history holds both
        self._publish(Change("MODIFIED" if old else "ADDED", resource, new, old, revision))
        return new

    def _remove(self, resource: Resource, old: JSON, *, last: JSON, dry_run: bool) -> JSON:
        if dry_run:
            return last
        storage = self._kinds.stored(resource).resource
        if storage.version != resource.version:
            before = self._objects[resource][namespace_of(old)][name_of(old)]
            return seen(resource, self._remove(storage, before, last=seen(storage, last), dry_run=False))
        revision = self.revision + 1
        last = {**last, "metadata": {**last["metadata"], "resourceVersion": str(revision)}}
        self._store.append(revision, resource.key(namespace_of(old), name_of(old)), None)
        self._publish(Change("DELETED", resource, last, old, revision))
        self._kinds.kind(resource).after_delete(last, self)
        return last

    def _publish(self, change: Change) -> None:
        self.revision = change.revision
        if len(self._history) == HISTORY:
            self._forgotten = self._history[0].revision
        self._history.append(change)
        self._apply(change)
        if change.resource == CUSTOM_RESOURCE_DEFINITIONS:
            self._follow(change.old, change.object if change.type != "DELETED" else None)
        for callback in (*self._subscribers.get(change.resource, ()), *self._subscribers.get(EVERYTHING, ())):
            try:
                callback(change)
            except Exception:  # the write is stored: it has not failed, and the others must hear of it
                log.exception("a subscriber failed on %s %s", change.type, name_of(change.object))

    def _follow(self, old: JSON | None, crd: JSON | None) -> None:
        """Serve what a CustomResourceDefinition brings; its objects follow to their storage version."""
        resource = self._kinds.follow(old, crd)
        if resource is not None:
            self._objects[resource] = self._objects.pop(resource, {})
            self._renew(resource)

    def _renew(self, resource: Resource) -> None:
        """Bring a custom resource's objects to its storage version and schema, as upstream does on reading them."""
        kind = self._kinds.stored(resource)
        for by_name in self._objects[resource].values():
            for name, obj in by_name.items():
                new = clone(seen(resource, obj))
                kind.default(new)
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


def _finalizers(obj: JSON) -> list[str]:
    return obj["metadata"].get("finalizers") or []


def _intent(resource: Resource, obj: JSON) -> JSON:
    """What generation follows: everything but metadata and status (which is like the rest where it has no writers)."""
    apart = "status" in resource.subresources or not resource.custom
    left_out = ("metadata", "apiVersion", "kind", "status") if apart else ("metadata", "apiVersion", "kind")
    return {k: v for k, v in obj.items() if k not in left_out}


def _shifted(time: str, seconds: int) -> str:
    return (dt.datetime.fromisoformat(time) + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
