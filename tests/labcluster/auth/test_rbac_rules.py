"""What a rule allows and covers, as upstream's evaluation_helpers.go and policy_comparator.go decide it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labcluster.api.objects import JSON
from labcluster.auth.rbac.attributes import Attributes
from labcluster.auth.rbac.rules import Rule, compact, uncovered

PODS = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}


def request(verb: str, resource: str, group: str = "", name: str = "") -> Attributes:
    plain, _, subresource = resource.partition("/")
    return Attributes(verb, group, plain, subresource, "ns", name)


@pytest.mark.parametrize(
    ("changes", "wanted", "allowed"),
    [
        ({}, request("get", "pods"), True),
        ({}, request("delete", "pods"), False),
        ({}, request("get", "services"), False),
        ({}, request("get", "pods", "apps"), False),
        ({}, request("get", "pods/log"), False),
        ({"verbs": ["*"]}, request("anything", "pods"), True),
        ({"apiGroups": ["*"]}, request("get", "pods", "apps"), True),
        ({"apiGroups": ["apps"]}, request("get", "pods"), False),
        ({"resources": ["*"]}, request("get", "pods/log"), True),
        ({"resources": ["pods/log"]}, request("get", "pods/log"), True),
        ({"resources": ["pods/log"]}, request("get", "pods"), False),
        ({"resources": ["*/scale"], "apiGroups": ["*"]}, request("get", "deployments/scale", "apps"), True),
        ({"resources": ["*/scale"]}, request("get", "pods"), False),
        ({"resources": ["*/scale"]}, request("get", "pods/status"), False),
        ({"resources": ["pods/*"]}, request("get", "pods/log"), False),  # there is no such wildcard
        ({"resourceNames": ["web"]}, request("get", "pods", name="web"), True),
        ({"resourceNames": ["web"]}, request("get", "pods", name="db"), False),
        # A list names no object, unless it selects one by metadata.name; nor does a create.
        ({"resourceNames": ["web"]}, request("list", "pods"), False),
        ({"resourceNames": ["web"]}, request("list", "pods", name="web"), True),
        ({"resourceNames": ["*"]}, request("get", "pods", name="web"), False),  # nor such a name
        ({}, Attributes("get", path="/pods"), False),
    ],
)
def test_rules_for_resources(changes: JSON, wanted: Attributes, allowed: bool) -> None:
    assert Rule.of({**PODS, **changes}).allows(wanted) is allowed


@pytest.mark.parametrize(
    ("path", "wanted", "allowed"),
    [
        ("/version", "/version", True),
        ("/version", "/version/", False),
        ("/api/*", "/api/v1", True),
        ("/api/*", "/api", False),
        ("/api*", "/apis", True),
        ("*", "/anything", True),
    ],
)
def test_rules_for_paths(path: str, wanted: str, allowed: bool) -> None:
    rule = Rule.of({"verbs": ["get"], "nonResourceURLs": [path]})
    assert rule.allows(Attributes("get", path=wanted)) is allowed
    assert not rule.allows(Attributes("post", path=wanted))
    assert not rule.allows(request("get", "pods"))


def test_what_is_not_covered_is_told_with_its_verbs_together() -> None:
    wanted = Rule.of({"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods", "secrets"]})
    missing = uncovered([Rule.of(PODS)], [wanted])
    assert sorted(str(rule) for rule in compact(missing)) == [
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "delete"]}',
    ]


@pytest.mark.parametrize(
    ("owned", "wanted", "covered"),
    [
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, PODS, True),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}, False),
        (PODS, {**PODS, "verbs": ["*"]}, False),
        (PODS, {**PODS, "resourceNames": ["web"]}, True),
        ({**PODS, "resourceNames": ["web"]}, PODS, False),
        ({**PODS, "resourceNames": ["web", "db"]}, {**PODS, "resourceNames": ["web"]}, True),
        ({**PODS, "resources": ["*/scale"]}, {**PODS, "resources": ["pods/scale"]}, True),
        ({**PODS, "resources": ["pods/scale"]}, {**PODS, "resources": ["*/scale"]}, False),
        ({"verbs": ["get"], "nonResourceURLs": ["/a/*"]}, {"verbs": ["get"], "nonResourceURLs": ["/a/b*"]}, True),
        ({"verbs": ["get"], "nonResourceURLs": ["/a/b"]}, {"verbs": ["get"], "nonResourceURLs": ["/a/*"]}, False),
    ],
)
def test_covering(owned: JSON, wanted: JSON, covered: bool) -> None:
    assert (not uncovered([Rule.of(owned)], [Rule.of(wanted)])) is covered


def words(*values: str, least: int = 0) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), min_size=least, max_size=3, unique=True).map(tuple)


VERBS, GROUPS, RESOURCES = ("get", "list", "*"), ("", "apps", "*"), ("pods", "pods/log", "sets/scale", "*/scale", "*")
NAMES, PATHS = ("web", "db"), ("/a", "/a/b", "/a/*", "/a*", "*")
ON_RESOURCES = st.builds(
    Rule, words(*VERBS, least=1), words(*GROUPS, least=1), words(*RESOURCES, least=1), words(*NAMES)
)
ON_PATHS = st.builds(lambda verbs, paths: Rule(verbs, paths=paths), words(*VERBS, least=1), words(*PATHS, least=1))
RULES = st.lists(ON_RESOURCES | ON_PATHS, max_size=3)
REQUESTS = st.builds(
    request,
    st.sampled_from(("get", "list", "watch")),
    st.sampled_from(("pods", "pods/log", "pods/scale", "sets/scale", "nodes")),
    st.sampled_from(("", "apps", "batch")),
    st.sampled_from(("", *NAMES, "other")),
) | st.builds(
    lambda verb, path: Attributes(verb, path=path), st.sampled_from(VERBS), st.sampled_from(("/a", "/a/b", "/"))
)


@given(RULES, RULES, REQUESTS)
def test_what_is_covered_gives_nothing_more(owned: list[Rule], wanted: list[Rule], asked: Attributes) -> None:
    missing = uncovered(owned, wanted)
    if any(rule.allows(asked) for rule in wanted):
        assert any(rule.allows(asked) for rule in [*owned, *missing])
    assert not uncovered([*owned, *compact(missing)], wanted)
    assert not uncovered(wanted, wanted)
