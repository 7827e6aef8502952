"""The rights that the course asks for are those that the administrator's file grants and the README lists."""

from __future__ import annotations

from typing import Any

import yaml

from labsupport import paths
from labsupport.current.rights import RIGHTS

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
