"""Pods that no kubelet will remove."""

from __future__ import annotations

from control_plane import NAMESPACE, WORKER, ControlPlane

from labsupport.embedded.controllers.pod_gc import PodGarbageCollector
from labsupport.embedded.objects import condition
from labsupport.embedded.resources import NODES, PODS


def plane_with(quarantine: float) -> ControlPlane:
    plane = ControlPlane(lambda registry: PodGarbageCollector(registry, quarantine))
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


async def test_a_terminating_pod_without_a_node_is_removed() -> None:
    plane = plane_with(40.0)
    plane.pod("c")
    plane.registry.modify(PODS, NAMESPACE, "c", lambda new: new["metadata"].update(finalizers=["example.com/hold"]))
    plane.registry.delete(PODS, NAMESPACE, "c")
    plane.settle()
    plane.registry.modify(PODS, NAMESPACE, "c", lambda new: new["metadata"].pop("finalizers"))
    plane.settle()
    assert plane.names(PODS) == ["a", "b"]
