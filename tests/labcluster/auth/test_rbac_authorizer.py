"""The authorizer: who is bound to what, told at once of every change, and why it said so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labcluster.api.objects import JSON
from labcluster.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from labcluster.auth.rbac.attributes import AUTHENTICATED, MASTERS, Attributes, User
from labcluster.auth.rbac.authorizer import Authorizer
from labcluster.auth.rbac.rules import Rule
from labcluster.storage.registry import Registry
from tests.labcluster.rbac_objects import account, binding, empty_registry, group, role, rule, store, user

ANN = User("ann", ("dev", AUTHENTICATED))
ROBOT = User("system:serviceaccount:one:robot", ("system:serviceaccounts", AUTHENTICATED))
READ_PODS = rule("get list", "pods")


def asking(namespace: str = "", verb: str = "list", resource: str = "pods") -> Attributes:
    return Attributes(verb, "", resource, namespace=namespace)


@pytest.fixture
def registry() -> Registry:
    return empty_registry("one", "two")


def test_without_a_binding_nothing_is_allowed(registry: Registry) -> None:
    authorizer = Authorizer(registry)
    decision = authorizer.authorize(ANN, asking("one"))
    assert (decision.allowed, decision.reason) == (False, "")
    assert authorizer.authorize(User("root", (MASTERS,)), asking("one")).allowed


def test_a_role_holds_in_its_namespace(registry: Registry) -> None:
    authorizer = Authorizer(registry)
    store(registry, role("reader", READ_PODS, namespace="one"))
    store(registry, binding("b", "Role/reader", user("ann"), namespace="one"))
    decision = authorizer.authorize(ANN, asking("one"))
    assert (decision.allowed, decision.reason) == (
        True,
        'RBAC: allowed by RoleBinding "b/one" of Role "reader" to User "ann"',
    )
    assert not authorizer.authorize(ANN, asking("two")).allowed
    assert not authorizer.authorize(ANN, asking()).allowed
    assert not authorizer.authorize(ANN, asking("one", "delete")).allowed


def test_a_cluster_role_holds_where_it_is_bound(registry: Registry) -> None:
    authorizer = Authorizer(registry)
    store(registry, role("reader", READ_PODS))
    store(registry, binding("b", "ClusterRole/reader", account("robot"), namespace="one"))
    assert authorizer.authorize(ROBOT, asking("one")).reason.endswith('to ServiceAccount "robot/one"')
    assert not authorizer.authorize(ROBOT, asking("two")).allowed
    store(registry, binding("everywhere", "ClusterRole/reader", group("dev")))
    assert authorizer.authorize(ANN, asking("two")).reason == (
        'RBAC: allowed by ClusterRoleBinding "everywhere" of ClusterRole "reader" to Group "dev"'
    )
    assert authorizer.authorize(ANN, asking()).allowed


def test_changes_count_from_the_next_request_on(registry: Registry) -> None:
    authorizer = Authorizer(registry)
    store(registry, role("reader", READ_PODS, namespace="one"))
    store(registry, binding("b", "Role/reader", user("ann"), namespace="one"))
    registry.modify(ROLES, "one", "reader", lambda new: new.update(rules=[rule("get", "secrets")]))
    assert not authorizer.authorize(ANN, asking("one")).allowed
    assert authorizer.authorize(ANN, asking("one", "get", "secrets")).allowed
    registry.modify(ROLE_BINDINGS, "one", "b", lambda new: new.update(subjects=[user("bob")]))
    assert not authorizer.authorize(ANN, asking("one", "get", "secrets")).allowed
    assert authorizer.authorize(User("bob", ()), asking("one", "get", "secrets")).allowed
    registry.delete(ROLE_BINDINGS, "one", "b")
    assert not authorizer.authorize(User("bob", ()), asking("one", "get", "secrets")).allowed


def test_a_role_that_is_missing_is_told_and_the_others_still_count(registry: Registry) -> None:
    authorizer = Authorizer(registry)
    store(registry, binding("a", "Role/gone", user("ann"), namespace="one"))
    store(registry, binding("b", "ClusterRole/gone", user("ann"), namespace="one"))
    decision = authorizer.authorize(ANN, asking("one"))
    assert decision.reason == (
        'RBAC: [role.rbac.authorization.k8s.io "gone" not found, '
        'clusterrole.rbac.authorization.k8s.io "gone" not found]'
    )
    store(registry, role("gone", READ_PODS))
    assert authorizer.authorize(ANN, asking("one")).allowed
    rules, error = authorizer.rules_for(ANN, "one")
    assert (rules, error) == ([Rule.of(READ_PODS)], 'role.rbac.authorization.k8s.io "gone" not found')


def test_what_was_there_before_counts_too(registry: Registry) -> None:
    store(registry, role("reader", READ_PODS))
    store(registry, binding("b", "ClusterRole/reader", user("ann")))
    assert Authorizer(registry).authorize(ANN, asking("two")).allowed


def naive(registry: Registry, who: User, wanted: Attributes) -> bool:
    """Upstream's way: go through all bindings, look each role up, try each rule."""
    bindings = [*registry.list(CLUSTER_ROLE_BINDINGS)]
    if wanted.namespace:
        bindings += registry.list(ROLE_BINDINGS, wanted.namespace)
    for bound in bindings:
        where = bound["metadata"].get("namespace", "")
        if not any(_is(who, subject, where) for subject in bound["subjects"]):
            continue
        kind = CLUSTER_ROLES if bound["roleRef"]["kind"] == "ClusterRole" else ROLES
        found = registry.find(kind, where if kind == ROLES else "", bound["roleRef"]["name"])
        if found and any(Rule.of(each).allows(wanted) for each in found["rules"]):
            return True
    return False


