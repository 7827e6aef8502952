"""What the states of `lab.wait` mean."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.cluster.states import reached


def stateful_set(*, partition: int = 0, generation: int = 2, **status: Any) -> dict[str, Any]:
    return {
        "kind": "StatefulSet",
        "metadata": {"generation": generation},
        "spec": {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}},
        "status": {"observedGeneration": 2, "replicas": 3, "readyReplicas": 3, **status},
    }


def test_a_rollout_is_complete_when_all_have_the_new_revision() -> None:
    complete = reached("StatefulSet", "Complete")
    assert complete(stateful_set(updatedReplicas=3, currentRevision="new", updateRevision="new"))
    assert not complete(stateful_set(updatedReplicas=3, currentRevision="old", updateRevision="new"))


@pytest.mark.parametrize(("updated", "expected"), [(0, False), (1, True), (2, True)])
def test_a_rollout_with_a_partition_is_complete_when_all_above_it_are_new(updated: int, expected: bool) -> None:
    found = stateful_set(partition=2, updatedReplicas=updated, currentRevision="old", updateRevision="new")
    assert reached("StatefulSet", "Complete")(found) is expected


def test_a_partition_above_all_ordinals_leaves_nothing_to_roll_out() -> None:
    found = stateful_set(partition=5, updatedReplicas=0, currentRevision="old", updateRevision="new")
    assert reached("StatefulSet", "Complete")(found)


def test_a_change_is_observed_when_the_status_is_about_it() -> None:
    observed = reached("StatefulSet", "Observed")
    assert observed(stateful_set()) and not observed(stateful_set(generation=3))


def test_a_budget_allows_what_its_status_says_about_this_spec() -> None:
    budget = {"metadata": {"generation": 1}, "status": {"observedGeneration": 1, "disruptionsAllowed": 1}}
    assert reached("PodDisruptionBudget", "1 allowed")(budget)
    assert not reached("PodDisruptionBudget", "0 allowed")(budget)
    assert not reached("PodDisruptionBudget", "0 allowed")({"metadata": {"generation": 1}})


def test_only_a_budget_allows_disruptions() -> None:
    with pytest.raises(ValueError, match="a Pod is never '1 allowed'"):
        reached("Pod", "1 allowed")


@pytest.mark.parametrize(("status", "expected"), [("False", True), ("True", False)])
def test_a_pod_that_no_node_takes_is_unschedulable(status: str, expected: bool) -> None:
    pod = {"kind": "Pod", "status": {"conditions": [{"type": "PodScheduled", "status": status}]}}
    assert reached("Pod", "Unschedulable")(pod) is expected
    assert not reached("Pod", "Unschedulable")({"kind": "Pod", "status": {}})
