"""StorageClass: defaults, immutability, table (upstream: pkg/apis/storage, pkg/registry/storage/storageclass)."""

from __future__ import annotations

from typing import Any, ClassVar

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON, annotations_of
from labcluster.api.resources import STORAGE_CLASSES, Resource
from labcluster.kinds import formats
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import age
from labcluster.kinds.values import one_of

DEFAULT_ANNOTATION = "storageclass.kubernetes.io/is-default-class"
OLD_DEFAULT_ANNOTATION = "storageclass.beta.kubernetes.io/is-default-class"
BINDING_MODES = ("Immediate", "WaitForFirstConsumer")
RECLAIM_POLICIES = ("Delete", "Retain")


class StorageClassKind(Kind):
    """How volumes of a class come to be. Nearly all of it is fixed at creation."""

    resource: ClassVar[Resource] = STORAGE_CLASSES

    def default(self, obj: JSON) -> None:
        """Volumes go with their claim and are bound at once."""
        obj["reclaimPolicy"] = obj.get("reclaimPolicy") or "Delete"
        obj["volumeBindingMode"] = obj.get("volumeBindingMode") or "Immediate"

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of provisioner, parameters and modes (ValidateStorageClass)."""
        provisioner = obj.get("provisioner", "")
        errors: list[FieldError] = []
        if not provisioner:
            errors.append(field.required("provisioner"))
        else:
            messages = formats.qualified_name(provisioner.lower())
            errors += [field.invalid("provisioner", provisioner, text) for text in messages]
        errors += [
            field.invalid("parameters", key, "field must not be empty.")
            for key in obj.get("parameters") or {}
            if not key
        ]
        errors += one_of(obj.get("reclaimPolicy"), RECLAIM_POLICIES, "reclaimPolicy")
        return errors + one_of(obj.get("volumeBindingMode"), BINDING_MODES, "volumeBindingMode")

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Parameters, provisioner, reclaim policy and binding mode never change."""
        errors = self.validate(new)
        if (new.get("parameters") or {}) != (old.get("parameters") or {}):
            errors.append(field.forbidden("parameters", "updates to parameters are forbidden."))
        if new.get("provisioner") != old.get("provisioner"):
            errors.append(field.forbidden("provisioner", "updates to provisioner are forbidden."))
        if new.get("reclaimPolicy") != old.get("reclaimPolicy"):
            errors.append(field.forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden."))
        if new.get("volumeBindingMode") != old.get("volumeBindingMode"):
            errors.append(field.invalid("volumeBindingMode", new.get("volumeBindingMode"), "field is immutable"))
        return errors

    columns = (
        Column("Name", format="name"),
        Column("Provisioner"),
        Column("ReclaimPolicy"),
        Column("VolumeBindingMode"),
        Column("AllowVolumeExpansion"),
        Column("Age"),
    )

    def cells(self, obj: JSON) -> list[Any]:
        """The default class is marked behind its name."""
        name = obj["metadata"]["name"]
        return [
            f"{name} (default)" if is_default(obj) else name,
            obj.get("provisioner", ""),
            obj.get("reclaimPolicy", ""),
            obj.get("volumeBindingMode", ""),
            bool(obj.get("allowVolumeExpansion")),
            age(obj),
        ]


def is_default(storage_class: JSON) -> bool:
    """Whether claims that name no class get this one."""
    annotations = annotations_of(storage_class)
    return "true" in (annotations.get(DEFAULT_ANNOTATION), annotations.get(OLD_DEFAULT_ANNOTATION))
