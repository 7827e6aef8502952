"""PodDisruptionBudgets: what is counted, and what the API server refuses."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from labcluster.api.conditions import condition
from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, name_of
from labcluster.api.resources import DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS, STATEFUL_SETS, Resource
from labcluster.controllers.deployment.controller import DeploymentController
from labcluster.controllers.disruption import DisruptionController
from labcluster.controllers.replicaset import ReplicaSetController
from tests.labcluster.control_plane import NAMESPACE, ControlPlane
from tests.labcluster.custom_objects import NAME as CRON_TABS
from tests.labcluster.custom_objects import cron_tab, definition, establish, version
from tests.labcluster.workload_objects import deployment, replica_set, stateful_set


def budget(plane: ControlPlane, selector: Any = None, **spec: Any) -> JSON:
    wanted = {"selector": selector or {"matchLabels": {"app": "web"}}, **spec}
    metadata = {"name": "web", "namespace": NAMESPACE}
    return plane.registry.create(POD_DISRUPTION_BUDGETS, {"metadata": metadata, "spec": wanted})


def status(plane: ControlPlane) -> JSON:
    plane.settle()
    return plane.registry.get(POD_DISRUPTION_BUDGETS, NAMESPACE, "web")["status"]


def counts(plane: ControlPlane) -> tuple[int, int, int, int]:
    """expected, desired, healthy, allowed"""
    now = status(plane)
    return now["expectedPods"], now["desiredHealthy"], now["currentHealthy"], now["disruptionsAllowed"]


def workload(plane: ControlPlane, resource: Resource, obj: JSON, healthy: int) -> None:
    obj["metadata"]["namespace"] = NAMESPACE
    plane.registry.create(resource, obj)
    plane.settle()
    for number, pod in enumerate(plane.registry.list(PODS, NAMESPACE)[:healthy]):
        plane.run(name_of(pod), f"10.244.1.{number + 2}")


def web(healthy: int = 4) -> ControlPlane:
    plane = ControlPlane(ReplicaSetController, DisruptionController)
    workload(plane, REPLICA_SETS, replica_set(4), healthy)
    return plane


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 3}, (4, 3, 4, 1)),
        ({"minAvailable": 5}, (4, 5, 4, 0)),
        ({"minAvailable": "30%"}, (4, 2, 4, 2)),  # 1.2 is rounded up
        ({"maxUnavailable": 1}, (4, 3, 4, 1)),
        ({"maxUnavailable": "30%"}, (4, 2, 4, 2)),
        ({"maxUnavailable": 9}, (4, 0, 4, 4)),
        ({}, (0, 0, 4, 0)),
    ],
)
async def test_what_a_budget_allows(spec: JSON, expected: tuple[int, ...]) -> None:
    plane = web()
    budget(plane, **spec)
    assert counts(plane) == expected


async def test_pods_that_are_not_ready_do_not_count_as_healthy() -> None:
    plane = web(healthy=2)
    budget(plane, minAvailable=2)
    assert counts(plane) == (4, 2, 2, 0)
    allowed = condition({"status": status(plane)}, "DisruptionAllowed")
    assert allowed is not None
    assert (allowed["status"], allowed["reason"], allowed["message"]) == ("False", "InsufficientPods", "")


async def test_the_scale_of_a_deployment_is_found_through_its_replica_set() -> None:
    plane = ControlPlane(DeploymentController, ReplicaSetController, DisruptionController)
    workload(plane, DEPLOYMENTS, deployment(3), 3)
    budget(plane, maxUnavailable=1)
    assert counts(plane) == (3, 2, 3, 1)
    plane.registry.modify(DEPLOYMENTS, NAMESPACE, "web", lambda new: new["spec"].update(replicas=5))
    assert counts(plane)[:3] == (5, 4, 3)


async def test_the_scale_of_a_stateful_set_counts_and_not_its_pods() -> None:
    plane = ControlPlane(DisruptionController)
    made = stateful_set(3)
    made["metadata"]["namespace"] = NAMESPACE
    owner = plane.registry.create(STATEFUL_SETS, made)
    reference = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "redis", "uid": owner["metadata"]["uid"]}
    plane.pod("redis-0", labels={"app": "web"}, owners=[{**reference, "controller": True}])
    plane.run("redis-0", "10.244.1.2")
    budget(plane, maxUnavailable=1)
    assert counts(plane) == (3, 2, 1, 0)


async def test_pods_without_a_controller_are_named_in_an_event() -> None:
    plane = ControlPlane(DisruptionController)
    plane.pod("alone", labels={"app": "web"})
    plane.run("alone", "10.244.1.2")
    budget(plane, maxUnavailable=1)
    assert counts(plane) == (0, 0, 1, 0)
    assert "were found to be unmanaged" in plane.events("web", "UnmanagedPods")[0]


@pytest.mark.parametrize(
    ("api_version", "kind", "message"),
    [
        ("example.com/v1", "Thing", 'no matches for kind "Thing" in version "example.com/v1"'),
        ("batch/v1", "Job", "jobs.batch does not implement the scale subresource"),
        ("apps/v1", "StatefulSet", 'found no controllers for pod "a"'),  # it is gone
    ],
)
async def test_an_owner_without_a_scale_fails_the_sync_and_allows_nothing(
    api_version: str, kind: str, message: str
) -> None:
    plane = ControlPlane(DisruptionController)
    owner = {"apiVersion": api_version, "kind": kind, "name": "x", "uid": "1", "controller": True}
    plane.pod("a", labels={"app": "web"}, owners=[owner])
    budget(plane, maxUnavailable=1)
    failed = condition({"status": status(plane)}, "DisruptionAllowed")
    assert failed is not None
    assert (failed["reason"], failed["message"]) == ("SyncFailed", message)


def crontab_with_pods(plane: ControlPlane, crd: JSON, number: int, **spec: Any) -> None:
    resource = establish(plane.registry, crd)
    made = plane.registry.create(resource, cron_tab("tab", NAMESPACE, **spec))
    owner = {"apiVersion": resource.api_version, "kind": "CronTab", "name": "tab", "uid": made["metadata"]["uid"]}
    for n in range(number):
        plane.pod(f"tab-{n}", labels={"app": "web"}, owners=[{**owner, "controller": True}])
        plane.run(f"tab-{n}", f"10.244.1.{n + 2}")


async def test_pods_of_a_custom_resource_count_by_its_scale() -> None:
    plane = ControlPlane(DisruptionController)
    crontab_with_pods(plane, definition(), 2, replicas=4)
    budget(plane, maxUnavailable="50%")
    assert counts(plane) == (4, 2, 2, 0)
    plane.registry.modify(
        plane.registry.served.named(CRON_TABS), NAMESPACE, "tab", lambda new: new["spec"].update(replicas=2)
    )
    assert counts(plane) == (4, 2, 2, 0)  # not followed
    plane.registry.delete(PODS, NAMESPACE, "tab-1")
    assert counts(plane) == (2, 1, 1, 0)


async def test_pods_of_a_custom_resource_without_scale_are_not_counted() -> None:
    plane = ControlPlane(DisruptionController)
    crontab_with_pods(plane, definition(version()), 1)
    budget(plane, maxUnavailable=1)
    failed = condition({"status": status(plane)}, "DisruptionAllowed")
    assert failed is not None and failed["message"] == f"{CRON_TABS} does not implement the scale subresource"


async def test_a_replica_set_whose_deployment_is_gone_counts_itself() -> None:
    plane = ControlPlane(DeploymentController, ReplicaSetController, DisruptionController)
    workload(plane, DEPLOYMENTS, deployment(3), 3)
    plane.registry.delete(DEPLOYMENTS, NAMESPACE, "web")  # nobody collects what it leaves
    budget(plane, maxUnavailable=1)
    assert counts(plane) == (3, 2, 3, 1)


@pytest.mark.parametrize(("selector", "number"), [({}, 1), ({"matchLabels": {"app": "other"}}, 0)])
async def test_the_empty_selector_is_all_of_the_namespace(selector: JSON, number: int) -> None:
    plane = ControlPlane(DisruptionController)
    plane.pod("a", labels={"app": "web"})
    metadata = {"name": "web", "namespace": NAMESPACE}
    plane.registry.create(
        POD_DISRUPTION_BUDGETS, {"metadata": metadata, "spec": {"selector": selector, "minAvailable": 1}}
    )
    assert counts(plane)[0] == number
    assert bool(plane.events("web", "NoPods")) == (number == 0)


@pytest.mark.parametrize(("minutes", "healthy"), [(1, 3), (3, 4)])
async def test_a_granted_eviction_lapses_after_two_minutes(minutes: int, healthy: int) -> None:
    plane = web()
    budget(plane, minAvailable=1)
    plane.settle()
    pod = plane.names(PODS)[0]
    since = (dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    plane.registry.modify(
        POD_DISRUPTION_BUDGETS,
        NAMESPACE,
        "web",
        lambda new: new["status"].update(disruptedPods={pod: since}),
        subresource="status",
    )
    assert status(plane)["currentHealthy"] == healthy
    assert bool(plane.events(pod, "NotDeleted")) == (minutes == 3)
    assert (0 < plane.later.get(f"{NAMESPACE}/web", 0) <= 60) == (minutes == 1)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"minAvailable": 1, "maxUnavailable": 1}, "minAvailable and maxUnavailable cannot be both set"),
        ({"minAvailable": -1}, "spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"),
        ({"maxUnavailable": "150%"}, "must not be greater than 100%"),
        ({"unhealthyPodEvictionPolicy": "Never"}, 'supported values: "AlwaysAllow", "IfHealthyBudget"'),
    ],
)
def test_refused_budgets(spec: JSON, message: str) -> None:
    with pytest.raises(ApiError, match="is invalid") as refused:
        budget(ControlPlane(), **spec)
    assert refused.value.code == 422
    assert message in refused.value.message


def test_a_row_of_the_table() -> None:
    plane = ControlPlane()
    made = budget(plane, maxUnavailable="50%")
    assert plane.registry.kind(POD_DISRUPTION_BUDGETS).cells(made)[:4] == ["web", "N/A", "50%", 0]
