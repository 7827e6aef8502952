"""Roles and bindings for the tests of RBAC."""

from __future__ import annotations

from typing import Any

from labcluster.api.objects import JSON
from labcluster.api.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    NAMESPACES,
    RBAC_GROUP,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
)
from labcluster.storage.registry import Registry
from labcluster.storage.store import Store


def empty_registry(*namespaces: str) -> Registry:
    """A registry with these namespaces, their default service accounts, and no role at all."""
    registry = Registry(Store(":memory:"))
    for name in namespaces or ("default",):
        registry.create(NAMESPACES, {"metadata": {"name": name}})
        registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": name}})
    return registry


def rule(verbs: str, resources: str, group: str = "", names: str = "") -> JSON:
    """A rule of words with spaces between, as in `rule("get list", "pods pods/log")`."""
    made: JSON = {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
    return {**made, "resourceNames": names.split()} if names else made


def role(name: str, *rules: JSON, namespace: str = "", **more: Any) -> JSON:
    """A Role, or a ClusterRole without a namespace."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"metadata": metadata, "rules": list(rules), **more}


def binding(name: str, reference: str, *subjects: JSON, namespace: str = "") -> JSON:
    """A binding of `Role/reader` or `ClusterRole/view`; without a namespace a ClusterRoleBinding."""
    kind, _, role_name = reference.partition("/")
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    role_reference = {"apiGroup": RBAC_GROUP, "kind": kind, "name": role_name}
    return {"metadata": metadata, "roleRef": role_reference, "subjects": list(subjects)}


def user(name: str) -> JSON:
    return {"apiGroup": RBAC_GROUP, "kind": "User", "name": name}


def group(name: str) -> JSON:
    return {"apiGroup": RBAC_GROUP, "kind": "Group", "name": name}


def account(name: str, namespace: str = "") -> JSON:
    return {"kind": "ServiceAccount", "name": name, **({"namespace": namespace} if namespace else {})}


def store(registry: Registry, obj: JSON) -> JSON:
    """Create a role or a binding of either scope."""
    namespaced = "namespace" in obj["metadata"]
    if "roleRef" in obj:
        return registry.create(ROLE_BINDINGS if namespaced else CLUSTER_ROLE_BINDINGS, obj)
    return registry.create(ROLES if namespaced else CLUSTER_ROLES, obj)
