"""Deletes objects whose owners are gone (pkg/controller/garbagecollector/garbagecollector.go).

Owner references are compared by uid, so a new object of the same name does not count as the owner.
The registry keeps the index of dependents, so there is no graph to build and no absent owner to look up twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, is_terminating, key_of, name_of, namespace_of, split_key, uid_of
from labcluster.api.resources import EVENTS, EVERYTHING, Resource
from labcluster.controllers.controller import Controller
from labcluster.storage.registry import FOREGROUND, ORPHAN, Change, DeleteOptions


class GarbageCollector(Controller):
    """Keys: `<resource> <namespace>/<name>`."""

    name: ClassVar[str] = "garbage-collector"

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Everything that can own or be owned, custom resources too."""
        return {EVERYTHING: self._concerned}

    def _concerned(self, change: Change) -> list[str]:
        if change.resource == EVENTS:
            return []
        obj, before = change.object, change.old or change.object
        if change.type == "DELETED":
            keys = [_key(resource, dependent) for resource, dependent in self.registry.dependents(uid_of(obj))]
        else:
            owned = bool(obj["metadata"].get("ownerReferences"))
            keys = [_key(change.resource, obj)] if owned or _has_our_finalizer(obj) else []
        for reference in before["metadata"].get("ownerReferences") or ():
            owner = self._owner(reference, namespace_of(obj))
            if owner is not None and _has_our_finalizer(owner[1]):
                keys.append(_key(*owner))  # the owner may be waiting for this very dependent
        return keys

    def reconcile(self, key: str) -> float | None:
        """Delete the object, or remove its references or its finalizer, as the state of its owners asks for."""
        qualified, _, rest = key.partition(" ")
        resource = self.registry.served.named(qualified)
        obj = self.registry.find(resource, *split_key(rest)) if resource is not None else None
        if resource is None or obj is None:
            return None
        finalizers = obj["metadata"].get("finalizers") or ()
        if is_terminating(obj) and ORPHAN in finalizers:
            self._orphan_dependents(resource, obj)
        elif is_terminating(obj) and FOREGROUND in finalizers:
            self._finish_foreground(resource, obj)
        elif not is_terminating(obj):
            self._check_owners(resource, obj)
        return None

    def _orphan_dependents(self, resource: Resource, owner: JSON) -> None:
        for dependent_resource, dependent in self.registry.dependents(uid_of(owner)):
            self._remove_references(dependent_resource, dependent, {uid_of(owner)})
        self._remove_finalizer(resource, owner, ORPHAN)

    def _finish_foreground(self, resource: Resource, owner: JSON) -> None:
        """Delete the dependents; the owner goes once none is left that blocks its deletion."""
        for dependent_resource, dependent in self.registry.dependents(uid_of(owner)):
            if not is_terminating(dependent):
                self._check_owners(dependent_resource, dependent)
        blocking = [
            dependent
            for _, dependent in self.registry.dependents(uid_of(owner))
            for reference in dependent["metadata"]["ownerReferences"]
            if reference["uid"] == uid_of(owner) and reference.get("blockOwnerDeletion")
        ]
        if not blocking:
            self._remove_finalizer(resource, owner, FOREGROUND)

    def _check_owners(self, resource: Resource, obj: JSON) -> None:
        """attemptToDeleteItem: what to do depends on which owners are solid, dangling or waiting."""
        references = obj["metadata"].get("ownerReferences") or []
        if not references:
            return
        solid, dangling, waiting = [], [], []
        for reference in references:
            owner = self._owner(reference, namespace_of(obj))
            if owner is None and self._is_certain(reference, namespace_of(obj)):
                dangling.append(reference["uid"])
            elif owner is not None and is_terminating(owner[1]) and FOREGROUND in _finalizers(owner[1]):
                waiting.append(reference["uid"])
            else:
                solid.append(reference["uid"])
        if solid:
            if dangling or waiting:
                self._remove_references(resource, obj, {*dangling, *waiting})
            return
        propagation = "Background"
        if (waiting and self.registry.dependents(uid_of(obj))) or FOREGROUND in _finalizers(obj):
            propagation = "Foreground"
        elif ORPHAN in _finalizers(obj):
            propagation = "Orphan"
        self._delete(resource, obj, propagation)

    def _owner(self, reference: JSON, namespace: str) -> tuple[Resource, JSON] | None:
        """The owner that the reference means, if it exists with that uid."""
        resource = self.registry.served.find_kind(reference.get("apiVersion", ""), reference.get("kind", ""))
        if resource is None:
            return None
        owner = self.registry.find(resource, namespace if resource.namespaced else "", reference.get("name", ""))
        return (resource, owner) if owner is not None and uid_of(owner) == reference.get("uid") else None

    def _is_certain(self, reference: JSON, namespace: str) -> bool:
        """Whether an owner that is not found is absent: its kind is served, and in the scope of the dependent."""
        resource = self.registry.served.find_kind(reference.get("apiVersion", ""), reference.get("kind", ""))
        return resource is not None and (bool(namespace) or not resource.namespaced)

    def _delete(self, resource: Resource, obj: JSON, propagation: str) -> None:
        options = DeleteOptions(propagation=propagation, uid=uid_of(obj))
        try:
            self.registry.delete(resource, namespace_of(obj), name_of(obj), options)
        except ApiError as error:
            if error.code != 404:
                raise

    def _remove_references(self, resource: Resource, obj: JSON, uids: set[str]) -> None:
        def change(new: JSON) -> None:
            left = [r for r in new["metadata"]["ownerReferences"] if r["uid"] not in uids]
            if left:
                new["metadata"]["ownerReferences"] = left
            else:
                del new["metadata"]["ownerReferences"]

        self.registry.modify(resource, namespace_of(obj), name_of(obj), change)

    def _remove_finalizer(self, resource: Resource, obj: JSON, finalizer: str) -> None:
        def change(new: JSON) -> None:
            new["metadata"]["finalizers"] = [f for f in new["metadata"]["finalizers"] if f != finalizer]

        self.registry.modify(resource, namespace_of(obj), name_of(obj), change)


def _key(resource: Resource, obj: JSON) -> str:
    return f"{resource.qualified} {key_of(obj)}"


def _finalizers(obj: JSON) -> list[str]:
    return obj["metadata"].get("finalizers") or []


def _has_our_finalizer(obj: JSON) -> bool:
    """Whether the object is being deleted and has a finalizer of this controller."""
    return is_terminating(obj) and (FOREGROUND in _finalizers(obj) or ORPHAN in _finalizers(obj))
