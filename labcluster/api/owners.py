"""Who controls an object (apimachinery pkg/apis/meta/v1/controller_ref.go)."""

from __future__ import annotations

from labcluster.api.objects import JSON, name_of, uid_of


def controller_of(obj: JSON) -> JSON | None:
    """The owner reference with controller=true, as metav1.GetControllerOf finds it."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return reference  # type: ignore[no-any-return]
    return None


def is_controlled_by(obj: JSON, owner: JSON) -> bool:
    """Whether `owner` is the controller of the object (metav1.IsControlledBy)."""
    return (controller_of(obj) or {}).get("uid") == uid_of(owner)


def controller_reference(owner: JSON) -> JSON:
    """A reference that makes `owner` the managing controller, as metav1.NewControllerRef builds it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }
