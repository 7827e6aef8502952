"""Role and ClusterRole: rules of what may be done (upstream: pkg/apis/rbac/validation, pkg/registry/rbac)."""

from __future__ import annotations

from typing import Any, ClassVar

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import CLUSTER_ROLES, ROLES, Resource
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.metadata import validate_label_selector


class RoleKind(Kind):
    """Rules for the objects of one namespace."""

    resource: ClassVar[Resource] = ROLES
    # Upstream has no printer for roles: this is the table of a kind without one (registry/rest/table.go).
    columns = (Column("Name", format="name"), Column("Created At", "date"))

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of the rules."""
        rules = enumerate(obj.get("rules") or ())
        return [error for i, rule in rules for error in _rule_errors(rule, self.resource.namespaced, f"rules[{i}]")]

    def cells(self, obj: JSON) -> list[Any]:
        """Name, time of creation."""
        return [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp")]


class ClusterRoleKind(RoleKind):
    """Rules for all namespaces, for what is in none and for paths outside the resources."""

    resource: ClassVar[Resource] = CLUSTER_ROLES

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of the rules and of the selectors that gather them from other roles."""
        errors = super().validate(obj)
        aggregation = obj.get("aggregationRule")
        if aggregation is None:
            return errors
        path, selectors = "aggregationRule.clusterRoleSelectors", aggregation.get("clusterRoleSelectors")
        if not selectors:
            why = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            return [*errors, field.required(path, why)]
        return errors + [e for i, s in enumerate(selectors) for e in validate_label_selector(s, f"{path}[{i}]")]


def _rule_errors(rule: JSON, namespaced: bool, path: str) -> list[FieldError]:
    """Errors of one rule (ValidatePolicyRule)."""
    errors: list[FieldError] = []
    if not rule.get("verbs"):
        errors.append(field.required(f"{path}.verbs", "verbs must contain at least one value"))
    if urls := rule.get("nonResourceURLs"):
        where = f"{path}.nonResourceURLs"
        if namespaced:
            errors.append(field.invalid(where, urls, "namespaced rules cannot apply to non-resource URLs"))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            why = "rules cannot apply to both regular resources and non-resource URLs"
            errors.append(field.invalid(where, urls, why))
        return errors
    if not rule.get("apiGroups"):
        errors.append(field.required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        errors.append(field.required(f"{path}.resources", "resource rules must supply at least one resource"))
    return errors
