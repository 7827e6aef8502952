"""Single steps of a StatefulSet, with the writes only noted down."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, labels_of, name_of
from labcluster.controllers import history
from labcluster.controllers.statefulset.step import Step
from tests.labcluster.workload_objects import redis_template, stateful_set


class Notes:
    """A Control that notes what it is asked for; `refused` names the pods that cannot be created."""

    def __init__(self, refused: tuple[str, ...] = ()) -> None:
        self.writes: list[str] = []
        self.created: list[JSON] = []
        self._refused = refused

    def has_stale_claim(self, pod: JSON) -> bool:
        return False

    def create(self, pod: JSON) -> None:
        self.writes.append(f"+{name_of(pod)}")
        self.created.append(pod)
        if name_of(pod) in self._refused:
            raise ApiError(403, "Forbidden", "exceeded quota")

    def create_missing_claims(self, pod: JSON) -> None:
        pass

    def repair(self, pod: JSON) -> None:
        pass

    def repair_claims(self, pod: JSON) -> None:
        pass

    def delete(self, pod: JSON) -> None:
        self.writes.append(f"-{name_of(pod)}")


def a_set(replicas: int, **spec: Any) -> JSON:
    found = stateful_set(replicas, **spec)
    found["apiVersion"], found["kind"], found["metadata"]["uid"] = "apps/v1", "StatefulSet", "u1"
    return found


def revision(image: str) -> JSON:
    return history.new_revision(a_set(1), redis_template(image), 1, 0)


OLD, NEW = revision("redis:7"), revision("redis:7.2")


def pod(ordinal: int, made_from: JSON = OLD, *, ready: bool = True, terminating: bool = False) -> JSON:
    metadata: JSON = {
        "name": f"redis-{ordinal}",
        "uid": f"p{ordinal}",
        "labels": {"controller-revision-hash": name_of(made_from)},
    }
    if terminating:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Running", "conditions": [condition]}}


def step(stateful: JSON, pods: list[JSON], notes: Notes | None = None, update: JSON = OLD) -> Notes:
    notes = notes or Notes()
    Step(stateful, pods, OLD, update, notes).run()
    return notes


def test_one_create_in_a_step() -> None:
    assert step(a_set(3), []).writes == ["+redis-0"]
    assert step(a_set(3), [pod(0)]).writes == ["+redis-1"]


@pytest.mark.parametrize("first", [pod(0, ready=False), pod(0, terminating=True)], ids=["not ready", "terminating"])
def test_a_step_stops_at_a_pod_to_wait_for(first: JSON) -> None:
    assert step(a_set(3), [first]).writes == []


def test_a_gap_is_filled_before_anything_above_it() -> None:
    assert step(a_set(3), [pod(0), pod(2, ready=False)]).writes == ["+redis-1"]


def test_parallel_creates_in_batches_that_double_until_one_fails() -> None:
    notes = Notes(refused=("redis-1",))
    with pytest.raises(ApiError, match="exceeded quota"):
        step(a_set(10, podManagementPolicy="Parallel"), [], notes)
    assert notes.writes == ["+redis-0", "+redis-1", "+redis-2"]  # 1 + 2, then no more


def test_the_counters_are_right_after_an_error() -> None:
    current = Step(a_set(3), [pod(0)], OLD, OLD, Notes(refused=("redis-1",)))
    with pytest.raises(ApiError):
        current.run()
    assert current.counters["replicas"] == current.counters["readyReplicas"] == 1


def test_scaling_down_comes_after_the_gaps() -> None:
    assert step(a_set(2), [pod(0), pod(5)]).writes == ["+redis-1"]
    assert step(a_set(2), [pod(0), pod(1), pod(4), pod(5)]).writes == ["-redis-5"]


def test_a_terminating_condemned_pod_is_waited_for() -> None:
    assert step(a_set(1), [pod(0), pod(1), pod(2, terminating=True)]).writes == []


def test_an_update_waits_for_the_pod_above() -> None:
    pods = [pod(0), pod(1), pod(2, NEW, ready=False)]
    assert step(a_set(3), pods, update=NEW).writes == []
    assert step(a_set(3), [pod(0), pod(1), pod(2, NEW)], update=NEW).writes == ["-redis-1"]


def test_an_update_counts_the_deleted_pod_out_of_the_current_ones() -> None:
    current = Step(a_set(3), [pod(0), pod(1), pod(2)], OLD, NEW, Notes())
    current.run()
    assert (current.counters["currentReplicas"], current.counters["updatedReplicas"]) == (2, 0)


def test_max_unavailable_does_not_count_while_its_gate_is_off() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 2}}
    assert step(a_set(3, updateStrategy=strategy), [pod(0), pod(1), pod(2)], update=NEW).writes == ["-redis-2"]


@pytest.mark.parametrize(
    ("strategy", "current_replicas", "expected"),
    [
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, 0, OLD),  # counted from the start, which is 5
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}, 9, NEW),
        ({"type": "RollingUpdate"}, 1, OLD),  # no rollingUpdate: the pods that are still current count
        ({"type": "RollingUpdate"}, 0, NEW),
        ({"type": "OnDelete"}, 9, NEW),
    ],
)
def test_a_missing_pod_s_revision_depends_on_partition_or_current_replicas(
    strategy: JSON, current_replicas: int, expected: JSON
) -> None:
    stateful = a_set(1, updateStrategy=strategy, ordinals={"start": 5})
    stateful["status"] = {"currentReplicas": current_replicas}
    (made,) = step(stateful, [], update=NEW).created
    assert labels_of(made)["controller-revision-hash"] == name_of(expected)


def test_a_terminating_set_does_nothing() -> None:
    stateful = a_set(3)
    stateful["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    current = Step(stateful, [pod(0)], OLD, OLD, notes := Notes())
    current.run()
    assert notes.writes == [] and current.counters["replicas"] == 1
