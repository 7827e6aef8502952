"""Node objects as the kubelet registers them."""

from __future__ import annotations

from pathlib import Path

from labcluster.api.json_values import clone
from labcluster.api.resources import NODES
from labcluster.node.node_object import capacity, register
from labcluster.settings import CONTROL_PLANE
from labcluster.settings import NODES as NODE_SETTINGS
from tests.labcluster.node_cluster import new_registry


def test_a_worker_has_labels_addresses_and_amounts(tmp_path: Path) -> None:
    registry = new_registry()
    node = register(registry, NODE_SETTINGS[1], capacity(tmp_path), [])
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "lab-worker"
    assert node["spec"]["podCIDR"] == "10.244.1.0/24" and "taints" not in node["spec"]
    status = node["status"]
    assert status["addresses"][0] == {"type": "InternalIP", "address": "172.18.0.3"}
    assert status["allocatable"]["pods"] == "110" and status["capacity"]["memory"].endswith("Ki")
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "MemoryPressure": "False",
        "DiskPressure": "False",
        "PIDPressure": "False",
        "Ready": "True",
    }
    assert status["nodeInfo"]["kubeletVersion"] == "v1.36.2"


def test_the_control_plane_is_tainted_when_it_registers_and_only_then(tmp_path: Path) -> None:
    registry = new_registry()
    node = register(registry, CONTROL_PLANE, capacity(tmp_path), [])
    taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    assert node["spec"]["taints"] == [taint]
    without = clone(node)
    del without["spec"]["taints"]
    registry.update(NODES, without)
    assert "taints" not in register(registry, CONTROL_PLANE, capacity(tmp_path), [])["spec"]


def test_a_report_keeps_the_transition_times(tmp_path: Path) -> None:
    registry = new_registry()
    register(registry, CONTROL_PLANE, capacity(tmp_path), [])
    old = "2020-01-01T00:00:00Z"

    def age(node: dict) -> None:  # type: ignore[type-arg]
        for entry in node["status"]["conditions"]:
            entry["lastTransitionTime"] = old

    registry.modify(NODES, "", CONTROL_PLANE.name, age, subresource="status")
    node = register(registry, CONTROL_PLANE, capacity(tmp_path), [])
    assert {c["lastTransitionTime"] for c in node["status"]["conditions"]} == {old}
    assert {c["lastHeartbeatTime"] for c in node["status"]["conditions"]} != {old}
