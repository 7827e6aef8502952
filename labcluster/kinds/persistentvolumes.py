"""PersistentVolume: defaults, rules, table (upstream: ValidatePersistentVolume, printers.go printPersistentVolume)."""

from __future__ import annotations

from typing import Any, ClassVar

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON, annotations_of, is_terminating
from labcluster.api.quantities import QuantityError, canonical, parse
from labcluster.api.resources import PERSISTENT_VOLUMES, Resource
from labcluster.api.times import now
from labcluster.kinds import formats
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import age
from labcluster.kinds.reading import Reader
from labcluster.kinds.values import NOT_NEGATIVE, one_of

PROTECTION = "kubernetes.io/pv-protection"
OLD_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
# Access modes in the order of upstream's error texts, with their abbreviations in tables.
ACCESS_MODES = {
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOnce": "RWO",
    "ReadWriteOncePod": "RWOP",
}
VOLUME_MODES = ("Block", "Filesystem")
RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
# Where the data is: exactly one of these stands in a volume's spec.
SOURCES = (
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
)
_SHOWN_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")


class PersistentVolumeKind(Kind):
    """A piece of storage in the cluster; its source never changes."""

    resource: ClassVar[Resource] = PERSISTENT_VOLUMES

    def default(self, obj: JSON) -> None:
        """Retain, Filesystem; quantities in canonical form."""
        spec = obj["spec"] = obj.get("spec") or {}
        spec["persistentVolumeReclaimPolicy"] = spec.get("persistentVolumeReclaimPolicy") or "Retain"
        spec["volumeMode"] = spec.get("volumeMode") or "Filesystem"
        if spec.get("hostPath") and spec["hostPath"].get("type") is None:
            spec["hostPath"]["type"] = ""
        canonicalize(spec.get("capacity"))

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Start Pending, protected while a claim is bound to it."""
        protect(obj, PROTECTION)
        obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": now()}

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a complete volume."""
        spec = obj["spec"]
        errors = access_mode_errors(spec.get("accessModes") or [])
        errors += _capacity_errors(spec.get("capacity") or {})
        policy = spec.get("persistentVolumeReclaimPolicy")
        errors += one_of(policy, RECLAIM_POLICIES, "spec.persistentVolumeReclaimPolicy")
        errors += one_of(spec.get("volumeMode"), VOLUME_MODES, "spec.volumeMode")
        errors += _source_errors(spec)
        if name := spec.get("storageClassName"):
            errors += [field.invalid("spec.storageClassName", name, text) for text in formats.subdomain(name)]
        return errors

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Source, mode and (once set) node affinity never change."""
        errors = self.validate(new)
        after, before = new["spec"], old["spec"]
        if any(after.get(source) != before.get(source) for source in SOURCES):
            errors.append(
                field.forbidden(
                    "spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation"
                )
            )
        if after.get("volumeMode") != before.get("volumeMode"):
            errors.append(field.invalid("volumeMode", after.get("volumeMode"), "field is immutable"))
        if before.get("nodeAffinity") and after.get("nodeAffinity") != before["nodeAffinity"]:
            errors.append(field.invalid("nodeAffinity", after.get("nodeAffinity"), "field is immutable"))
        return errors

    def fields(self, obj: JSON) -> dict[str, str]:
        """`name`, as upstream has it beside metadata.name."""
        return {"name": obj["metadata"].get("name", "")}

    columns = (
        Column("Name", format="name"),
        Column("Capacity"),
        Column("Access Modes"),
        Column("Reclaim Policy"),
        Column("Status"),
        Column("Claim"),
        Column("StorageClass"),
        Column("VolumeAttributesClass"),
        Column("Reason"),
        Column("Age"),
        Column("VolumeMode", priority=1),
    )

    def cells(self, obj: JSON) -> list[Any]:
        """As kubectl shows it."""
        spec, status = obj["spec"], obj.get("status") or {}
        claim = spec.get("claimRef") or {}
        return [
            obj["metadata"]["name"],
            (spec.get("capacity") or {}).get("storage", ""),
            access_modes_text(spec.get("accessModes") or []),
            spec.get("persistentVolumeReclaimPolicy", ""),
            phase_text(obj),
            f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
            class_of(obj),
            spec.get("volumeAttributesClassName") or "<unset>",
            status.get("reason", ""),
            age(obj),
            spec.get("volumeMode") or "<unset>",
        ]


def protect(obj: JSON, finalizer: str) -> None:
    """Add a protection finalizer (the admission plugin StorageObjectInUseProtection)."""
    finalizers = obj["metadata"].get("finalizers") or []
    if finalizer not in finalizers:
        obj["metadata"]["finalizers"] = [*finalizers, finalizer]


def canonicalize(quantities: JSON | None) -> None:
    """Write quantities canonically, in place; malformed ones stay for the validation to find."""
    for key, value in (quantities or {}).items():
        try:
            quantities[key] = canonical(value)  # type: ignore[index]
        except QuantityError:
            continue


def class_of(obj: JSON) -> str:
    """The storage class of a volume or claim: the old annotation counts first (GetPersistentVolumeClass)."""
    annotations = annotations_of(obj)
    if OLD_CLASS_ANNOTATION in annotations:
        return annotations[OLD_CLASS_ANNOTATION]
    return str(obj["spec"].get("storageClassName") or "")


def phase_text(obj: JSON) -> str:
    """The phase, or Terminating once deletion was asked for."""
    return "Terminating" if is_terminating(obj) else str((obj.get("status") or {}).get("phase", ""))


def access_modes_text(modes: list[str]) -> str:
    """Access modes abbreviated, in upstream's order: RWO,ROX,RWX,RWOP."""
    return ",".join(ACCESS_MODES[mode] for mode in _SHOWN_MODES if mode in modes)


