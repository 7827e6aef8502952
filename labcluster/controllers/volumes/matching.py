"""Which claim a pod uses and which PersistentVolume fits a claim: asked by the volume controllers and the scheduler."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from labcluster.api.objects import JSON, annotations_of, is_terminating, labels_of, name_of, namespace_of, uid_of
from labcluster.api.quantities import Quantity, parse
from labcluster.api.resources import STORAGE_CLASSES
from labcluster.api.selectors import LabelSelector
from labcluster.controllers.node_selector import volume_allows
from labcluster.storage.registry import Registry

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


def claims_of(pod: JSON) -> Iterator[str]:
    """The names of the claims that the pod mounts, those of generic ephemeral volumes included."""
    for volume in pod["spec"].get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            yield volume["persistentVolumeClaim"]["claimName"]
        elif "ephemeral" in volume:
            yield f"{name_of(pod)}-{volume['name']}"


def class_of(obj: JSON) -> str:
    """The storage class of a claim or volume; "" for none."""
    return obj["spec"].get("storageClassName") or ""


def storage_class(registry: Registry, claim: JSON) -> JSON | None:
    """The StorageClass object that a claim names, if there is one."""
    name = class_of(claim)
    return registry.find(STORAGE_CLASSES, "", name) if name else None


def default_class(registry: Registry) -> JSON | None:
    """The default StorageClass: of several the newest, then the first by name (volume/util GetDefaultClass)."""
    classes = [c for c in registry.list(STORAGE_CLASSES) if annotations_of(c).get(DEFAULT_CLASS) == "true"]
    return max(classes, key=lambda c: str(c["metadata"].get("creationTimestamp", "")), default=None)


def waits_for_consumer(registry: Registry, claim: JSON) -> bool:
    """Whether the claim is bound only once a pod that uses it is scheduled (IsDelayBindingMode)."""
    used = storage_class(registry, claim)
    return used is not None and used.get("volumeBindingMode") == "WaitForFirstConsumer"


def is_bound(claim: JSON) -> bool:
    """Whether the claim has its volume and the binding is complete (what a pod waits for)."""
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in annotations_of(claim)


def refers_to(volume: JSON, claim: JSON) -> bool:
    """Whether the volume's claimRef means this claim; a reference without uid means any claim of that name."""
    reference = volume["spec"].get("claimRef") or {}
    if (reference.get("namespace"), reference.get("name")) != (namespace_of(claim), name_of(claim)):
        return False
    return not reference.get("uid") or reference["uid"] == uid_of(claim)


def capacity(volume: JSON) -> Quantity:
    """Bytes that the volume offers."""
    return parse((volume["spec"].get("capacity") or {}).get("storage", "0"))


def request(claim: JSON) -> Quantity:
    """Bytes that the claim asks for."""
    resources = claim["spec"].get("resources") or {}
    return parse((resources.get("requests") or {}).get("storage", "0"))


def mismatch(volume: JSON, claim: JSON) -> str:
    """Why the volume cannot satisfy a claim that names it, or "" (pv_controller.go checkVolumeSatisfyClaim)."""
    if capacity(volume) < request(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if volume["spec"].get("volumeMode", "Filesystem") != claim["spec"].get("volumeMode", "Filesystem"):
        return "incompatible volumeMode"
    if not _has_modes(volume, claim):
        return "incompatible accessMode"
    return ""


def _has_modes(volume: JSON, claim: JSON) -> bool:
    return set(claim["spec"].get("accessModes") or ()) <= set(volume["spec"].get("accessModes") or ())


def find_volume(
    claim: JSON,
    volumes: Iterable[JSON],
    *,
    node: JSON | None = None,
    taken: Collection[str] = (),
    prebound_only: bool = False,
) -> JSON | None:
    """The volume for a claim: the one bound to it beforehand, else the smallest that fits; None if none does.

    With `node` only volumes that the node reaches count (the scheduler's question), without those named in
    `taken`. Follows component-helpers storage/volume FindMatchingVolume; among equals the fewest access modes
    win, as in pv_controller's index, then the name.
    """
    selector = claim["spec"].get("selector")
    wanted = LabelSelector.from_object(selector) if selector else None
    fitting: list[JSON] = []
    for volume in volumes:
        if name_of(volume) in taken or is_terminating(volume) or _has_other_mode(volume, claim):
            continue
        reachable = node is None or volume_allows(volume, node)
        if volume["spec"].get("claimRef"):
            if refers_to(volume, claim) and capacity(volume) >= request(claim):
                return volume if reachable else None
            continue
        if prebound_only or not reachable or class_of(volume) != class_of(claim):
            continue
        if wanted is not None and not wanted.matches(labels_of(volume)):
            continue
        if capacity(volume) >= request(claim):
            fitting.append(volume)
    return min(fitting, key=lambda v: (len(v["spec"].get("accessModes") or ()), capacity(v), name_of(v)), default=None)


def _has_other_mode(volume: JSON, claim: JSON) -> bool:
    """Whether the volume mode or the access modes differ from what the claim asks for."""
    same = volume["spec"].get("volumeMode", "Filesystem") == claim["spec"].get("volumeMode", "Filesystem")
    return not same or not _has_modes(volume, claim)
