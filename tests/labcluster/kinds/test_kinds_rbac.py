"""Roles and bindings as they are stored, refused and printed."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON
from labcluster.api.resources import CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS, ROLES
from labcluster.kinds import KINDS
from labcluster.storage.registry import Registry
from tests.labcluster.rbac_objects import account, binding, empty_registry, group, role, rule, store, user

RBAC = "rbac.authorization.k8s.io"
PATHS = {"verbs": ["get"], "nonResourceURLs": ["/metrics"]}


@pytest.fixture
def registry() -> Registry:
    return empty_registry()


def refusal(registry: Registry, obj: JSON) -> str:
    with pytest.raises(ApiError) as refused:
        store(registry, obj)
    assert refused.value.code == 422
    return refused.value.message


def test_users_and_groups_are_of_the_rbac_group_by_default(registry: Registry) -> None:
    made = store(
        registry,
        {
            "metadata": {"name": "b", "namespace": "default"},
            "roleRef": {"kind": "Role", "name": "reader"},
            "subjects": [{"kind": "User", "name": "ann"}, {"kind": "Group", "name": "dev"}, account("robot")],
        },
    )
    assert made["roleRef"]["apiGroup"] == RBAC
    assert [subject.get("apiGroup") for subject in made["subjects"]] == [RBAC, RBAC, None]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (
            {"apiGroups": [""], "resources": ["pods"]},
            "rules[0].verbs: Required value: verbs must contain at least one value",
        ),
        (
            {"verbs": ["get"], "resources": ["pods"]},
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        ),
        (
            {"verbs": ["get"], "apiGroups": [""]},
            "rules[0].resources: Required value: resource rules must supply at least one resource",
        ),
        (
            PATHS,
            'rules[0].nonResourceURLs: Invalid value: ["/metrics"]: namespaced rules cannot apply to non-resource URLs',
        ),
    ],
)
def test_wrong_rules(registry: Registry, wrong: JSON, expected: str) -> None:
    assert expected in refusal(registry, role("r", wrong, namespace="default"))


def test_paths_are_for_cluster_roles_and_not_with_resources(registry: Registry) -> None:
    store(registry, role("r", PATHS))
    assert "rules cannot apply to both regular resources and non-resource URLs" in refusal(
        registry, role("mixed", {**PATHS, "resources": ["pods"]})
    )
    assert "at least one clusterRoleSelector required" in refusal(registry, role("a", aggregationRule={}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"roleRef": {"kind": "Role"}}, "roleRef.name: Required value"),
        (
            {"roleRef": {"kind": "Deployment", "name": "x"}},
            'roleRef.kind: Unsupported value: "Deployment": supported values: "Role", "ClusterRole"',
        ),
        (
            {"roleRef": {"kind": "Role", "name": "x", "apiGroup": "apps"}},
            f'roleRef.apiGroup: Unsupported value: "apps": supported values: "{RBAC}"',
        ),
        ({"roleRef": {"kind": "Role", "name": "a/b"}}, "roleRef.name: Invalid value: \"a/b\": may not contain '/'"),
        (
            {"subjects": [{"kind": "Robot", "name": "x"}]},
            'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
        ),
        ({"subjects": [{"kind": "User"}]}, 'subjects[0].name: Invalid value: "": user name cannot be empty'),
        (
            {"subjects": [{**account("robot"), "apiGroup": RBAC}]},
            f'subjects[0].apiGroup: Unsupported value: "{RBAC}": supported values: ""',
        ),
        ({"subjects": [account("Robot")]}, 'subjects[0].name: Invalid value: "Robot": a lowercase RFC 1123 subdomain'),
    ],
)
def test_wrong_bindings(registry: Registry, changes: dict[str, Any], expected: str) -> None:
    assert expected in refusal(registry, {**binding("b", "Role/reader", namespace="default"), **changes})


def test_a_cluster_role_binding_is_of_a_cluster_role_to_accounts_of_a_namespace(registry: Registry) -> None:
    message = refusal(registry, binding("b", "Role/reader", account("robot")))
    assert 'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"' in message
    assert "subjects[0].namespace: Required value" in message


def test_the_role_of_a_binding_never_changes(registry: Registry) -> None:
    store(registry, binding("b", "Role/reader", user("ann"), namespace="default"))
    with pytest.raises(ApiError) as refused:
        registry.modify(ROLE_BINDINGS, "default", "b", lambda new: new["roleRef"].update(name="writer"))
    shown = f'{{"APIGroup":"{RBAC}","Kind":"Role","Name":"writer"}}'
    assert f"roleRef: Invalid value: {shown}: cannot change roleRef" in refused.value.message
    registry.modify(ROLE_BINDINGS, "default", "b", lambda new: new.update(subjects=[user("bob")]))


def test_names_are_parts_of_a_path(registry: Registry) -> None:
    store(registry, role("system:Some_Role", rule("get", "pods"), namespace="default"))
    for name, expected in (("a/b", "may not contain '/'"), ("..", "may not be '..'"), ("a%b", "may not contain '%'")):
        assert f'metadata.name: Invalid value: "{name}": {expected}' in refusal(registry, role(name))


def test_the_rows(registry: Registry) -> None:
    made = store(registry, role("r", rule("get", "pods"), namespace="default"))
    assert [c.name for c in KINDS[ROLES].columns] == ["Name", "Created At"]
    assert KINDS[ROLES].cells(made) == ["r", made["metadata"]["creationTimestamp"]]
    subjects = (user("ann"), user("bob"), group("dev"), account("robot", "default"))
    made = store(registry, binding("b", "ClusterRole/view", *subjects))
    kind = KINDS[CLUSTER_ROLE_BINDINGS]
    assert [(c.name, c.priority) for c in kind.columns] == [
        ("Name", 0),
        ("Role", 0),
        ("Age", 0),
        ("Users", 1),
        ("Groups", 1),
        ("ServiceAccounts", 1),
    ]
    assert kind.cells(made) == ["b", "ClusterRole/view", "0s", "ann, bob", "dev", "default/robot"]
