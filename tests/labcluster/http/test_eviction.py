"""The eviction subresource, by requests and by kubectl drain."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.conditions import condition
from labcluster.api.objects import JSON
from labcluster.api.resources import NODES, POD_DISRUPTION_BUDGETS, PODS
from tests.labcluster.http_server import ApiServer, pod, run_pod


def web_pod(api: ApiServer, name: str, *, ready: bool = True) -> JSON:
    run_pod(api.registry, pod(name, labels={"app": "web"}))
    state = "True" if ready else "False"
    return api.registry.modify(
        PODS,
        "default",
        name,
        lambda new: new["status"].update(conditions=[{"type": "Ready", "status": state}]),
        subresource="status",
    )


def budget(api: ApiServer, name: str = "web", *, observed: int = 1, unhealthy: str = "", **status: int) -> JSON:
    spec: JSON = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    if unhealthy:
        spec["unhealthyPodEvictionPolicy"] = unhealthy
    metadata = {"name": name, "namespace": "default"}
    made = api.registry.create(POD_DISRUPTION_BUDGETS, {"metadata": metadata, "spec": spec})
    counters = {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1, **status}
    return api.registry.update(
        POD_DISRUPTION_BUDGETS,
        {**made, "status": {**counters, "observedGeneration": observed}},
        subresource="status",
    )


async def evict(api: ApiServer, name: str, query: str = "", **options: Any) -> tuple[int, Any]:
    eviction: JSON = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    if options:
        eviction["deleteOptions"] = options
    return await api.client("POST", f"/api/v1/namespaces/default/pods/{name}/eviction{query}", eviction)


def is_leaving(api: ApiServer, name: str) -> bool:
    found = api.registry.find(PODS, "default", name)
    return found is None or "deletionTimestamp" in found["metadata"]


async def test_without_a_budget_a_pod_is_marked_and_deleted(api: ApiServer) -> None:
    web_pod(api, "a")
    code, body = await evict(api, "a")
    assert (code, body["status"]) == (201, "Success")
    assert is_leaving(api, "a")
    target = condition(api.registry.get(PODS, "default", "a"), "DisruptionTarget")
    assert target is not None and target["reason"] == "EvictionByEvictionAPI"


async def test_a_budget_without_disruptions_refuses_with_429(api: ApiServer) -> None:
    web_pod(api, "a")
    budget(api)
    code, body = await evict(api, "a")
    assert (code, body["reason"]) == (429, "TooManyRequests")
    assert body["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert body["details"]["causes"] == [
        {
            "reason": "DisruptionBudget",
            "message": "The disruption budget web needs 1 healthy pods and has 1 currently",
        }
    ]
    assert not is_leaving(api, "a")


async def test_an_eviction_is_counted_until_the_controller_sees_it(api: ApiServer) -> None:
    web_pod(api, "a")
    web_pod(api, "b")
    budget(api, disruptionsAllowed=1)
    assert (await evict(api, "a"))[0] == 201
    status = api.registry.get(POD_DISRUPTION_BUDGETS, "default", "web")["status"]
    assert status["disruptionsAllowed"] == 0
    assert list(status["disruptedPods"]) == ["a"]
    assert (await evict(api, "b"))[0] == 429


async def test_a_budget_that_is_not_counted_yet_asks_to_come_back(api: ApiServer) -> None:
    web_pod(api, "a")
    budget(api, observed=0, disruptionsAllowed=1)
    code, body = await evict(api, "a")
    assert (code, body["details"]["retryAfterSeconds"]) == (429, 10)
    assert "is still being processed by the server" in body["details"]["causes"][0]["message"]


async def test_two_budgets_for_one_pod_are_an_error(api: ApiServer) -> None:
    web_pod(api, "a")
    budget(api, disruptionsAllowed=1)
    budget(api, "other", disruptionsAllowed=1)
    code, body = await evict(api, "a")
    assert code == 500
    assert "more than one PodDisruptionBudget, which the eviction subresource does not support" in body["message"]


@pytest.mark.parametrize(
    ("unhealthy", "healthy", "code"),
    [("", 1, 201), ("IfHealthyBudget", 1, 201), ("", 0, 429), ("AlwaysAllow", 0, 201)],
)
async def test_unhealthy_pods_may_go_by_policy(api: ApiServer, unhealthy: str, healthy: int, code: int) -> None:
    web_pod(api, "a", ready=False)
    budget(api, unhealthy=unhealthy, currentHealthy=healthy)
    assert (await evict(api, "a"))[0] == code


async def test_a_dry_run_changes_nothing(api: ApiServer) -> None:
    web_pod(api, "a")
    budget(api, disruptionsAllowed=1)
    before = api.registry.revision
    assert (await evict(api, "a", "?dryRun=All"))[0] == 201
    assert (await evict(api, "a", dryRun=["All"]))[0] == 201
    assert api.registry.revision == before


async def test_preconditions_hold_before_anything_is_counted(api: ApiServer) -> None:
    made = web_pod(api, "a")
    budget(api, disruptionsAllowed=1)
    before = api.registry.revision
    assert (await evict(api, "a", preconditions={"uid": "another"}))[0] == 409
    assert api.registry.revision == before
    version = made["metadata"]["resourceVersion"]
    assert (await evict(api, "a", preconditions={"resourceVersion": version}))[0] == 201


async def test_finished_pods_need_no_budget(api: ApiServer) -> None:
    web_pod(api, "a")
    api.registry.modify(PODS, "default", "a", lambda new: new["status"].update(phase="Succeeded"), subresource="status")
    budget(api)
    assert (await evict(api, "a"))[0] == 201


async def test_wrong_evictions_are_refused(api: ApiServer) -> None:
    web_pod(api, "a")
    path = "/api/v1/namespaces/default/pods/a/eviction"
    other = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "b"}}
    assert (await api.client("POST", path, other))[0] == 400
    assert (await api.client("POST", path, {"apiVersion": "v1", "kind": "Pod"}))[0] == 400
    assert (await api.client("GET", path))[0] == 405
    assert (await evict(api, "gone"))[0] == 404


async def test_kubectl_drains_and_uncordons(api: ApiServer) -> None:
    api.registry.create(NODES, {"metadata": {"name": "lab-worker"}})
    web_pod(api, "a")
    budget(api)
    arguments = ("drain", "lab-worker", "--ignore-daemonsets", "--delete-emptydir-data", "--force")
    code, out, err = await api.kubectl(*arguments, "--timeout=1s")
    assert code == 1
    assert 'error when evicting pods/"a" -n "default" (will retry after 5s)' in err
    assert "Cannot evict pod as it would violate the pod's disruption budget." in err
    assert api.registry.get(NODES, "", "lab-worker")["spec"]["unschedulable"] is True
    api.registry.delete(POD_DISRUPTION_BUDGETS, "default", "web")
    code, out, err = await api.kubectl(*arguments, "--grace-period=0")
    assert code == 0, err
    assert "pod/a evicted" in out
    code, out, err = await api.kubectl("uncordon", "lab-worker")
    assert out == "node/lab-worker uncordoned\n"
