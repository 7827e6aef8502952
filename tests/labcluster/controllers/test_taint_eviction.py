"""NoExecute taints drive pods away."""

from __future__ import annotations

from labcluster.api.conditions import condition
from labcluster.api.objects import is_terminating
from labcluster.api.resources import NODES
from labcluster.controllers.nodes.taint_eviction import TaintEvictionController
from tests.labcluster.control_plane import NAMESPACE, WORKER, ControlPlane

TAINT = {"key": "broken", "effect": "NoExecute"}


def plane_with(**tolerations: list[dict[str, object]]) -> ControlPlane:
    plane = ControlPlane(TaintEvictionController)
    for number, (name, tolerated) in enumerate(tolerations.items()):
        plane.pod(name, tolerations=tolerated)
        plane.run(name, f"10.244.1.{number + 2}")
    plane.settle()
    plane.registry.modify(NODES, "", WORKER, lambda new: new["spec"].update(taints=[TAINT]))
    plane.settle()
    return plane


async def test_a_pod_without_toleration_goes_gracefully() -> None:
    plane = plane_with(a=[])
    pod = plane.get_pod("a")
    assert is_terminating(pod) and pod["metadata"]["deletionGracePeriodSeconds"] == 30
    assert condition(pod, "DisruptionTarget")["reason"] == "DeletionByTaintManager"  # type: ignore[index]
    assert plane.events("a", "TaintManagerEviction") == [f"Marking for deletion Pod {NAMESPACE}/a"]


async def test_a_toleration_holds_for_ever_or_for_its_seconds() -> None:
    for_ever = {"key": "broken", "operator": "Exists"}
    plane = plane_with(a=[for_ever], b=[{**for_ever, "effect": "NoExecute", "tolerationSeconds": 60}])
    assert not is_terminating(plane.get_pod("a")) and not is_terminating(plane.get_pod("b"))
    assert f"{NAMESPACE}/a" not in plane.later and 59 < plane.later[f"{NAMESPACE}/b"] <= 60
