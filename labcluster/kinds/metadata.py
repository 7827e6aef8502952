"""Validation of object metadata and label selectors (apimachinery api/validation/objectmeta.go and
apis/meta/v1/validation): the registry calls `validate` or `validate_update` for every object it writes."""

from __future__ import annotations

import json
from typing import Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    NAMESPACES,
    ROLE_BINDINGS,
    ROLES,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)
from labcluster.kinds import formats
from labcluster.kinds.kind import Kind

ANNOTATIONS_MAX_BYTES = 256 * 1024  # keys and values of all annotations together
IMMUTABLE = "field is immutable"

# All other kinds are named by DNS subdomains.
_NAME_RULES: dict[Resource, formats.NameRule] = {
    NAMESPACES: formats.dns_label,
    SERVICES: formats.dns_1035_label,
    STATEFUL_SETS: formats.dns_label,
    **dict.fromkeys((ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS), formats.path_segment),
}
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")


def validate(obj: JSON, kind: Kind) -> list[FieldError]:
    """Errors of the metadata of a new object (after generateName was resolved)."""
    rule = _NAME_RULES.get(kind.resource, formats.dns_subdomain)
    return validate_object_meta(obj["metadata"], rule, kind.resource.namespaced, "metadata")


def validate_object_meta(meta: JSON, name_rule: formats.NameRule, namespaced: bool, path: str) -> list[FieldError]:
    """Errors of one ObjectMeta at `path` (ValidateObjectMetaAccessor)."""
    errors: list[FieldError] = []
    if prefix := meta.get("generateName"):
        errors += [field.invalid(f"{path}.generateName", prefix, m) for m in name_rule(prefix, True)]
    if name := meta.get("name"):
        errors += [field.invalid(f"{path}.name", name, message) for message in name_rule(name, False)]
    else:
        errors.append(field.required(f"{path}.name", "name or generateName is required"))
    namespace = meta.get("namespace")
    if namespaced and not namespace:
        errors.append(field.required(f"{path}.namespace"))
    elif namespaced:
        errors += [field.invalid(f"{path}.namespace", namespace, m) for m in formats.label(str(namespace))]
    elif namespace:
        errors.append(field.forbidden(f"{path}.namespace", "not allowed on this type"))
    return errors + _common(meta, path)


def validate_update(new: JSON, old: JSON, kind: Kind) -> list[FieldError]:
    """Errors of a change of metadata (ValidateObjectMetaAccessorUpdate)."""
    after, before, path = new["metadata"], old["metadata"], "metadata"
    errors: list[FieldError] = []
    if before.get("deletionTimestamp"):
        added = sorted(set(after.get("finalizers") or ()) - set(before.get("finalizers") or ()))
        if added:
            shown = "[]string{" + ", ".join(json.dumps(name) for name in added) + "}"
            text = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
            errors.append(field.forbidden(f"{path}.finalizers", text))
    for key in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        # Left out is not changed: the registry fills these in from the stored object.
        if after.get(key) is not None and after[key] != before.get(key):
            errors.append(field.invalid(f"{path}.{key}", after[key], IMMUTABLE))
    return errors + _common(after, path)


def _common(meta: JSON, path: str) -> list[FieldError]:
    return [
        *validate_labels(meta.get("labels"), f"{path}.labels"),
        *validate_annotations(meta.get("annotations"), f"{path}.annotations"),
        *_validate_owners(meta.get("ownerReferences") or [], f"{path}.ownerReferences"),
        *_validate_finalizers(meta.get("finalizers") or [], f"{path}.finalizers"),
    ]


def validate_labels(labels: dict[str, Any] | None, path: str) -> list[FieldError]:
    """Errors of a map of labels."""
    errors = []
    for key, value in (labels or {}).items():
        errors += [field.invalid(path, key, message) for message in formats.qualified_name(key)]
        errors += [field.invalid(path, value, message) for message in formats.label_value(value)]
    return errors


def validate_annotations(annotations: dict[str, Any] | None, path: str) -> list[FieldError]:
    """Errors of a map of annotations: keys are qualified names in any case, the whole is limited in size."""
    annotations = annotations or {}
    errors = [field.invalid(path, k, message) for k in annotations for message in formats.qualified_name(k.lower())]
    if sum(len(k.encode()) + len(str(v).encode()) for k, v in annotations.items()) > ANNOTATIONS_MAX_BYTES:
        errors.append(field.too_long(path, ANNOTATIONS_MAX_BYTES))
    return errors


def _validate_owners(references: list[JSON], path: str) -> list[FieldError]:
    errors = []
    controller = ""
    for reference in references:
        for key in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(key):
                subject = "version" if key == "apiVersion" else key
                errors.append(field.invalid(f"{path}.{key}", reference.get(key, ""), f"{subject} must not be empty"))
        if (reference.get("apiVersion"), reference.get("kind")) == ("v1", "Event"):
            errors.append(field.invalid(path, reference, "/v1, Kind=Event is disallowed from being an owner"))
        if reference.get("controller"):
            subject = f"{reference.get('kind')}/{reference.get('name')}"
            if controller:
                text = (
                    "Only one reference can have Controller set to true. "
                    f'Found "true" in references for {controller} and {subject}'
                )
                errors.append(field.invalid(path, references, text))
            controller = controller or subject
    return errors


def _validate_finalizers(finalizers: list[str], path: str) -> list[FieldError]:
    errors = [field.invalid(path, name, message) for name in finalizers for message in formats.qualified_name(name)]
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        errors.append(field.invalid(path, finalizers, text))
    for index, name in enumerate(finalizers):
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(field.invalid(f"{path}[{index}]", name, text))
    return errors


def validate_label_selector(selector: JSON | None, path: str) -> list[FieldError]:
    """Errors of a LabelSelector (matchLabels and matchExpressions)."""
    errors = validate_labels((selector or {}).get("matchLabels"), f"{path}.matchLabels")
    for index, requirement in enumerate((selector or {}).get("matchExpressions") or ()):
        errors += _validate_requirement(requirement, f"{path}.matchExpressions[{index}]")
    return errors


def _validate_requirement(requirement: JSON, path: str) -> list[FieldError]:
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    errors: list[FieldError] = []
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            errors.append(field.required(f"{path}.values", text))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(field.forbidden(f"{path}.values", text))
    else:
        errors.append(field.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = requirement.get("key", "")
    errors += [field.invalid(f"{path}.key", key, message) for message in formats.qualified_name(key)]
    for index, value in enumerate(values):
        errors += [field.invalid(f"{path}.values[{index}]", value, m) for m in formats.label_value(value)]
    return errors
