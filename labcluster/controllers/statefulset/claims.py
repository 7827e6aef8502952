"""The claims of a StatefulSet's pods: making them, and who owns them (statefulset/stateful_pod_control.go).

The retention policy is nothing but owner references, which the garbage collector then follows:
whenDeleted=Delete makes the set an owner, whenScaled=Delete makes the pod one once its ordinal is out of range.
"""

from __future__ import annotations

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, is_terminating, name_of, namespace_of, uid_of
from labcluster.api.owners import controller_reference
from labcluster.api.resources import PERSISTENT_VOLUME_CLAIMS
from labcluster.controllers.statefulset.identity import claims_for, ordinal_of, ordinals_of
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Registry


def create_claims(registry: Registry, recorder: EventRecorder, stateful_set: JSON, pod: JSON) -> None:
    """Create the pod's missing claims. Raises ApiError when one cannot be made or is being deleted."""
    problems: list[str] = []
    for claim in claims_for(stateful_set, pod):
        name = name_of(claim)
        existing = registry.find(PERSISTENT_VOLUME_CLAIMS, namespace_of(claim), name)
        if existing is not None:
            if is_terminating(existing):
                problems.append(f"pvc {name} is being deleted")
            continue
        where = f"Pod {name_of(pod)} in StatefulSet {name_of(stateful_set)}"
        try:
            registry.create(PERSISTENT_VOLUME_CLAIMS, claim)
        except ApiError as error:
            problems.append(f"failed to create PVC {name}: {error}")
            message = f"create Claim {name} for {where} failed error: {error}"
            recorder.event(stateful_set, "Warning", "FailedCreate", message)
        else:
            recorder.event(stateful_set, "Normal", "SuccessfulCreate", f"create Claim {name} {where} success")
    if problems:
        message = problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]"
        raise ApiError(409, "Conflict", message)


def has_stale_claim(registry: Registry, stateful_set: JSON, pod: JSON) -> bool:
    """Whether a claim of the pod still goes with a former pod of that name, so that a new one must wait."""
    if _policy(stateful_set)[1] != "Delete":
        return False
    return any(_has_stale_reference(claim, pod) for claim in _existing_claims(registry, stateful_set, pod))


def claims_match_policy(registry: Registry, stateful_set: JSON, pod: JSON) -> bool:
    """Whether the owner references of the pod's claims say what the retention policy wants."""
    return all(_is_up_to_date(claim, stateful_set, pod) for claim in _existing_claims(registry, stateful_set, pod))


def apply_policy(registry: Registry, stateful_set: JSON, pod: JSON) -> None:
    """Make the owner references of the pod's claims what the retention policy wants."""
    for claim in _existing_claims(registry, stateful_set, pod):
        if not _is_up_to_date(claim, stateful_set, pod):
            references = _wanted_references(claim, stateful_set, pod)

            def change(claim: JSON, references: list[JSON] = references) -> None:
                claim["metadata"].pop("ownerReferences", None)
                if references:
                    claim["metadata"]["ownerReferences"] = references

            registry.modify(PERSISTENT_VOLUME_CLAIMS, namespace_of(claim), name_of(claim), change)


def _existing_claims(registry: Registry, stateful_set: JSON, pod: JSON) -> list[JSON]:
    wanted = claims_for(stateful_set, pod)
    existing = (registry.find(PERSISTENT_VOLUME_CLAIMS, namespace_of(c), name_of(c)) for c in wanted)
    return [claim for claim in existing if claim is not None]


def _policy(stateful_set: JSON) -> tuple[str, str]:
    """(whenDeleted, whenScaled)."""
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return policy.get("whenDeleted", "Retain"), policy.get("whenScaled", "Retain")


def _owner(stateful_set: JSON, pod: JSON) -> JSON | None:
    """The one who should own the pod's claims: the set, the pod, or nobody."""
    when_deleted, when_scaled = _policy(stateful_set)
    if when_scaled == "Delete" and ordinal_of(pod) not in ordinals_of(stateful_set):
        return pod
    return stateful_set if when_deleted == "Delete" else None


def _references(claim: JSON) -> list[JSON]:
    return claim["metadata"].get("ownerReferences") or []


def _names(reference: JSON, obj: JSON) -> bool:
    """Whether the reference names the object, with whatever uid."""
    keys = (reference["apiVersion"], reference["kind"], reference["name"])
    return keys == (obj["apiVersion"], obj["kind"], name_of(obj))


def _has_stale_reference(claim: JSON, obj: JSON) -> bool:
    return any(_names(r, obj) and r.get("uid") != uid_of(obj) for r in _references(claim))


def _is_owned_by(claim: JSON, obj: JSON) -> bool:
    return any(r.get("uid") == uid_of(obj) for r in _references(claim))


def _has_unexpected_controller(claim: JSON, stateful_set: JSON, pod: JSON) -> bool:
    """Whether somebody else manages the claim. With Retain for both that is nobody's business."""
    if _policy(stateful_set) == ("Retain", "Retain"):
        return False
    if _has_stale_reference(claim, stateful_set) or _has_stale_reference(claim, pod):
        return True
    ours = (uid_of(stateful_set), uid_of(pod))
    return any(r.get("controller") and r.get("uid") not in ours for r in _references(claim))


def _is_up_to_date(claim: JSON, stateful_set: JSON, pod: JSON) -> bool:
    if _has_stale_reference(claim, stateful_set) or _has_stale_reference(claim, pod):
        return True  # it goes with a former owner of that name: not ours to touch
    owners = [obj for obj in (stateful_set, pod) if _is_owned_by(claim, obj)]
    if _has_unexpected_controller(claim, stateful_set, pod):
        return not owners
    ours = (uid_of(stateful_set), uid_of(pod))
    if any(not r.get("controller") and r.get("uid") in ours for r in _references(claim)):
        return False
    wanted = _owner(stateful_set, pod)
    return owners == ([] if wanted is None else [wanted])


def _wanted_references(claim: JSON, stateful_set: JSON, pod: JSON) -> list[JSON]:
    kept = [r for r in _references(claim) if not _names(r, stateful_set) and not _names(r, pod)]
    owner = _owner(stateful_set, pod)
    if owner is None or _has_unexpected_controller(claim, stateful_set, pod):
        return kept
    return [*kept, controller_reference(owner)]
