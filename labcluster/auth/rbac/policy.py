"""The default cluster roles and bindings: upstream's rules, as far as they are about what is served.

Upstream: plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go; the group of the administrators: kubeadm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from labcluster.api.objects import JSON
from labcluster.api.resources import RBAC_GROUP
from labcluster.auth.rbac.attributes import AUTHENTICATED, MASTERS, UNAUTHENTICATED
from labcluster.auth.rbac.rules import ALL

AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"
ADMINISTRATORS = "kubeadm:cluster-admins"
_BOOTSTRAPPING = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_HEALTH = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*")
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")


def cluster_roles() -> Iterator[JSON]:
    """The default cluster roles."""
    yield _role("cluster-admin", [_rule([ALL], ALL, [ALL]), _paths([ALL], ALL)])
    yield _role("system:discovery", [_paths(sorted((*_HEALTH, *_DISCOVERY)))])
    yield _role("system:public-info-viewer", [_paths(_HEALTH)])
    yield _role("system:basic-user", _BASIC_USER)
    yield _role("system:auth-delegator", _AUTH_DELEGATOR)
    yield _aggregated("admin")
    yield _aggregated("edit", to="admin")
    yield _aggregated("view", to="edit")
    yield _role("system:aggregate-to-admin", _ADMIN, to="admin")
    yield _role("system:aggregate-to-edit", _EDIT, to="edit")
    yield _role("system:aggregate-to-view", _VIEW, to="view")


def cluster_role_bindings() -> Iterator[JSON]:
    """The default bindings, all of groups."""
    yield _binding("cluster-admin", MASTERS)
    yield _binding("system:discovery", AUTHENTICATED)
    yield _binding("system:basic-user", AUTHENTICATED)
    yield _binding("system:public-info-viewer", AUTHENTICATED, UNAUTHENTICATED)
    administrators = _binding("cluster-admin", ADMINISTRATORS)
    yield {**administrators, "metadata": {"name": ADMINISTRATORS}}


def _rule(verbs: Sequence[str], group: str, resources: Sequence[str]) -> JSON:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


def _paths(paths: Sequence[str], verb: str = "get") -> JSON:
    return {"nonResourceURLs": list(paths), "verbs": [verb]}


def _role(name: str, rules: list[JSON], *, to: str = "") -> JSON:
    return {"metadata": _metadata(name, to), "rules": rules}


def _aggregated(name: str, *, to: str = "") -> JSON:
    """A role whose rules are those of all roles labelled for it."""
    selector = {"matchLabels": {_label(name): "true"}}
    return {"metadata": _metadata(name, to), "aggregationRule": {"clusterRoleSelectors": [selector]}}


def _binding(role: str, *groups: str) -> JSON:
    return {
        "metadata": _metadata(role),
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC_GROUP, "kind": "Group", "name": group} for group in groups],
    }


def _metadata(name: str, aggregate_to: str = "") -> JSON:
    labels = {**_BOOTSTRAPPING, **({_label(aggregate_to): "true"} if aggregate_to else {})}
    return {"name": name, "labels": labels, "annotations": {AUTO_UPDATE: "true"}}


def _label(name: str) -> str:
    return f"{RBAC_GROUP}/aggregate-to-{name}"


_BASIC_USER = [
    _rule(["create"], "authorization.k8s.io", ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
    _rule(["create"], "authentication.k8s.io", ["selfsubjectreviews"]),
]
_AUTH_DELEGATOR = [
    _rule(["create"], "authentication.k8s.io", ["tokenreviews"]),
    _rule(["create"], "authorization.k8s.io", ["subjectaccessreviews"]),
]
_ADMIN = [
    _rule(["create"], "authorization.k8s.io", ["localsubjectaccessreviews"]),
    _rule([*_READ, *_WRITE], RBAC_GROUP, ["roles", "rolebindings"]),
]
# What can be read here would let a viewer act as someone else, so it is not part of `view`.
_EDIT = [
    _rule(_READ, "", ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"]),
    _rule(["impersonate"], "", ["serviceaccounts"]),
    _rule(_WRITE, "", ["pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"]),
    _rule(["create"], "", ["pods/eviction"]),
    _rule(
        _WRITE,
        "",
        ["configmaps", "events", "persistentvolumeclaims", "secrets", "serviceaccounts", "services", "services/proxy"],
    ),
    _rule(["create"], "", ["serviceaccounts/token"]),
    _rule(
        _WRITE,
        "apps",
        [
            "daemonsets",
            "deployments",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ],
    ),
    _rule(_WRITE, "batch", ["cronjobs", "jobs"]),
    _rule(_WRITE, "policy", ["poddisruptionbudgets"]),
    _rule(_WRITE, "networking.k8s.io", ["ingresses", "networkpolicies"]),
    _rule([*_READ, *_WRITE], "coordination.k8s.io", ["leases"]),
]
_VIEW = [
    _rule(
        _READ,
        "",
        [
            "configmaps",
            "endpoints",
            "persistentvolumeclaims",
            "persistentvolumeclaims/status",
            "pods",
            "serviceaccounts",
            "services",
            "services/status",
        ],
    ),
    _rule(_READ, "", ["events", "namespaces/status", "pods/log", "pods/status"]),
    _rule(_READ, "", ["namespaces"]),  # in a namespace: that one
    _rule(_READ, "discovery.k8s.io", ["endpointslices"]),
    _rule(
        _READ,
        "apps",
        [
            "controllerrevisions",
            "daemonsets",
            "daemonsets/status",
            "deployments",
            "deployments/scale",
            "deployments/status",
            "replicasets",
            "replicasets/scale",
            "replicasets/status",
            "statefulsets",
            "statefulsets/scale",
            "statefulsets/status",
        ],
    ),
    _rule(_READ, "batch", ["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
    _rule(_READ, "policy", ["poddisruptionbudgets", "poddisruptionbudgets/status"]),
    _rule(_READ, "networking.k8s.io", ["ingresses", "ingresses/status", "networkpolicies"]),
]
