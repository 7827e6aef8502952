"""The registry: every write of objects, with the rules that hold for all kinds; reads come from the watch cache.

It does what apiserver's generic registry does (staging/src/k8s.io/apiserver/pkg/registry/generic/registry/
store.go and registry/rest/{create,update,delete}.go): names and uids, optimistic concurrency, generation,
status kept apart from spec, graceful deletion, finalizers. What differs from kind to kind is in `kinds`.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from labcluster.api import errors
from labcluster.api.json_values import LEVELS_ABOVE, check_depth, clone, sharing
from labcluster.api.objects import JSON, is_terminating, name_of, namespace_of, uid_of
from labcluster.api.random_names import random_suffix
from labcluster.api.resources import NAMESPACES, NODES, PODS, Resource
from labcluster.api.times import now
from labcluster.kinds import KINDS
from labcluster.kinds import metadata as metadata_rules
from labcluster.kinds.kind import Kind
from labcluster.kinds.served_kinds import seen
from labcluster.storage.store import Store
from labcluster.storage.watch_cache import Change, Dependents, Objects, WatchCache

__all__ = ["FOREGROUND", "ORPHAN", "Change", "DeleteOptions", "Dependents", "Objects", "Registry"]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
GENERATE_NAME_TRIES = 8
GENERATE_NAME_BASE = 58  # characters of generateName that are kept before the suffix (names/generate.go)


@dataclass(frozen=True)
class DeleteOptions:
    """How to delete: metav1.DeleteOptions without what is not served."""

    grace_seconds: int | None = None
    propagation: str | None = None  # "Background", "Foreground" or "Orphan"; None is the kind's default, Background
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False


class Registry(WatchCache):
    """Every write of an object, over the reads of the watch cache."""

    def __init__(self, store: Store, kinds: Mapping[Resource, Kind] = KINDS) -> None:
        """Load what the store holds."""
        super().__init__(store, kinds)

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
            found = [
                *metadata_rules.validate_update(new, old, kind),
                *kind.validate_subresource_update(new, old, subresource),
            ]
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
        if subresource == "ephemeralcontainers":  # dropNonEphemeralContainerUpdates of pod/strategy.go
            merged = clone(old)
            merged["spec"].pop("ephemeralContainers", None)
            if wanted := (obj.get("spec") or {}).get("ephemeralContainers"):
                merged["spec"]["ephemeralContainers"] = clone(wanted)
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
            _encoded(new)
            new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"] if old else ""
            if not old:
                del new["metadata"]["resourceVersion"]
            return new
        new["metadata"]["resourceVersion"] = str(revision)
        self._store.append(revision, resource.key(namespace_of(new), name_of(new)), _encoded(new))
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


def _finalizers(obj: JSON) -> list[str]:
    return obj["metadata"].get("finalizers") or []


def _intent(resource: Resource, obj: JSON) -> JSON:
    """What generation follows: everything but metadata and status (which is like the rest where it has no writers)."""
    apart = "status" in resource.subresources or not resource.custom
    left_out = ("metadata", "apiVersion", "kind", "status") if apart else ("metadata", "apiVersion", "kind")
    return {k: v for k, v in obj.items() if k not in left_out}


def _shifted(time: str, seconds: int) -> str:
    return (dt.datetime.fromisoformat(time) + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _encoded(obj: JSON) -> bytes:
    """An object as the store keeps it. Raises ApiError 400 for one that is too deep to be read again."""
    wrapped: Any = obj
    for _ in range(LEVELS_ABOVE):  # so that the encoder finds the depth by the way: nearly every object is flat
        wrapped = [wrapped]
    try:
        return orjson.dumps(wrapped)[LEVELS_ABOVE:-LEVELS_ABOVE]
    except TypeError:
        check_depth(obj)
        raise
