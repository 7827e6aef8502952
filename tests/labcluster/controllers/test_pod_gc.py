"""Pods that no kubelet will remove."""

from __future__ import annotations

from labcluster.api.conditions import condition
from labcluster.api.resources import NODES, PODS
from labcluster.controllers.nodes.pod_gc import PodGarbageCollector
from tests.labcluster.control_plane import NAMESPACE, WORKER, ControlPlane


def plane_with(quarantine: float, period: float = 0.0) -> ControlPlane:
    plane = ControlPlane(lambda registry: PodGarbageCollector(registry, quarantine, period))
    for name, ip in (("a", "10.244.1.2"), ("b", "10.244.1.3")):
        plane.pod(name)
        plane.run(name, ip)
    plane.settle()
    return plane


async def test_pods_of_a_node_that_is_gone_fail_and_go() -> None:
    plane = plane_with(0.0)
    plane.registry.delete(NODES, "", WORKER)
    plane.settle()
    assert plane.names(PODS) == []
    last = next(c.object for c in plane.changes if c.type == "DELETED" and c.resource == PODS)
    disruption = condition(last, "DisruptionTarget")
    assert last["status"]["phase"] == "Failed"
    assert disruption is not None and disruption["reason"] == "DeletionByPodGC"


async def test_a_node_may_be_missing_for_a_while() -> None:
    plane = plane_with(40.0)
    plane.registry.delete(NODES, "", WORKER)
    plane.settle()
    assert plane.names(PODS) == ["a", "b"]
    assert 0 < plane.later[f"{NAMESPACE}/a"] <= 40.0


def hold(plane: ControlPlane, name: str) -> None:
    plane.registry.modify(PODS, NAMESPACE, name, lambda new: new["metadata"].update(finalizers=["example.com/hold"]))


def let_go(plane: ControlPlane, name: str) -> None:
    plane.registry.modify(PODS, NAMESPACE, name, lambda new: new["metadata"].pop("finalizers"))
    plane.settle()


async def test_a_terminating_pod_without_a_node_is_removed() -> None:
    plane = plane_with(40.0)
    plane.pod("c")
    hold(plane, "c")
    plane.registry.delete(PODS, NAMESPACE, "c")
    plane.settle()
    let_go(plane, "c")
    assert plane.names(PODS) == ["a", "b"]


async def test_a_held_pod_without_a_node_fails_before_it_goes() -> None:
    plane = plane_with(40.0)
    plane.pod("c")
    hold(plane, "c")
    plane.registry.delete(PODS, NAMESPACE, "c")
    plane.settle()
    held = plane.registry.get(PODS, NAMESPACE, "c")
    assert held["status"]["phase"] == "Failed"
    assert condition(held, "DisruptionTarget") is None
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0


async def test_a_held_pod_without_a_node_stays_as_it_was_for_a_while() -> None:
    plane = plane_with(40.0, 20.0)
    plane.pod("c")
    hold(plane, "c")
    plane.registry.delete(PODS, NAMESPACE, "c")
    plane.settle()
    assert plane.registry.get(PODS, NAMESPACE, "c")["status"]["phase"] == "Pending"
    assert 18 < plane.later[f"{NAMESPACE}/c"] <= 20
    let_go(plane, "c")
    assert plane.names(PODS) == ["a", "b"]


async def test_a_held_pod_of_a_node_that_is_gone_fails_before_it_goes() -> None:
    plane = plane_with(0.0)
    hold(plane, "a")
    plane.registry.delete(NODES, "", WORKER)
    plane.settle()
    held = plane.registry.get(PODS, NAMESPACE, "a")
    disruption = condition(held, "DisruptionTarget")
    assert plane.names(PODS) == ["a"] and held["status"]["phase"] == "Failed"
    assert disruption is not None
    assert (disruption["status"], disruption["reason"]) == ("True", "DeletionByPodGC")
    assert disruption["message"] == "PodGC: node no longer exists"
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    let_go(plane, "a")
    assert plane.names(PODS) == []


async def test_a_pod_that_had_succeeded_stays_so() -> None:
    plane = plane_with(0.0)
    plane.registry.modify(
        PODS, NAMESPACE, "a", lambda new: new["status"].update(phase="Succeeded"), subresource="status"
    )
    hold(plane, "a")
    plane.registry.delete(NODES, "", WORKER)
    plane.settle()
    held = plane.registry.get(PODS, NAMESPACE, "a")
    assert held["status"]["phase"] == "Succeeded" and condition(held, "DisruptionTarget") is None
