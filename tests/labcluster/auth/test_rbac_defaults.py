"""The default roles: there from the start, mended at each start, and gathered by their labels."""

from __future__ import annotations

import pytest

from labcluster.api.objects import JSON, labels_of, name_of
from labcluster.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from labcluster.auth.rbac import policy, reconciliation
from labcluster.auth.rbac.attributes import ANONYMOUS, AUTHENTICATED, Attributes, User, account_groups
from labcluster.auth.rbac.authorizer import Authorizer
from labcluster.auth.rbac.rules import rules_of
from labcluster.controllers.clusterrole_aggregation import ClusterRoleAggregationController
from labcluster.storage.registry import Registry
from tests.labcluster.control_plane import ControlPlane
from tests.labcluster.rbac_objects import binding, empty_registry, group, role, rule, store, user

DEFAULT_ACCOUNT = User("system:serviceaccount:default:default", (*account_groups("default"), AUTHENTICATED))


@pytest.fixture
def registry() -> Registry:
    registry = empty_registry()
    reconciliation.reconcile(registry)
    return registry


@pytest.mark.parametrize(
    ("who", "wanted", "allowed"),
    [
        (ANONYMOUS, Attributes("get", path="/version"), True),
        (ANONYMOUS, Attributes("get", path="/apis"), False),
        (DEFAULT_ACCOUNT, Attributes("get", path="/apis/apps/v1"), True),
        (DEFAULT_ACCOUNT, Attributes("get", path="/openapi/v3"), True),
        (DEFAULT_ACCOUNT, Attributes("get", path="/metrics"), False),
        (DEFAULT_ACCOUNT, Attributes("create", "authorization.k8s.io", "selfsubjectrulesreviews"), True),
        (DEFAULT_ACCOUNT, Attributes("create", "authorization.k8s.io", "subjectaccessreviews"), False),
        (DEFAULT_ACCOUNT, Attributes("list", "", "pods", namespace="default"), False),
        (
            User("x", ("kubeadm:cluster-admins",)),
            Attributes("delete", "apps", "deployments", namespace="default"),
            True,
        ),
    ],
)
def test_who_may_what_from_the_start(registry: Registry, who: User, wanted: Attributes, allowed: bool) -> None:
    assert Authorizer(registry).authorize(who, wanted).allowed is allowed


@pytest.mark.parametrize(("role_name", "allowed"), [("cluster-admin", True), ("admin", False), ("edit", False)])
def test_a_debugger_in_a_running_pod_is_for_those_who_may_everything(role_name: str, allowed: bool) -> None:
    """As upstream: kubectl debug needs patch of pods/ephemeralcontainers, which none of the roles for users has."""
    plane = ControlPlane(ClusterRoleAggregationController)
    plane.settle()
    store(plane.registry, binding("b", f"ClusterRole/{role_name}", group("dev")))
    for plain, expected in (("ephemeralcontainers", allowed), ("exec", True)):
        verb = "patch" if plain == "ephemeralcontainers" else "create"
        wanted = Attributes(verb, "", "pods", plain, "default", "one")
        assert Authorizer(plane.registry).authorize(User("ann", ("dev",)), wanted).allowed is expected


@pytest.mark.parametrize(
    "api_group_and_plural", ["apps/daemonsets", "apps/statefulsets", "batch/cronjobs", "batch/jobs"]
)
def test_who_edits_may_write_workloads_and_who_views_may_read_them(
    registry: Registry, api_group_and_plural: str
) -> None:
    api_group, plural = api_group_and_plural.split("/")
    store(registry, binding("editors", "ClusterRole/system:aggregate-to-edit", user("ed")))
    store(registry, binding("viewers", "ClusterRole/system:aggregate-to-view", user("vi")))

    def may(name: str, verb: str, subresource: str = "") -> bool:
        wanted = Attributes(verb, api_group, plural, subresource, namespace="default")
        return Authorizer(registry).authorize(User(name, ()), wanted).allowed

    assert may("ed", "create") and may("ed", "deletecollection") and not may("ed", "update", "status")
    assert may("vi", "watch") and may("vi", "get", "status") and not may("vi", "patch")


def test_reconciling_again_writes_nothing(registry: Registry) -> None:
    before = registry.revision
    reconciliation.reconcile(registry)
    assert registry.revision == before


def test_what_was_taken_away_comes_back_and_what_was_added_stays(registry: Registry) -> None:
    extra = rule("get", "widgets", "example.com")
    registry.modify(CLUSTER_ROLES, "", "system:basic-user", lambda new: new.update(rules=[extra]))
    registry.modify(CLUSTER_ROLE_BINDINGS, "", "system:discovery", lambda new: new.update(subjects=[group("dev")]))
    registry.delete(CLUSTER_ROLES, "", "view")
    reconciliation.reconcile(registry)
    assert extra in registry.get(CLUSTER_ROLES, "", "system:basic-user")["rules"]
    asked = Attributes("create", "authentication.k8s.io", "selfsubjectreviews")
    assert Authorizer(registry).authorize(DEFAULT_ACCOUNT, asked).allowed
    subjects = registry.get(CLUSTER_ROLE_BINDINGS, "", "system:discovery")["subjects"]
    assert [subject["name"] for subject in subjects] == ["dev", AUTHENTICATED]
    assert registry.find(CLUSTER_ROLES, "", "view")


def test_a_role_that_opted_out_is_left_alone(registry: Registry) -> None:
    def shrink(new: JSON) -> None:
        new["metadata"]["annotations"][policy.AUTO_UPDATE] = "false"
        new["rules"] = []

    registry.modify(CLUSTER_ROLES, "", "system:basic-user", shrink)
    reconciliation.reconcile(registry)
    assert registry.get(CLUSTER_ROLES, "", "system:basic-user")["rules"] == []


def test_a_binding_to_another_role_is_made_anew(registry: Registry) -> None:
    registry.delete(CLUSTER_ROLE_BINDINGS, "", "system:discovery")
    wrong = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    registry.create(CLUSTER_ROLE_BINDINGS, {"metadata": {"name": "system:discovery"}, "roleRef": wrong})
    reconciliation.reconcile(registry)
    assert registry.get(CLUSTER_ROLE_BINDINGS, "", "system:discovery")["roleRef"]["name"] == "system:discovery"


def test_admin_holds_edit_and_edit_holds_view() -> None:
    cluster = ControlPlane(ClusterRoleAggregationController)
    cluster.settle()
    rules = {name_of(r): set(rules_of(r)) for r in cluster.registry.list(CLUSTER_ROLES)}
    assert rules["view"] == rules["system:aggregate-to-view"]
    assert rules["edit"] == rules["system:aggregate-to-edit"] | rules["view"]
    assert rules["admin"] == rules["system:aggregate-to-admin"] | rules["edit"]


def test_a_labelled_role_joins_and_leaves() -> None:
    cluster = ControlPlane(ClusterRoleAggregationController)
    widgets = rule("get list watch", "widgets", "example.com")
    mine = role("widgets", widgets)
    mine["metadata"]["labels"] = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    cluster.registry.create(CLUSTER_ROLES, mine)
    cluster.settle()
    for name in ("view", "edit", "admin"):
        assert widgets in cluster.registry.get(CLUSTER_ROLES, "", name)["rules"]
    before = cluster.registry.revision
    cluster.settle()
    assert cluster.registry.revision == before
    cluster.registry.modify(CLUSTER_ROLES, "", "widgets", lambda new: labels_of(new).clear())
    cluster.settle()
    for name in ("view", "edit", "admin"):
        assert widgets not in cluster.registry.get(CLUSTER_ROLES, "", name)["rules"]
