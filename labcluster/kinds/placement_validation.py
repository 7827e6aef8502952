"""Validation of what says where a pod may run: tolerations, affinity, spreading (core/validation/validation.go)."""

from __future__ import annotations

from typing import Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.kinds import formats
from labcluster.kinds.metadata import validate_label_selector
from labcluster.kinds.values import formatted

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ANYTHING = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'


def validate_tolerations(tolerations: list[JSON], path: str) -> list[FieldError]:
    """Errors of spec.tolerations."""
    errors: list[FieldError] = []
    for index, toleration in enumerate(tolerations):
        here = f"{path}[{index}]"
        key, operator = toleration.get("key") or "", toleration.get("operator") or ""
        value, effect = toleration.get("value") or "", toleration.get("effect") or ""
        if key:
            errors += formatted(key, formats.qualified_name(key), f"{here}.key")
        elif operator != "Exists":
            errors.append(field.invalid(f"{here}.operator", operator, _ANYTHING))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(field.invalid(f"{here}.effect", effect, text))
        if operator in ("", "Equal"):
            errors += formatted(value, formats.label_value(value), f"{here}.operator")
        elif operator != "Exists":
            errors.append(field.not_supported(f"{here}.operator", operator, ["Equal", "Exists"]))
        elif value:
            text = "value must be empty when `operator` is 'Exists'"
            errors.append(field.invalid(f"{here}.operator", toleration, text))
        if effect and effect not in EFFECTS:
            errors.append(field.not_supported(f"{here}.effect", effect, list(EFFECTS)))
    return errors


def validate_affinity(affinity: JSON | None, path: str) -> list[FieldError]:
    """Errors of spec.affinity."""
    affinity = affinity or {}
    errors: list[FieldError] = []
    if node := affinity.get("nodeAffinity"):
        errors += _validate_node_affinity(node, f"{path}.nodeAffinity")
    for key in ("podAffinity", "podAntiAffinity"):
        if pods := affinity.get(key):
            errors += _validate_pod_affinity(pods, f"{path}.{key}")
    return errors


def _validate_node_affinity(affinity: JSON, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    wanted = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if wanted is not None:
        errors += validate_node_selector(wanted, f"{path}.requiredDuringSchedulingIgnoredDuringExecution")
    here = f"{path}.preferredDuringSchedulingIgnoredDuringExecution"
    for index, term in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        errors += _validate_weight(term, f"{here}[{index}]")
        errors += _validate_node_term(term.get("preference") or {}, f"{here}[{index}].preference")
    return errors


def validate_node_selector(selector: JSON, path: str) -> list[FieldError]:
    """Errors of a NodeSelector: of a pod's affinity, or of a PersistentVolume's."""
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        return [field.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    return [e for i, term in enumerate(terms) for e in _validate_node_term(term, f"{path}.nodeSelectorTerms[{i}]")]


def _validate_node_term(term: JSON, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        errors += _validate_node_requirement(requirement, f"{path}.matchExpressions[{index}]")
    for index, requirement in enumerate(term.get("matchFields") or ()):
        here = f"{path}.matchFields[{index}]"
        if requirement.get("key") != "metadata.name":
            errors.append(field.invalid(f"{here}.key", requirement.get("key"), "not a valid field selector key"))
        if requirement.get("operator") not in ("In", "NotIn"):
            text = "not a valid selector operator"
            errors.append(field.invalid(f"{here}.operator", requirement.get("operator"), text))
        elif len(requirement.get("values") or ()) != 1:
            text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            errors.append(field.required(f"{here}.values", text))
    return errors


def _validate_node_requirement(requirement: JSON, path: str) -> list[FieldError]:
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    errors: list[FieldError] = []
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            errors.append(field.required(f"{path}.values", text))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(field.forbidden(f"{path}.values", text))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors.append(field.required(f"{path}.values", text))
    else:
        errors.append(field.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = requirement.get("key") or ""
    return errors + formatted(key, formats.qualified_name(key), f"{path}.key")


def _validate_pod_affinity(affinity: JSON, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    here = f"{path}.requiredDuringSchedulingIgnoredDuringExecution"
    for index, term in enumerate(affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()):
        errors += _validate_pod_term(term, f"{here}[{index}]")
    here = f"{path}.preferredDuringSchedulingIgnoredDuringExecution"
    for index, term in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        errors += _validate_weight(term, f"{here}[{index}]")
        errors += _validate_pod_term(term.get("podAffinityTerm") or {}, f"{here}[{index}].podAffinityTerm")
    return errors


def _validate_pod_term(term: JSON, path: str) -> list[FieldError]:
    errors = validate_label_selector(term.get("labelSelector"), f"{path}.labelSelector")
    for name in term.get("namespaces") or ():
        errors += formatted(name, formats.label(name), f"{path}.namespace")
    key = term.get("topologyKey") or ""
    if not key:
        return [*errors, field.required(f"{path}.topologyKey", "can not be empty")]
    return errors + formatted(key, formats.qualified_name(key), f"{path}.topologyKey")


def _validate_weight(term: JSON, path: str) -> list[FieldError]:
    weight: Any = term.get("weight") or 0
    if 1 <= weight <= 100:
        return []
    return [field.invalid(f"{path}.weight", weight, "must be in the range 1-100")]


def validate_spread(constraints: list[JSON], path: str) -> list[FieldError]:
    """Errors of spec.topologySpreadConstraints."""
    errors: list[FieldError] = []
    for index, constraint in enumerate(constraints):
        here = f"{path}[{index}]"
        if (skew := constraint.get("maxSkew") or 0) <= 0:
            errors.append(field.invalid(f"{here}.maxSkew", skew, "must be greater than zero"))
        if not constraint.get("topologyKey"):
            errors.append(field.required(f"{here}.topologyKey", "can not be empty"))
        when = constraint.get("whenUnsatisfiable") or ""
        if when not in ("DoNotSchedule", "ScheduleAnyway"):
            supported = ["DoNotSchedule", "ScheduleAnyway"]
            errors.append(field.not_supported(f"{here}.whenUnsatisfiable", when, supported))
        errors += validate_label_selector(constraint.get("labelSelector"), f"{here}.labelSelector")
    return errors
