"""Validation of a pod's volumes (upstream: ValidateVolumes in pkg/apis/core/validation/validation.go)."""

from __future__ import annotations

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.kinds import formats
from labcluster.kinds.container_validation import descending_path
from labcluster.kinds.downward import validate_field_ref
from labcluster.kinds.values import formatted, one_of, required

MORE_THAN_ONE = "may not specify more than 1 volume type"
_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_FILE_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_TOKEN_MIN_SECONDS, _TOKEN_MAX_SECONDS = 600, 1 << 32
_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
# What a source cannot do without.
_REQUIRED = {
    "persistentVolumeClaim": "claimName",
    "configMap": "name",
    "secret": "secretName",
    "hostPath": "path",
    "csi": "driver",
    "image": "reference",
    "ephemeral": "volumeClaimTemplate",
}


def validate_volumes(volumes: list[JSON], path: str) -> list[FieldError]:
    """Errors of spec.volumes."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        here, name = f"{path}[{index}]", volume.get("name") or ""
        wrong = _validate_source(volume, here)
        if not name:
            wrong.append(field.required(f"{here}.name"))
        elif name in seen:
            wrong.append(field.duplicate(f"{here}.name", name))
        else:
            wrong += formatted(name, formats.label(name), f"{here}.name")
        seen.add(name)
        errors += wrong
    return errors


def _validate_source(volume: JSON, path: str) -> list[FieldError]:
    given = [key for key, source in volume.items() if key != "name" and source is not None]
    if not given:
        return [field.required(path, "must specify a volume type")]
    errors = _validate_one(given[0], volume[given[0]], f"{path}.{given[0]}")
    return errors + [field.forbidden(f"{path}.{more}", MORE_THAN_ONE) for more in given[1:]]


def _validate_one(kind: str, source: JSON, path: str) -> list[FieldError]:
    errors = required(source, _REQUIRED[kind], path) if kind in _REQUIRED else []
    errors += _validate_mode(source.get("defaultMode"), f"{path}.defaultMode")
    if kind in ("configMap", "secret"):
        errors += _validate_items(source.get("items") or [], f"{path}.items")
    elif kind == "hostPath":
        if (given := source.get("type") or "") not in _HOST_PATH_TYPES:
            errors.append(field.not_supported(f"{path}.type", given, list(_HOST_PATH_TYPES)))
        if ".." in str(source.get("path", "")).split("/"):
            errors.append(field.invalid(f"{path}.path", source["path"], "must not contain '..'"))
    elif kind == "downwardAPI":
        errors += _validate_downward(source.get("items") or [], f"{path}.items")
    elif kind == "projected":
        errors += _validate_projected(source.get("sources") or [], f"{path}.sources")
    elif kind == "emptyDir" and source.get("medium"):
        errors += one_of(source["medium"], ("", "HugePages", "Memory"), f"{path}.medium")
    return errors


def _validate_projected(sources: list[JSON], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, source in enumerate(sources):
        here = f"{path}[{index}]"
        given = [key for key, projection in source.items() if projection is not None]
        errors += [field.forbidden(f"{here}.{more}", MORE_THAN_ONE) for more in given[1:]]
        if not given:
            continue
        key, projection = given[0], source[given[0]]
        here = f"{here}.{key}"
        if key in ("configMap", "secret"):
            errors += required(projection, "name", here)
            errors += _validate_items(projection.get("items") or [], f"{here}.items")
        elif key == "downwardAPI":
            errors += _validate_downward(projection.get("items") or [], f"{here}.items")
        elif key == "serviceAccountToken":
            errors += _validate_token(projection, here)
    return errors


def _validate_token(projection: JSON, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seconds = projection.get("expirationSeconds") or 0
    if seconds < _TOKEN_MIN_SECONDS:
        text = "may not specify a duration less than 10 minutes"
        errors.append(field.invalid(f"{path}.expirationSeconds", seconds, text))
    elif seconds > _TOKEN_MAX_SECONDS:
        text = "may not specify a duration larger than 2^32 seconds"
        errors.append(field.invalid(f"{path}.expirationSeconds", seconds, text))
    return errors + required(projection, "path", path)


def _validate_items(items: list[JSON], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, item in enumerate(items):
        here = f"{path}[{index}]"
        errors += required(item, "key", here) + _validate_path(item, here)
        errors += _validate_mode(item.get("mode"), f"{here}.mode")
    return errors


def _validate_downward(items: list[JSON], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, item in enumerate(items):
        here = f"{path}[{index}]"
        errors += _validate_path(item, here)
        if item.get("fieldRef") is not None:
            errors += validate_field_ref(item["fieldRef"], _FIELDS, f"{here}.fieldRef")
            if item.get("resourceFieldRef") is not None:
                text = "fieldRef and resourceFieldRef can not be specified simultaneously"
                errors.append(field.invalid(here, "resource", text))
        elif item.get("resourceFieldRef") is not None:
            errors += required(item["resourceFieldRef"], "containerName", f"{here}.resourceFieldRef")
            errors += required(item["resourceFieldRef"], "resource", f"{here}.resourceFieldRef")
        else:
            errors.append(field.required(here, "one of fieldRef and resourceFieldRef is required"))
        errors += _validate_mode(item.get("mode"), f"{here}.mode")
    return errors


def _validate_path(item: JSON, path: str) -> list[FieldError]:
    """The file that an item becomes: below the volume, its name not starting with `..`."""
    target = item.get("path") or ""
    if not target:
        return [field.required(f"{path}.path")]
    errors = descending_path(target, f"{path}.path")
    if target.startswith("..") and not errors:
        errors.append(field.invalid(f"{path}.path", target, "must not start with '..'"))
    return errors


def _validate_mode(mode: int | None, path: str) -> list[FieldError]:
    return [field.invalid(path, mode, _FILE_MODE)] if mode is not None and not 0 <= mode <= 0o777 else []
