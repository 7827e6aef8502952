"""Phases and conditions from the states of containers."""

from __future__ import annotations

import pytest

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.node.pods.status import ContainerState, initial_states, phase, pod_status
from tests.labcluster.node_cluster import container, pod_object

RUN: JSON = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
WAIT: JSON = {"waiting": {"reason": "ContainerCreating"}}


def ended(code: int) -> JSON:
    return {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}


def states(pod: JSON, **by_name: JSON) -> dict[str, ContainerState]:
    found = initial_states(pod)
    for name, state in by_name.items():
        found[name].state = clone(state)
        found[name].started = "running" in state
    return found


@pytest.mark.parametrize(
    ("policy", "a", "b", "expected"),
    [
        ("Always", WAIT, WAIT, "Pending"),
        ("Always", RUN, WAIT, "Pending"),
        ("Always", RUN, RUN, "Running"),
        ("Always", ended(0), ended(1), "Running"),
        ("OnFailure", ended(0), ended(1), "Running"),
        ("OnFailure", ended(0), ended(0), "Succeeded"),
        ("Never", ended(0), ended(1), "Failed"),
        ("Never", ended(0), RUN, "Running"),
        ("Never", ended(0), ended(0), "Succeeded"),
    ],
)
def test_the_phase_follows_the_containers_and_the_policy(policy: str, a: JSON, b: JSON, expected: str) -> None:
    pod = pod_object(containers=[container("a"), container("b")], restartPolicy=policy)
    assert phase(pod, states(pod, a=a, b=b)) == expected


def test_a_container_in_crash_loop_back_off_keeps_the_pod_running() -> None:
    pod = pod_object()
    found = states(pod, c=ended(1))
    found["c"].set_waiting("CrashLoopBackOff", "back-off 10s")
    assert phase(pod, found) == "Running"
    assert found["c"].last_state == ended(1)


@pytest.mark.parametrize(("code", "expected"), [(0, "Succeeded"), (143, "Failed")])
def test_a_deleted_pod_ends_in_a_final_phase_whatever_its_policy(code: int, expected: str) -> None:
    pod = pod_object()
    assert phase(pod, states(pod, c=ended(code)), terminal=True) == expected


def test_a_deleted_pod_that_never_started_has_failed() -> None:
    pod = pod_object()
    assert phase(pod, states(pod), terminal=True) == "Failed"


@pytest.mark.parametrize(("policy", "expected"), [("Never", "Failed"), ("Always", "Pending")])
def test_a_failed_init_container_fails_a_pod_that_restarts_nothing(policy: str, expected: str) -> None:
    pod = pod_object(initContainers=[container("i")], restartPolicy=policy)
    assert phase(pod, states(pod, i=ended(1))) == expected


def test_a_sidecar_that_has_not_started_keeps_the_pod_pending() -> None:
    pod = pod_object(initContainers=[container("side", restartPolicy="Always")])
    found = states(pod, c=RUN, side=RUN)
    assert phase(pod, found) == "Running"
    found["side"].started = False
    assert phase(pod, found) == "Pending"


def status(pod: JSON, found: dict[str, ContainerState], **more: bool) -> JSON:
    time = "2026-01-01T00:00:00Z"
    ready = more.pop("sandbox_ready", True)
    return pod_status(
        pod, found, host_ip="172.18.0.3", pod_ip="10.244.1.2", sandbox_ready=ready, start_time=time, **more
    )


def conditions(of: JSON) -> dict[str, tuple[str, str, str]]:
    return {c["type"]: (c["status"], c.get("reason", ""), c.get("message", "")) for c in of["conditions"]}


def test_unready_and_incomplete_containers_are_named() -> None:
    pod = pod_object(initContainers=[container("i")])
    found = conditions(status(pod, states(pod)))
    assert found["Initialized"] == (
        "False",
        "ContainersNotInitialized",
        "containers with incomplete status: [i]",
    )
    assert found["Ready"] == ("False", "ContainersNotReady", "containers with unready status: [c]")
    assert found["PodScheduled"][0] == "True"


def test_a_transition_time_moves_with_the_status_only() -> None:
    pod = pod_object()
    old = "2020-01-01T00:00:00Z"
    pod["status"] = {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": old},
            {"type": "Ready", "status": "False", "lastTransitionTime": old},
            {"type": "example.com/gate", "status": "True", "lastTransitionTime": old},
        ],
    }
    found = states(pod, c=RUN)
    found["c"].ready = True
    times = {c["type"]: c["lastTransitionTime"] for c in status(pod, found)["conditions"]}
    assert times["PodScheduled"] == times["example.com/gate"] == old
    assert times["Ready"] != old


def test_readiness_gates_hold_back_ready_but_not_containers_ready() -> None:
    pod = pod_object(readinessGates=[{"conditionType": "example.com/gate"}])
    found = states(pod, c=RUN)
    found["c"].ready = True
    held = conditions(status(pod, found))
    assert held["ContainersReady"][0] == "True"
    why = 'corresponding condition of pod readiness gate "example.com/gate" does not exist.'
    assert held["Ready"] == ("False", "ReadinessGatesNotReady", why)


def test_a_finished_pod_stays_finished() -> None:
    pod = pod_object(restartPolicy="Never")
    pod["status"] = {"phase": "Succeeded"}
    assert status(pod, states(pod, c=ended(1)))["phase"] == "Succeeded"


def test_what_ran_when_the_node_stopped_counts_as_killed() -> None:
    pod = pod_object()
    first = states(pod, c=RUN)
    pod["status"] = status(pod, first)
    again = initial_states(pod)["c"]
    assert again.state["terminated"]["exitCode"] == 137 and again.state["terminated"]["reason"] == "Error"
    assert again.state["terminated"]["startedAt"] == "2026-01-01T00:00:00Z"
