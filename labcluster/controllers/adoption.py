"""Adopting orphans that match a selector, releasing objects that no longer do (controller_ref_manager.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from labcluster.api import errors
from labcluster.api.objects import JSON, is_terminating, key_of, labels_of, name_of, namespace_of, uid_of
from labcluster.api.owners import controller_of, controller_reference
from labcluster.api.resources import Resource
from labcluster.api.selectors import LabelSelector
from labcluster.storage.registry import Change, Registry


def claim(
    registry: Registry,
    owner_resource: Resource,
    owner: JSON,
    resource: Resource,
    candidates: Iterable[JSON],
    is_member: Callable[[JSON], bool] = lambda _: True,
) -> list[JSON]:
    """Of the candidates, the ones that `owner` controls once matching orphans are adopted and the rest released.

    An object belongs to the owner if the owner's selector matches its labels and `is_member` holds.
    Raises ApiError 409 when the owner has been replaced meanwhile, or as the registry's update does.
    """
    selector = LabelSelector.from_object(owner["spec"].get("selector"))
    claimed: list[JSON] = []
    for candidate in candidates:
        matches = selector.matches(labels_of(candidate)) and is_member(candidate)
        reference = controller_of(candidate)
        if reference is None:
            if matches and not is_terminating(owner) and not is_terminating(candidate):
                claimed.append(adopt(registry, owner_resource, owner, resource, candidate))
        elif reference.get("uid") != uid_of(owner):
            continue
        elif matches:
            claimed.append(candidate)
        elif not is_terminating(owner):
            release(registry, owner, resource, candidate)
    return claimed


def adopt(registry: Registry, owner_resource: Resource, owner: JSON, resource: Resource, orphan: JSON) -> JSON:
    """Make `owner` the controller of an orphan. Raises ApiError 409 when the owner is not the live one any more."""
    live = registry.find(owner_resource, namespace_of(owner), name_of(owner))
    if live is None or uid_of(live) != uid_of(owner) or is_terminating(live):
        raise errors.conflict(owner_resource, name_of(owner), "the owner has just been deleted and cannot adopt")

    def own(obj: JSON) -> None:
        obj["metadata"].setdefault("ownerReferences", []).append(controller_reference(owner))

    return registry.modify(resource, namespace_of(orphan), name_of(orphan), own)


def release(registry: Registry, owner: JSON, resource: Resource, obj: JSON) -> JSON:
    """Remove the owner's reference from an object that it controlled."""

    def disown(obj: JSON) -> None:
        metadata = obj["metadata"]
        kept = [r for r in metadata["ownerReferences"] if r.get("uid") != uid_of(owner)]
        if kept:
            metadata["ownerReferences"] = kept
        else:
            del metadata["ownerReferences"]

    return registry.modify(resource, namespace_of(obj), name_of(obj), disown)


def owner_keys(registry: Registry, owner_resource: Resource, change: Change) -> Sequence[str]:
    """The keys of the owners that a change of an object concerns: its controller before and after, and for an
    orphan whose labels or controller changed, everyone whose selector matches it."""
    keys = dict.fromkeys(controller_keys(registry, owner_resource, change))
    if change.type != "DELETED" and controller_of(change.object) is None:
        old = change.old
        if old is None or controller_of(old) is not None or labels_of(old) != labels_of(change.object):
            keys.update(dict.fromkeys(_matching_keys(registry, owner_resource, change.object)))
    return list(keys)


def controller_keys(registry: Registry, owner_resource: Resource, change: Change) -> list[str]:
    """The keys of the controllers of an object before and after a change."""
    versions = [change.object] if change.old is None else [change.old, change.object]
    return [key for obj in versions if (key := _controller_key(registry, owner_resource, obj))]


def _controller_key(registry: Registry, owner_resource: Resource, obj: JSON) -> str | None:
    reference = controller_of(obj)
    if reference is None or (reference["apiVersion"], reference["kind"]) != (
        owner_resource.api_version,
        owner_resource.kind,
    ):
        return None
    owner = registry.find(owner_resource, namespace_of(obj), reference["name"])
    return key_of(owner) if owner is not None and uid_of(owner) == reference.get("uid") else None


def _matching_keys(registry: Registry, owner_resource: Resource, obj: JSON) -> list[str]:
    return [
        key_of(owner)
        for owner in registry.list(owner_resource, namespace_of(obj))
        if LabelSelector.from_object(owner["spec"].get("selector")).matches(labels_of(obj))
    ]
