"""The rights that the course asks for are those that the administrator's file grants and the README lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from labsupport import paths
from labsupport.backends import readiness
from labsupport.backends.current import preflight
from labsupport.backends.current.rights import RIGHTS, Right
from tests.current.limited_user import kubeconfig_of
from tests.running_lab import RunningLab

ROLES: list[dict[str, Any]] = list(yaml.safe_load_all((paths.course_root() / "docs" / "learner-role.yaml").read_text()))


def granted(role: str) -> set[tuple[str, str, str]]:
    """What a role grants: (group, resource, verb)."""
    (rules,) = [found["rules"] for found in ROLES if found["metadata"]["name"] == role]
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def asked(*, cluster_wide: bool) -> set[tuple[str, str, str]]:
    found = [right for right in RIGHTS if right.cluster_wide == cluster_wide]
    return {(right.group, right.name, verb) for right in found for verb in right.verbs}


def test_the_file_for_administrators_grants_what_is_asked_for_and_nothing_more() -> None:
    assert granted("course-learner-in-cluster") == asked(cluster_wide=True)
    assert granted("course-learner-in-namespaces") == asked(cluster_wide=False)


def test_one_role_has_both() -> None:
    whole, *parts = ROLES
    (selector,) = whole["aggregationRule"]["clusterRoleSelectors"]
    assert all(part["metadata"]["labels"] == selector["matchLabels"] for part in parts)


def test_the_readme_names_every_resource() -> None:
    text = (paths.course_root() / "README.md").read_text().partition("## For the administrator")[2]
    text = text.partition("\n## ")[0].replace(" ", "").lower()
    missing = {r.subresource or r.resource for r in RIGHTS if (r.subresource or r.resource) not in text}
    assert not missing


# ---------------------------------------------------------------- a user who lacks one of them


@pytest.fixture(scope="module")
def user(cluster: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of somebody who has no rights yet."""
    cluster.core.create_namespace({"metadata": {"name": "rights-lab"}})
    yield kubeconfig_of(cluster, "rights-lab", "default", tmp_path_factory.mktemp("user"))
    cluster.core.delete_namespace("rights-lab")
    cluster.kubectl("delete", "clusterrolebinding/rights", "clusterrole/rights", "--ignore-not-found")


def grant(cluster: RunningLab, rights: list[Right]) -> None:
    """Let that user do this and nothing else, what is not cluster-wide in rights-lab only."""
    account = {"kind": "ServiceAccount", "name": "default", "namespace": "rights-lab"}
    objects: list[dict[str, Any]] = []
    for prefix, namespace in (("Cluster", ""), ("", "rights-lab")):
        metadata = {"name": "rights", **({"namespace": namespace} if namespace else {})}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": f"{prefix}Role", "name": "rights"}
        rules = [
            {"apiGroups": [right.group], "resources": [right.name], "verbs": list(right.verbs)}
            for right in rights
            if right.cluster_wide != bool(namespace)
        ]
        objects.append({"kind": f"{prefix}Role", "metadata": metadata, "rules": rules})
        binding = {"subjects": [account], "roleRef": reference}
        objects.append({"kind": f"{prefix}RoleBinding", "metadata": metadata, **binding})
    items = [{"apiVersion": "rbac.authorization.k8s.io/v1", **found} for found in objects]
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def told(user: Path) -> list[tuple[str, str]]:
    findings = preflight.examine(readiness.connect(user), "rights")
    return [(found.level, found.detail) for found in findings if found.subject == "permissions"]


def test_whoever_has_them_all_lacks_nothing(cluster: RunningLab, user: Path) -> None:
    grant(cluster, list(RIGHTS))
    assert told(user) == [("ok", "you may do everything that the course does")]


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: f"{right.name}-{right.verbs[0]}-{right.cluster_wide}")
def test_each_one_that_is_missing_is_named(cluster: RunningLab, user: Path, right: Right) -> None:
    grant(cluster, [other for other in RIGHTS if other is not right])
    ((level, detail),) = told(user)
    assert level == ("fail" if right.needed else "note")
    where = "in the whole cluster" if right.cluster_wide else "in namespaces that begin with rights-"
    others = [other for other in RIGHTS if other is not right and other.group == right.group]
    wider = [o for o in others if o.name == "*" or (o.name == right.name and o.cluster_wide)]
    elsewhere = {verb for other in wider for verb in other.verbs}
    verbs = ", ".join(verb for verb in right.verbs if verb not in elsewhere)
    assert f"you may not {verbs} {right.qualified} {where}" in detail
