"""Reconciles the default roles and bindings whenever the cluster starts.

What a user added stays; what a user removed comes back, unless the annotation autoupdate is "false".
Upstream: the post-start hook of pkg/registry/rbac/rest/storage_rbac.go, component-helpers/auth/rbac/reconciliation.
"""

from __future__ import annotations

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, annotations_of, labels_of, name_of
from labcluster.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from labcluster.auth.rbac import policy
from labcluster.auth.rbac.rules import Rule, rules_of, uncovered
from labcluster.storage.registry import DeleteOptions, Registry


def reconcile(registry: Registry) -> None:
    """Create or complete the default roles and bindings. Raises ApiError if the registry refuses."""
    for role in policy.cluster_roles():
        existing = registry.find(CLUSTER_ROLES, "", name_of(role))
        if existing is None:
            registry.create(CLUSTER_ROLES, role)
        elif not _is_protected(existing):
            registry.update(CLUSTER_ROLES, _completed_role(existing, role))
    for binding in policy.cluster_role_bindings():
        existing = registry.find(CLUSTER_ROLE_BINDINGS, "", name_of(binding))
        if existing is not None and not _is_protected(existing):
            if existing["roleRef"] == binding["roleRef"]:
                registry.update(CLUSTER_ROLE_BINDINGS, _completed_binding(existing, binding))
                continue
            registry.delete(CLUSTER_ROLE_BINDINGS, "", name_of(binding), DeleteOptions())
            existing = None
        if existing is None:
            registry.create(CLUSTER_ROLE_BINDINGS, binding)


def _is_protected(existing: JSON) -> bool:
    return annotations_of(existing).get(policy.AUTO_UPDATE) == "false"


def _completed_role(existing: JSON, expected: JSON) -> JSON:
    """The role with all rules and selectors that are expected of it (computeReconciledRole)."""
    completed = _with_metadata(existing, expected)
    missing = uncovered(rules_of(existing), rules_of(expected))
    if missing:
        completed["rules"] = [*(existing.get("rules") or ()), *map(_as_json, missing)]
    if "aggregationRule" not in expected:
        completed.pop("aggregationRule", None)
        return completed
    present = (existing.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
    wanted = expected["aggregationRule"]["clusterRoleSelectors"]
    completed["aggregationRule"] = {"clusterRoleSelectors": [*present, *(s for s in wanted if s not in present)]}
    return completed


def _completed_binding(existing: JSON, expected: JSON) -> JSON:
    """The binding with all subjects that are expected of it (computeReconciledRoleBinding)."""
    completed = _with_metadata(existing, expected)
    present = existing.get("subjects") or []
    completed["subjects"] = [*present, *(s for s in expected["subjects"] if s not in present)]
    return completed


def _with_metadata(existing: JSON, expected: JSON) -> JSON:
    completed: JSON = clone(existing)
    for key, of in (("labels", labels_of), ("annotations", annotations_of)):
        if merged := {**of(expected), **of(existing)}:
            completed["metadata"][key] = merged
    return completed


def _as_json(rule: Rule) -> JSON:
    fields = {
        "apiGroups": rule.groups,
        "resources": rule.resources,
        "resourceNames": rule.names,
        "nonResourceURLs": rule.paths,
        "verbs": rule.verbs,
    }
    return {key: list(values) for key, values in fields.items() if values}
