"""Rolling updates of DaemonSets, step by step: maxUnavailable, maxSurge, OnDelete."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.conditions import is_pod_ready
from labcluster.api.objects import JSON, is_terminating
from labcluster.api.resources import DAEMON_SETS, NODES, PODS
from labcluster.controllers.daemonset.controller import DaemonSetController
from labcluster.controllers.daemonset.nodes import node_of
from labcluster.controllers.daemonset.update import plan
from tests.labcluster.fake_kubelet import FakeCluster
from tests.labcluster.workload_objects import daemon_set, web_template

NAMES = ("n1", "n2", "n3", "n4")
OLD, NEW = "nginx:1.27", "nginx:1.28"


def started(**rolling: Any) -> FakeCluster:
    """Four nodes whose pods are Ready."""
    cluster = FakeCluster(DaemonSetController)
    for name in NAMES:
        cluster.registry.create(NODES, {"metadata": {"name": name}, "spec": {}})
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling} if rolling else {"type": "OnDelete"}
    cluster.registry.create(DAEMON_SETS, daemon_set(updateStrategy=strategy))
    cluster.settle()
    assert len(pods(cluster)) == len(NAMES)
    return cluster


def update(cluster: FakeCluster, image: str = NEW) -> None:
    cluster.change(DAEMON_SETS, "web", lambda new: new["spec"].update(template=web_template(image)))


def image_of(pod: JSON) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def pods(cluster: FakeCluster, image: str = "") -> list[JSON]:
    """The pods that stay, of one image if given."""
    return [p for p in cluster.registry.list(PODS) if not is_terminating(p) and image in ("", image_of(p))]


def available(cluster: FakeCluster) -> set[str]:
    return {str(node_of(pod)) for pod in pods(cluster) if is_pod_ready(pod)}


def status(cluster: FakeCluster) -> JSON:
    found: JSON = cluster.get(DAEMON_SETS, "web")["status"]
    return found


def fewest_available(cluster: FakeCluster) -> tuple[int, int]:
    """Let it come to rest: the fewest nodes with a Ready pod on the way, and the most pods of all."""
    cluster.reconcile()
    fewest, most = len(available(cluster)), len(pods(cluster))
    while cluster.kubelet.step():
        cluster.reconcile()
        fewest, most = min(fewest, len(available(cluster))), max(most, len(pods(cluster)))
    return fewest, most


@pytest.mark.parametrize(("limit", "fewest"), [(1, 3), (2, 2), ("50%", 2), ("30%", 2), ("1%", 3), ("100%", 0)])
def test_no_more_than_max_unavailable_nodes_are_without(limit: int | str, fewest: int) -> None:
    cluster = started(maxUnavailable=limit)
    update(cluster)
    assert fewest_available(cluster) == (fewest, 4)
    assert len(pods(cluster, NEW)) == 4 and status(cluster)["updatedNumberScheduled"] == 4


def test_an_update_that_never_becomes_ready_stops_at_the_limit() -> None:
    cluster = started(maxUnavailable=1)
    cluster.kubelet.becomes_ready = lambda pod: image_of(pod) == OLD
    update(cluster)
    cluster.settle()
    assert len(pods(cluster, OLD)) == 3 and len(pods(cluster, NEW)) == 1
    assert (status(cluster)["numberUnavailable"], status(cluster)["updatedNumberScheduled"]) == (1, 1)
    update(cluster, OLD)
    cluster.settle()
    assert len(pods(cluster, OLD)) == 4 and status(cluster)["numberAvailable"] == 4


def test_pods_that_do_not_serve_are_replaced_first_and_all_at_once() -> None:
    cluster = started(maxUnavailable=1)
    broken = [pod for pod in pods(cluster) if node_of(pod) in ("n2", "n3")]
    cluster.kubelet.becomes_ready = lambda pod: image_of(pod) == NEW
    for pod in broken:
        cluster.kubelet.set_ready(pod, False)
    cluster.reconcile()
    update(cluster)
    cluster.reconcile()
    assert {node_of(p) for p in cluster.registry.list(PODS) if is_terminating(p)} == {"n2", "n3"}
    cluster.settle()
    assert len(pods(cluster, NEW)) == 4


@pytest.mark.parametrize(("surge", "most"), [(1, 5), (2, 6), ("25%", 5), ("100%", 8)])
def test_a_surge_keeps_every_node_served(surge: int | str, most: int) -> None:
    cluster = started(maxUnavailable=0, maxSurge=surge)
    update(cluster)
    assert fewest_available(cluster) == (4, most)
    assert len(pods(cluster, NEW)) == 4 and not pods(cluster, OLD)


def test_a_surge_that_never_becomes_ready_leaves_the_old_pods() -> None:
    cluster = started(maxUnavailable=0, maxSurge=1)
    cluster.kubelet.becomes_ready = lambda pod: image_of(pod) == OLD
    update(cluster)
    cluster.settle()
    assert len(pods(cluster, OLD)) == 4 and len(pods(cluster, NEW)) == 1
    assert len(available(cluster)) == 4


def test_a_surge_replaces_a_node_s_broken_pod_without_waiting_for_it() -> None:
    cluster = started(maxUnavailable=0, maxSurge=1)
    cluster.kubelet.becomes_ready = lambda pod: image_of(pod) == NEW
    (broken,) = (pod for pod in pods(cluster) if node_of(pod) == "n4")
    cluster.kubelet.set_ready(broken, False)
    cluster.reconcile()
    update(cluster)
    cluster.reconcile()
    assert len(pods(cluster, NEW)) == 2, "the limit is for the others"
    assert "n4" in {node_of(pod) for pod in pods(cluster, NEW)}
    cluster.settle()
    assert len(pods(cluster, NEW)) == 4 and not pods(cluster, OLD)


def test_with_a_surge_pods_that_leave_a_node_wait_for_those_elsewhere() -> None:
    cluster = started(maxUnavailable=0, maxSurge=1)
    template = web_template(NEW)
    template["spec"]["tolerations"] = [{"key": "moved", "operator": "Exists"}]
    for name in ("n1", "n2"):
        taint = {"key": "special", "effect": "NoSchedule"}
        cluster.registry.modify(NODES, "", name, lambda new, taint=taint: new["spec"].update(taints=[taint]))
    cluster.change(DAEMON_SETS, "web", lambda new: new["spec"].update(template=template))
    cluster.settle()
    assert available(cluster) == {"n3", "n4"} and len(pods(cluster, NEW)) == 2


def test_on_delete_a_pod_is_replaced_when_somebody_deletes_it() -> None:
    cluster = started()
    update(cluster)
    cluster.settle()
    assert len(pods(cluster, OLD)) == 4 and status(cluster).get("updatedNumberScheduled") is None
    cluster.registry.delete(PODS, "default", pods(cluster)[0]["metadata"]["name"])
    cluster.settle()
    assert len(pods(cluster, OLD)) == 3 and len(pods(cluster, NEW)) == 1


def test_both_limits_at_zero_which_the_api_refuses_mean_one_unavailable() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}
    there = {name: [{"metadata": {"name": f"web-{name}"}}] for name in NAMES}
    found = plan(daemon_set(updateStrategy=strategy), there, dict.fromkeys(NAMES, True), "new", lambda pod: True)
    assert found.delete == there["n1"] and not found.create