def access_mode_errors(modes: list[str], detail: str = "") -> list[FieldError]:
    """Errors of spec.accessModes of a volume or claim."""
    if not modes:
        return [field.required("spec.accessModes", detail)]
    errors = [
        field.not_supported("spec.accessModes", mode, list(ACCESS_MODES)) for mode in modes if mode not in ACCESS_MODES
    ]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        text = "may not use ReadWriteOncePod with other access modes"
        errors.append(field.forbidden("spec.accessModes", text))
    return errors


def storage_errors(value: Any, path: str) -> list[FieldError]:
    """Errors of a size: a quantity above 0 (ValidatePositiveQuantityValue)."""
    try:
        quantity = parse(value)
    except QuantityError as error:
        return [field.invalid(path, value, str(error))]
    if quantity.amount < 0:
        return [field.invalid(path, str(quantity), NOT_NEGATIVE)]
    return [] if quantity.amount else [field.invalid(path, str(quantity), "must be greater than zero")]


def _capacity_errors(capacity: JSON) -> list[FieldError]:
    if not capacity:
        return [field.required("spec.capacity")]
    if list(capacity) != ["storage"]:
        return [field.not_supported("spec.capacity", next(k for k in capacity if k != "storage"), ["storage"])]
    return storage_errors(capacity["storage"], "spec.capacity[storage]")


def _source_errors(spec: JSON) -> list[FieldError]:
    given = [source for source in SOURCES if spec.get(source) is not None]
    if not given:
        return [field.required("spec", "must specify a volume type")]
    errors = [field.forbidden(f"spec.{source}", "may not specify more than 1 volume type") for source in given[1:]]
    for source in ("hostPath", "local"):
        if source in given:
            path = spec[source].get("path", "")
            if not path:
                errors.append(field.required(f"spec.{source}.path"))
            elif ".." in path.split("/"):
                errors.append(field.invalid(f"spec.{source}.path", path, "must not contain '..'"))
    if given[0] == "local" and not spec.get("nodeAffinity"):
        errors.append(field.required("spec.nodeAffinity", "Local volume requires node affinity"))
    recycled = spec.get("persistentVolumeReclaimPolicy") == "Recycle"
    if recycled and (spec.get("hostPath") or {}).get("path") == "/":
        text = "may not be 'recycle' for a hostPath mount of '/'"
        errors.append(field.forbidden("spec.persistentVolumeReclaimPolicy", text))
    return errors
