"""Validation of references to a pod's own fields: env and downward API volumes (validateObjectFieldSelector)."""

from __future__ import annotations

import re
from collections.abc import Collection

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.kinds import formats

# Fields that a v1 field path may name at all; where it stands narrows them down.
_KNOWN = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
)


def validate_field_ref(reference: JSON, supported: Collection[str], path: str) -> list[FieldError]:
    """Errors of an ObjectFieldSelector where only the `supported` fields (and single labels) may be named."""
    text = reference.get("fieldPath") or ""
    if not text:
        return [field.required(f"{path}.fieldPath")]
    if subscripted := re.fullmatch(r"(.+)\['(.*)'\]", text):
        return _validate_subscript(*subscripted.groups(), path=path)
    if text not in _KNOWN:
        why = f"error converting fieldPath: field label not supported: {text}"
        return [field.invalid(f"{path}.fieldPath", text, why)]
    if text not in supported:
        return [field.not_supported(f"{path}.fieldPath", text, sorted(supported))]
    return []


def _validate_subscript(parent: str, key: str, *, path: str) -> list[FieldError]:
    if parent == "metadata.annotations":
        return [field.invalid(path, key, message) for message in formats.qualified_name(key.lower())]
    if parent == "metadata.labels":
        return [field.invalid(path, key, message) for message in formats.qualified_name(key)]
    why = f"error converting fieldPath: field label does not support subscript: {parent}"
    return [field.invalid(f"{path}.fieldPath", f"{parent}['{key}']", why)]
