"""ConfigMap: rules of its keys and of immutability (upstream: ValidateConfigMap, ValidateConfigMapUpdate)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import CONFIG_MAPS, Resource
from labcluster.kinds import formats
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import age

MAX_BYTES = 1024 * 1024  # of all values of a ConfigMap or Secret together


class ConfigMapKind(Kind):
    """Texts (`data`) and bytes (`binaryData`) under keys that can be file names."""

    resource: ClassVar[Resource] = CONFIG_MAPS

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of the keys and of the size."""
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        errors: list[FieldError] = []
        for key in data:
            errors += config_key_errors(key, f"data[{key}]")
            if key in binary:
                errors.append(field.invalid(f"data[{key}]", key, f"duplicate of key present in binaryData: {key}"))
        for key in binary:
            errors += config_key_errors(key, f"binaryData[{key}]")
        size = sum(len(v.encode()) for v in data.values()) + sum(len(v) * 3 // 4 for v in binary.values())
        if size > MAX_BYTES:
            errors.append(field.too_long("", MAX_BYTES))
        return errors

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """What is immutable stays so, and keeps its data."""
        return [*immutability_errors(new, old, ("data", "binaryData")), *self.validate(new)]

    columns = (Column("Name", format="name"), Column("Data"), Column("Age"))

    def cells(self, obj: JSON) -> list[Any]:
        """Name, number of keys, age."""
        return [obj["metadata"]["name"], len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), age(obj)]


def config_key_errors(key: str, path: str) -> list[FieldError]:
    """Errors of one key of a ConfigMap's or Secret's data."""
    return [field.invalid(path, key, text) for text in formats.config_key(key)]


def immutability_errors(new: JSON, old: JSON, keys: Iterable[str]) -> list[FieldError]:
    """Errors of changing an object with `immutable: true` (ConfigMap, Secret)."""
    if not old.get("immutable"):
        return []
    text = "field is immutable when `immutable` is set"
    errors = [] if new.get("immutable") else [field.forbidden("immutable", text)]
    return errors + [field.forbidden(key, text) for key in keys if (new.get(key) or {}) != (old.get(key) or {})]