def _is(who: User, subject: JSON, where: str) -> bool:
    if subject["kind"] == "ServiceAccount":
        return who.name == f"system:serviceaccount:{subject.get('namespace') or where}:{subject['name']}"
    return subject["name"] == who.name if subject["kind"] == "User" else subject["name"] in who.groups


SUBJECTS = st.lists(
    st.sampled_from(
        [user("ann"), group("dev"), group(AUTHENTICATED), account("robot", "one"), account("robot", "two")]
    ),
    max_size=2,
)
PLACES = st.sampled_from(("", "one", "two"))
NAMES = st.sampled_from(("a", "b"))
RULES = st.lists(st.sampled_from([READ_PODS, rule("*", "secrets"), rule("get", "*")]), max_size=2)
CHANGES = st.lists(
    st.tuples(st.just("role"), PLACES, NAMES, RULES)
    | st.tuples(st.just("binding"), PLACES, NAMES, st.tuples(st.sampled_from(("Role", "ClusterRole")), NAMES, SUBJECTS))
    | st.tuples(st.just("delete"), PLACES, NAMES, st.booleans()),
    max_size=12,
)


@given(CHANGES)
def test_the_index_says_what_a_walk_through_all_bindings_would(changes: list[tuple[str, str, str, object]]) -> None:
    registry = empty_registry("one", "two")
    authorizer = Authorizer(registry)
    for what, where, name, content in changes:
        change(registry, what, where, name, content)
    for who in (ANN, ROBOT, User("system:serviceaccount:two:robot", ())):
        for where in ("", "one", "two"):
            for verb, resource in (("list", "pods"), ("get", "nodes"), ("delete", "secrets")):
                wanted = asking(where, verb, resource)
                assert authorizer.authorize(who, wanted).allowed == naive(registry, who, wanted)


def change(registry: Registry, what: str, where: str, name: str, content: object) -> None:
    """Write a role or a binding of that name, or take it away."""
    if what == "delete":
        kinds = (ROLE_BINDINGS, ROLES) if where else (CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES)
        if registry.find(kinds[bool(content)], where, name):
            registry.delete(kinds[bool(content)], where, name)
        return
    if what == "role":
        kind, made = ROLES if where else CLUSTER_ROLES, role(name, *content, namespace=where)  # type: ignore[misc]
    else:
        reference, target, subjects = content  # type: ignore[misc]
        kind = ROLE_BINDINGS if where else CLUSTER_ROLE_BINDINGS
        made = binding(name, f"{reference if where else 'ClusterRole'}/{target}", *subjects, namespace=where)
    old = registry.find(kind, where, name)
    if old is None:
        store(registry, made)
    elif old.get("roleRef") == made.get("roleRef"):
        registry.update(kind, made)
