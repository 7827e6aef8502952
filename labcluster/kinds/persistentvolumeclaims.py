"""PersistentVolumeClaim: default class, resize rules, immutability, table.

Upstream: pkg/apis/core/validation, the admission plugins DefaultStorageClass, PersistentVolumeClaimResize and
StorageObjectInUseProtection, printers.go printPersistentVolumeClaim.
"""

from __future__ import annotations

from typing import Any, ClassVar

from labcluster.api import errors as api_errors
from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, name_of
from labcluster.api.quantities import Quantity, QuantityError, parse
from labcluster.api.resources import PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES, Resource
from labcluster.kinds import formats
from labcluster.kinds.difference import unified
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.metadata import validate_label_selector
from labcluster.kinds.persistentvolumes import (
    VOLUME_MODES,
    access_mode_errors,
    access_modes_text,
    canonicalize,
    class_of,
    phase_text,
    protect,
    storage_errors,
)
from labcluster.kinds.printing import age
from labcluster.kinds.reading import Reader
from labcluster.kinds.storageclasses import is_default
from labcluster.kinds.values import one_of

PROTECTION = "kubernetes.io/pvc-protection"
_SIZE = "spec.resources.requests.storage"
_IMMUTABLE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


class PersistentVolumeClaimKind(Kind):
    """A request for storage. Once made, only its size may grow, and only where the class allows it."""

    resource: ClassVar[Resource] = PERSISTENT_VOLUME_CLAIMS

    def default(self, obj: JSON) -> None:
        """Filesystem; quantities in canonical form."""
        default_spec(obj.setdefault("spec", {}))

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Start Pending and protected; of the default class unless one is named (an empty name means none)."""
        protect(obj, PROTECTION)
        obj["status"] = {"phase": "Pending"}
        if obj["spec"].get("storageClassName") is None and not class_of(obj):
            default_class = default_class_name(reader)
            if default_class:
                obj["spec"]["storageClassName"] = default_class

    def prepare_update(self, new: JSON, old: JSON, reader: Reader) -> None:
        """Refuse a larger size where volumes do not grow. Raises ApiError 403."""
        after, before = size_of(new), size_of(old)
        if after is None or before is None or after <= before:
            return
        if old.get("status", {}).get("phase") != "Bound":
            raise self._forbidden(new, "Only bound persistent volume claims can be expanded")
        storage_class = reader.find(STORAGE_CLASSES, "", class_of(old)) if class_of(old) else None
        if not (storage_class or {}).get("allowVolumeExpansion"):
            why = (
                "only dynamically provisioned pvc can be resized and "
                "the storageclass that provisions the pvc must support resize"
            )
            raise self._forbidden(new, why)

    def _forbidden(self, obj: JSON, why: str) -> api_errors.ApiError:
        return api_errors.forbidden(self.resource, name_of(obj), why)

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a complete claim."""
        return validate_spec(obj["spec"], "spec")

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """The spec stays, but for the volume's name (once) and the size of a bound claim."""
        errors = self.validate(new)
        after, before = clone(new["spec"]), clone(old["spec"])
        if not before.get("volumeName"):
            _copy(before, after, "volumeName")
        if before.get("storageClassName") is None:  # a default class may be assigned later
            _copy(before, after, "storageClassName")
        if new.get("status", {}).get("phase") == "Bound":
            _copy(after, before, "volumeAttributesClassName")
            if (after.get("resources") or {}).get("requests"):
                requests = (before.get("resources") or {}).get("requests") or {}
                _copy(after["resources"]["requests"], requests, "storage")
        if after != before:
            errors.append(field.forbidden("spec", f"{_IMMUTABLE}\n{unified(before, after)}"))
        return errors + _shrink_errors(new, old)

    def fields(self, obj: JSON) -> dict[str, str]:
        """`name`, as upstream has it beside metadata.name."""
        return {"name": obj["metadata"].get("name", "")}

    columns = (
        Column("Name", format="name"),
        Column("Status"),
        Column("Volume"),
        Column("Capacity"),
        Column("Access Modes"),
        Column("StorageClass"),
        Column("VolumeAttributesClass"),
        Column("Age"),
        Column("VolumeMode", priority=1),
    )

    def cells(self, obj: JSON) -> list[Any]:
        """Capacity and access modes are those of the bound volume."""
        spec, status = obj["spec"], obj.get("status") or {}
        bound = bool(spec.get("volumeName"))
        return [
            obj["metadata"]["name"],
            phase_text(obj),
            spec.get("volumeName", ""),
            (status.get("capacity") or {}).get("storage", "0") if bound else "",
            access_modes_text(status.get("accessModes") or []) if bound else "",
            class_of(obj),
            spec.get("volumeAttributesClassName") or "<unset>",
            age(obj),
            spec.get("volumeMode") or "<unset>",
        ]


def default_spec(spec: JSON) -> None:
    """The defaults of a claim's spec, in place; also for the volumeClaimTemplates of a StatefulSet."""
    spec["volumeMode"] = spec.get("volumeMode") or "Filesystem"
    for part in ("requests", "limits"):
        canonicalize((spec.get("resources") or {}).get(part))


def default_class_name(reader: Reader) -> str | None:
    """The class that claims get which name none: the newest of those marked as default, then by name."""
    marked = [c for c in reader.list(STORAGE_CLASSES) if is_default(c)]
    marked.sort(key=name_of)
    marked.sort(key=lambda c: str(c["metadata"].get("creationTimestamp", "")), reverse=True)
    return name_of(marked[0]) if marked else None


def size_of(claim: JSON) -> Quantity | None:
    """The requested size, or None when it is missing or malformed."""
    try:
        return parse(((claim["spec"].get("resources") or {}).get("requests") or {})["storage"])
    except (KeyError, QuantityError):
        return None


def validate_spec(spec: JSON, path: str) -> list[FieldError]:
    """Errors of a claim's spec at `path` (ValidatePersistentVolumeClaimSpec)."""
    errors = access_mode_errors(spec.get("accessModes") or [], "at least 1 access mode is required")
    if spec.get("selector"):
        errors += validate_label_selector(spec["selector"], "spec.selector")
    requests = (spec.get("resources") or {}).get("requests") or {}
    if "storage" not in requests:
        errors.append(field.required("spec.resources[storage]"))
    else:
        errors += storage_errors(requests["storage"], "spec.resources[storage]")
    if name := spec.get("storageClassName"):
        errors += [field.invalid("spec.storageClassName", name, text) for text in formats.subdomain(name)]
    if spec.get("volumeMode") is not None:
        errors += one_of(spec["volumeMode"], VOLUME_MODES, "spec.volumeMode")
    if path == "spec":
        return errors
    return [FieldError(path + e.path.removeprefix("spec"), e.reason, e.text) for e in errors]


def _shrink_errors(new: JSON, old: JSON) -> list[FieldError]:
    """A size may fall back (after a failed resize), but not to what the volume has, or below."""
    after, before = size_of(new), size_of(old)
    if after is None or before is None or after >= before:
        return []
    capacity = (old.get("status", {}).get("capacity") or {}).get("storage", "0")
    if after <= parse(capacity):
        return [field.forbidden(_SIZE, "field can not be less than status.capacity")]
    return []


def _copy(to: JSON, source: JSON, key: str) -> None:
    if key in source:
        to[key] = source[key]
    else:
        to.pop(key, None)
