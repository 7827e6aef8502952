"""The registry: every write of objects, with the rules that hold for all kinds; reads come from the watch cache.

It does what apiserver's generic registry does (staging/src/k8s.io/apiserver/pkg/registry/generic/registry/
store.go and registry/rest/{create,update,delete}.go): names and uids, optimistic concurrency, generation,
status kept apart from spec, graceful deletion, finalizers. What differs from kind to kind is in `kinds`.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from labcluster.api import errors
from labcluster.api.field import FieldError
from labcluster.api.generated_names import random_suffix
from labcluster.api.json_values import LEVELS_ABOVE, check_depth, clone, sharing
from labcluster.api.objects import JSON, is_terminating, name_of, namespace_of, uid_of
from labcluster.api.resources import Resource
from labcluster.api.times import now
from labcluster.kinds import KINDS, namespaces
from labcluster.kinds import metadata as metadata_rules
from labcluster.kinds.kind import Kind
from labcluster.kinds.served_kinds import ServedKinds, in_version
from labcluster.storage.store import Store
from labcluster.storage.watch_cache import Change, Dependents, Objects, WatchCache

__all__ = ["FOREGROUND", "ORPHAN", "Change", "DeleteOptions", "Dependents", "Objects", "Registry", "Tracker"]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
GENERATE_NAME_TRIES = 8
GENERATE_NAME_BASE = 58  # characters of generateName that are kept before the suffix (names/generate.go)


# What metadata.managedFields are once a client has replaced the first object, {} for a creation, by the second one.
# That one has its defaults; what the registry and admission add is not there yet, as it belongs to nobody.
Tracker = Callable[[JSON, JSON], Objects]


@dataclass(frozen=True)
class DeleteOptions:
    """How to delete: metav1.DeleteOptions without what is not served."""

    grace_seconds: int | None = None
    propagation: str | None = None  # "Background", "Foreground" or "Orphan"; None is the kind's default, Background
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False


class Registry:
    """Every write of an object. Reads and subscriptions are those of its watch cache."""

    def __init__(self, store: Store, kinds: Mapping[Resource, Kind] = KINDS) -> None:
        """Load what the store holds."""
        self._store = store
        self._kinds = ServedKinds(kinds)
        self._cache = cache = WatchCache(store, self._kinds)
        # What is served, and all reads: the methods themselves, so that a read costs no call more.
        self.served, self.kind, self.why_not_served = self._kinds.resources, self._kinds.kind, self._kinds.why_not
        self.find, self.get, self.list, self.list_at = cache.find, cache.get, cache.list, cache.list_at
        self.subscribe, self.follow, self.changes_since = cache.subscribe, cache.follow, cache.changes_since
        self.dependents = cache.dependents

    @property
    def revision(self) -> int:
        """The resourceVersion of the whole store."""
        return self._cache.revision

    def store_problem(self) -> str:
        """Why the store does not hold what is served here; "" when it does."""
        try:
            newest = self._store.newest()
        except sqlite3.Error as error:
            return f"the store {self._store.path} cannot be read: {error}"
        return "" if newest == self.revision else f"the store is at revision {newest}, not {self.revision}"

    def create(self, resource: Resource, obj: JSON, *, dry_run: bool = False, track: Tracker | None = None) -> JSON:
        """Store a new object; without `track` it has no managers.

        Raises ApiError 400, 403 (admission), 404 (namespace), 409, 422.
        """
        kind = self.kind(resource)
        new: JSON = clone(obj)
        new["apiVersion"], new["kind"] = resource.api_version, resource.kind
        metadata = new.setdefault("metadata", {})
        if metadata.pop("resourceVersion", ""):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        for unset in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"):
            metadata.pop(unset, None)
        if not resource.namespaced:
            metadata.pop("namespace", None)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = self._generate(resource, metadata)
        namespaces.check_lifecycle(resource, metadata, self._cache)
        if "status" in resource.subresources and not kind.created_with_status:
            new.pop("status", None)
        kind.default(new)
        if track is not None:
            _set_managed_fields(new, track({}, new))
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = now()
        if kind.tracks_generation:
            metadata["generation"] = 1
        else:
            metadata.pop("generation", None)
        kind.prepare_create(new, self._cache)
        _raise_invalid(resource, new, [*metadata_rules.validate(new, kind), *kind.validate(new)])
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
        track: Tracker | None = None,
    ) -> JSON:
        """Replace an object, or what that subresource may touch of it. Nothing is written when nothing changes.

        `obj` is what clients of the subresource send: the object, or its Scale. Without `track` its managers stay.
        Raises ApiError 404, 409 when `obj` carries another resourceVersion or uid, 422.
        """
        kind = self.kind(resource)
        old = self.get(resource, obj["metadata"].get("namespace", ""), name_of(obj))
        new = kind.merged(obj, old, subresource)
        self._check_preconditions(resource, old, obj["metadata"].get("uid"), obj["metadata"].get("resourceVersion"))
        problems: list[FieldError] = []
        of_status = subresource in kind.status_subresources
        if of_status:
            kind.default_status(new)
        else:
            kind.default(new)
        if track is not None:
            _set_managed_fields(new, track(old, new))
        if not of_status:
            kind.prepare_update(new, old, self._cache)
            if kind.tracks_generation and _intent(resource, new) != _intent(resource, old):
                new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
            problems += metadata_rules.validate_update(new, old, kind)
        problems += kind.validate_subresource_update(new, old, subresource)
        _raise_invalid(resource, new, problems)
        if new == old:
            return old
        if _is_deletable(kind, new):
            return self._remove(resource, new, dry_run=dry_run)
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
        kind = self.kind(resource)
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
        if _is_deletable(kind, new):
            if kind.is_marked_before_removal and new != old and not options.dry_run:
                # What may be deleted with grace is first marked, with no grace left (registry/rest/delete.go).
                old = new = self._write(resource, new, old, dry_run=False)
            # Deleted at once: the last state is as it was, without the marks of a deletion that nobody saw.
            return self._remove(resource, new if is_terminating(old) else old, dry_run=options.dry_run)
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

    def _write(self, resource: Resource, new: JSON, old: JSON | None, *, dry_run: bool) -> JSON:
        if dry_run:
            _encoded(new)
            return new
        namespace, name, revision = namespace_of(new), name_of(new), self.revision + 1
        new["metadata"]["resourceVersion"] = str(revision)
        storage = self._kinds.stored(resource).resource
        stored = in_version(storage, new)
        self._store.append(revision, storage.key(namespace, name), _encoded(stored))
        before = self._cache.find(storage, namespace, name) if old else None
        if before:
            stored = sharing(stored, before)  # the history holds both
        self._cache.publish(Change("MODIFIED" if before else "ADDED", storage, stored, before, revision))
        return in_version(resource, stored)

    def _remove(self, resource: Resource, last: JSON, *, dry_run: bool) -> JSON:
        if dry_run:
            return last
        namespace, name, revision = namespace_of(last), name_of(last), self.revision + 1
        last = {**last, "metadata": {**last["metadata"], "resourceVersion": str(revision)}}
        storage = self._kinds.stored(resource).resource
        before = self._cache.find(storage, namespace, name)
        self._store.append(revision, storage.key(namespace, name), None)
        self._cache.publish(Change("DELETED", storage, in_version(storage, last), before, revision))
        return last


def _set_managed_fields(obj: JSON, managed_fields: Objects) -> None:
    if managed_fields:
        obj["metadata"]["managedFields"] = managed_fields
    else:
        obj["metadata"].pop("managedFields", None)


def _raise_invalid(resource: Resource, obj: JSON, problems: Sequence[FieldError]) -> None:
    if problems:
        raise errors.invalid(resource, name_of(obj), list(problems))


def _is_deletable(kind: Kind, obj: JSON) -> bool:
    """Whether nothing holds a terminating object any more."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers") or kind.is_held(obj):
        return False
    return not metadata.get("deletionGracePeriodSeconds")


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
