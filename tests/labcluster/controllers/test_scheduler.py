"""Where pods go, and what is said of those that go nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.conditions import condition
from labcluster.api.objects import JSON
from labcluster.api.resources import NODES, PODS
from labcluster.controllers.scheduling.scheduler import Scheduler
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.control_plane import CONTROL_PLANE, NAMESPACE, WORKER, WORKER2, ControlPlane

AFTER = "no new claims to deallocate, preemption: 0/3 nodes are available"


@pytest.fixture
def plane() -> ControlPlane:
    return ControlPlane(Scheduler)


def message(plane: ControlPlane, name: str) -> str:
    found = condition(plane.get_pod(name), "PodScheduled")
    assert found is not None and (found["status"], found["reason"]) == ("False", "Unschedulable")
    return str(found["message"])


def change_node(plane: ControlPlane, name: str, **spec: Any) -> None:
    plane.registry.modify(NODES, "", name, lambda new: new["spec"].update(spec))


def required(kind: str, label: str, key: str = "kubernetes.io/hostname") -> JSON:
    term = {"labelSelector": {"matchLabels": {"app": label}}, "topologyKey": key}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def node_affinity(*expressions: JSON) -> JSON:
    terms = [{"matchExpressions": list(expressions)}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def test_node_and_condition_come_in_one_write(plane: ControlPlane) -> None:
    plane.pod("a")
    plane.changes.clear()
    plane.settle()
    writes = [c.object for c in plane.changes if c.resource == PODS]
    assert len(writes) == 1 and writes[0]["spec"]["nodeName"] == WORKER
    assert condition(writes[0], "PodScheduled")["status"] == "True"  # type: ignore[index]
    assert plane.events("a", "Scheduled") == [f"Successfully assigned {NAMESPACE}/a to {WORKER}"]
    assert plane.get_pod("a")["metadata"]["generation"] == 1


def test_pods_of_one_owner_are_spread_and_the_control_plane_is_left_alone(plane: ControlPlane) -> None:
    owner = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1", "controller": True}]
    for name in "abcd":
        plane.pod(name, owners=owner)
    plane.settle()
    assert [plane.node_of(n) for n in "abcd"] == [WORKER, WORKER2, WORKER, WORKER2]


def test_the_highest_priority_goes_first_then_the_oldest(plane: ControlPlane) -> None:
    for name, priority in (("low", 0), ("later", 5), ("high", 10)):
        pod = plane.pod(name)
        if priority:
            plane.registry.get(PODS, NAMESPACE, name)["spec"]["priority"] = priority  # no priority classes yet
        assert pod is not None
    plane.settle()
    bound = [c.object["metadata"]["name"] for c in plane.changes if c.resource == PODS and c.type == "MODIFIED"]
    assert bound == ["high", "later", "low"]


def test_untolerated_taints_are_named_without_their_keys(plane: ControlPlane) -> None:
    for name in (WORKER, WORKER2):
        change_node(plane, name, taints=[{"key": "dedicated", "value": "db", "effect": "NoSchedule"}])
    plane.pod("a")
    plane.pod("b", tolerations=[{"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"}])
    plane.pod("c", tolerations=[{"operator": "Exists"}], nodeSelector={"kubernetes.io/hostname": CONTROL_PLANE})
    plane.settle()
    expected = f"0/3 nodes are available: 3 node(s) had untolerated taint(s). {AFTER}: "
    assert message(plane, "a") == expected + "3 Preemption is not helpful for scheduling."
    assert plane.events("a", "FailedScheduling") == [message(plane, "a")]
    assert (plane.node_of("b"), plane.node_of("c")) == (WORKER, CONTROL_PLANE)


def test_a_cordoned_node_is_unschedulable_until_it_is_uncordoned(plane: ControlPlane) -> None:
    for name in (WORKER, WORKER2):
        change_node(plane, name, unschedulable=True)
    plane.pod("a")
    plane.settle()
    assert "1 node(s) had untolerated taint(s), 2 node(s) were unschedulable. " in message(plane, "a")
    change_node(plane, WORKER2, unschedulable=False)
    plane.settle()
    assert plane.node_of("a") == WORKER2


def test_node_selector_and_affinity_must_match(plane: ControlPlane) -> None:
    plane.pod("a", nodeSelector={"disk": "ssd"})
    plane.settle()
    assert "1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node affinity/selector." in message(
        plane, "a"
    )
    plane.registry.modify(NODES, "", WORKER2, lambda new: new["metadata"]["labels"].update(disk="ssd", size="7"))
    for name, expression in {
        "in": {"key": "disk", "operator": "In", "values": ["ssd", "nvme"]},
        "exists": {"key": "disk", "operator": "Exists"},
        "gt": {"key": "size", "operator": "Gt", "values": ["6"]},
    }.items():
        plane.pod(name, affinity=node_affinity(expression))
    for name, expression in {
        "not-in": {"key": "disk", "operator": "NotIn", "values": ["ssd"]},
        "absent": {"key": "disk", "operator": "DoesNotExist"},
    }.items():
        plane.pod(name, affinity=node_affinity(expression))
    plane.pod("lt", affinity=node_affinity({"key": "size", "operator": "Lt", "values": ["6"]}))
    plane.settle()
    assert {plane.node_of(n) for n in ("a", "in", "exists", "gt")} == {WORKER2}
    assert {plane.node_of(n) for n in ("not-in", "absent")} == {WORKER}
    assert "2 node(s) didn't match Pod's node affinity/selector" in message(plane, "lt")


def test_preferred_node_affinity_decides_among_equals(plane: ControlPlane) -> None:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [WORKER2]}
    wish = {"weight": 1, "preference": {"matchExpressions": [expression]}}
    plane.pod("a", affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}})
    plane.settle()
    assert plane.node_of("a") == WORKER2


def test_a_request_beyond_a_whole_node_cannot_be_helped(plane: ControlPlane) -> None:
    plane.pod("a", resources={"requests": {"cpu": "100"}})
    plane.settle()
    assert message(plane, "a") == (
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. "
        f"{AFTER}: 3 Preemption is not helpful for scheduling."
    )


def test_a_full_node_takes_the_pod_once_another_has_gone(plane: ControlPlane) -> None:
    for name in "abc":
        plane.pod(name, resources={"requests": {"cpu": "1500m", "memory": "1Gi"}})
    plane.settle()
    assert {plane.node_of("a"), plane.node_of("b")} == {WORKER, WORKER2}
    assert message(plane, "c").endswith(
        "1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."
    )
    plane.registry.delete(PODS, NAMESPACE, "b", DeleteOptions(grace_seconds=0))
    plane.settle()
    assert plane.node_of("c") == WORKER2


def test_an_unschedulable_pod_is_not_tried_again_without_a_reason(plane: ControlPlane) -> None:
    plane.pod("a", nodeSelector={"disk": "ssd"})
    plane.settle()
    revision = plane.registry.revision
    plane.registry.modify(NODES, "", WORKER, lambda new: new["status"].update(nodeInfo={}), subresource="status")
    plane.pod("b")
    plane.settle()
    assert plane.events("a", "FailedScheduling") and plane.registry.revision > revision
    assert all(c.object["metadata"]["name"] != "a" for c in plane.changes if c.revision > revision)


def test_two_pods_cannot_have_the_same_host_port(plane: ControlPlane) -> None:
    for name in "abc":
        plane.pod(name, ports=[{"containerPort": 80, "hostPort": 8080}])
    plane.settle()
    assert {plane.node_of("a"), plane.node_of("b")} == {WORKER, WORKER2}
    assert "2 node(s) didn't have free ports for the requested pod ports" in message(plane, "c")


def test_anti_affinity_keeps_pods_apart_in_both_directions(plane: ControlPlane) -> None:
    for name in "abc":
        plane.pod(name, labels={"app": "db"}, affinity=required("podAntiAffinity", "db"))
    plane.pod("d", labels={"app": "db"})
    plane.settle()
    assert {plane.node_of("a"), plane.node_of("b")} == {WORKER, WORKER2}
    assert "2 node(s) didn't match pod anti-affinity rules" in message(plane, "c")
    assert "2 node(s) didn't satisfy existing pods anti-affinity rules" in message(plane, "d")


def test_affinity_brings_pods_together_and_lets_the_first_go_anywhere(plane: ControlPlane) -> None:
    plane.pod("lonely", affinity=required("podAffinity", "nobody"))
    for name in "ab":
        plane.pod(name, labels={"app": "db"}, affinity=required("podAffinity", "db"))
    plane.settle()
    assert plane.node_of("a") == plane.node_of("b") == WORKER
    assert "2 node(s) didn't match pod affinity rules" in message(plane, "lonely")
    plane.pod("nobody", labels={"app": "nobody"})
    plane.settle()
    assert plane.node_of("lonely") == plane.node_of("nobody")


def test_spread_constraints_bound_the_skew(plane: ControlPlane) -> None:
    constraint = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    for name in "abc":
        plane.pod(name, labels={"app": "web"}, topologySpreadConstraints=[constraint])
    plane.settle()
    # The control plane counts as a domain (taints are ignored by default), so the third pod has no place.
    assert {plane.node_of("a"), plane.node_of("b")} == {WORKER, WORKER2}
    assert "2 node(s) didn't match pod topology spread constraints" in message(plane, "c")


def test_gated_pods_and_those_of_another_scheduler_are_left_alone(plane: ControlPlane) -> None:
    plane.pod("gated", schedulingGates=[{"name": "example.com/wait"}])
    plane.pod("other", schedulerName="mine")
    plane.settle()
    assert plane.node_of("gated") == plane.node_of("other") == ""


def test_without_nodes_it_says_so_and_waits_for_one() -> None:
    plane = ControlPlane(Scheduler, nodes=False)
    plane.pod("a")
    plane.settle()
    assert message(plane, "a") == "no nodes available to schedule pods"
    plane.node("late")
    plane.settle()
    assert plane.node_of("a") == "late"


def test_a_missing_claim_is_named_and_found_when_it_comes(plane: ControlPlane) -> None:
    plane.pod("a", claim="nosuch")
    plane.settle()
    assert message(plane, "a") == '0/3 nodes are available: persistentvolumeclaim "nosuch" not found. not found'


def test_finished_pods_take_no_room(plane: ControlPlane) -> None:
    plane.pod("a", resources={"requests": {"cpu": "2"}}, nodeSelector={"kubernetes.io/hostname": WORKER})
    plane.pod("b", resources={"requests": {"cpu": "2"}}, nodeSelector={"kubernetes.io/hostname": WORKER})
    plane.settle()
    assert (plane.node_of("a"), plane.node_of("b")) == (WORKER, "")
    plane.registry.modify(
        PODS, NAMESPACE, "a", lambda new: new["status"].update(phase="Succeeded"), subresource="status"
    )
    plane.settle()
    assert plane.node_of("b") == WORKER
