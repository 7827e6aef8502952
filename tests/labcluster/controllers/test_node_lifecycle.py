"""The taints that follow a node's state."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.resources import NODES
from labcluster.controllers.nodes.lifecycle import NodeLifecycleController
from tests.labcluster.control_plane import CONTROL_PLANE, WORKER, ControlPlane


@pytest.fixture
def plane() -> ControlPlane:
    plane = ControlPlane(NodeLifecycleController)
    plane.settle()
    return plane


def taints(plane: ControlPlane, name: str) -> list[tuple[str, str]]:
    plane.settle()
    node = plane.registry.get(NODES, "", name)
    return [(t["key"], t["effect"]) for t in node["spec"].get("taints") or ()]


def change(plane: ControlPlane, name: str, **spec: Any) -> None:
    plane.registry.modify(NODES, "", name, lambda new: new["spec"].update(spec))


def report(plane: ControlPlane, name: str, ready: str) -> None:
    conditions = [{"type": "Ready", "status": ready}]
    plane.registry.modify(
        NODES, "", name, lambda new: new["status"].update(conditions=conditions), subresource="status"
    )


def test_a_ready_node_has_no_taints_and_the_control_plane_keeps_its_own(plane: ControlPlane) -> None:
    assert taints(plane, WORKER) == []
    assert taints(plane, CONTROL_PLANE) == [("node-role.kubernetes.io/control-plane", "NoSchedule")]


def test_cordon_taints_and_uncordon_untaints(plane: ControlPlane) -> None:
    change(plane, CONTROL_PLANE, unschedulable=True)
    assert ("node.kubernetes.io/unschedulable", "NoSchedule") in taints(plane, CONTROL_PLANE)
    change(plane, CONTROL_PLANE, unschedulable=False)
    assert taints(plane, CONTROL_PLANE) == [("node-role.kubernetes.io/control-plane", "NoSchedule")]


@pytest.mark.parametrize(("ready", "key"), [("False", "not-ready"), ("Unknown", "unreachable")])
def test_a_node_that_is_not_ready_is_tainted_until_it_is(plane: ControlPlane, ready: str, key: str) -> None:
    report(plane, WORKER, ready)
    assert taints(plane, WORKER) == [(f"node.kubernetes.io/{key}", "NoSchedule")]
    report(plane, WORKER, "True")
    assert taints(plane, WORKER) == []


def test_a_node_that_has_not_reported_yet_is_not_ready(plane: ControlPlane) -> None:
    plane.registry.create(NODES, {"metadata": {"name": "new"}, "spec": {}})
    assert taints(plane, "new") == [("node.kubernetes.io/not-ready", "NoSchedule")]
