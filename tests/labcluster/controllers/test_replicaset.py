"""ReplicaSets: numbers, batches, the order of deletion, status, adoption, as upstream's controller does it."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, name_of
from labcluster.api.owners import controller_of
from labcluster.api.resources import NAMESPACES, PODS, REPLICA_SETS
from labcluster.controllers.replicaset import ReplicaSetController, rank_for_deletion
from labcluster.controllers.workload_pods import slow_start_batch
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.fake_kubelet import FakeCluster
from tests.labcluster.workload_objects import replica_set


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(ReplicaSetController)


def started(cluster: FakeCluster, replicas: int = 3, **spec: Any) -> FakeCluster:
    cluster.registry.create(REPLICA_SETS, replica_set(replicas, **spec))
    cluster.settle()
    cluster.changes.clear()
    return cluster


def edit(cluster: FakeCluster, **spec: Any) -> None:
    cluster.change(REPLICA_SETS, "web", lambda rs: rs["spec"].update(spec))


def status(cluster: FakeCluster) -> JSON:
    found: JSON = cluster.get(REPLICA_SETS, "web")["status"]
    return found


def test_pods_have_generated_names_the_template_s_labels_and_a_controller(cluster: FakeCluster) -> None:
    started(cluster, 2)
    for pod in cluster.registry.list(PODS):
        assert name_of(pod).startswith("web-") and len(name_of(pod)) == 9
        assert pod["metadata"]["generateName"] == "web-" and pod["metadata"]["labels"] == {"app": "web"}
        reference = controller_of(pod)
        assert reference is not None and (reference["kind"], reference["name"]) == ("ReplicaSet", "web")


def test_the_status_is_that_of_the_pods_before_the_sync(cluster: FakeCluster) -> None:
    sets = cluster.follow(REPLICA_SETS)
    cluster.registry.create(REPLICA_SETS, replica_set(2))
    cluster.settle()
    keys = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")
    assert [tuple(c.object["status"].get(k) for k in keys) for c in sets[1:]] == [
        (0, None, None, None, 1),
        (2, 2, None, None, 1),
        (2, 2, 1, 1, 1),
        (2, 2, 2, 2, 1),
    ]


def test_terminating_pods_are_replaced_at_once_and_counted_apart(cluster: FakeCluster) -> None:
    started(cluster, 2)
    cluster.kubelet.ends = lambda pod: False
    cluster.registry.delete(PODS, "default", cluster.names(PODS)[0])
    cluster.settle()
    assert len(cluster.names(PODS)) == 3
    assert (status(cluster)["replicas"], status(cluster)["terminatingReplicas"]) == (2, 1)


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_finished_pods_do_not_count_and_stay(cluster: FakeCluster, phase: str) -> None:
    started(cluster, 2)
    cluster.kubelet.set_phase(cluster.registry.list(PODS)[0], phase)
    cluster.settle()
    assert len(cluster.names(PODS)) == 3 and status(cluster)["replicas"] == 2


def test_scaling_down_deletes_all_at_once_with_events(cluster: FakeCluster) -> None:
    started(cluster, 3)
    names = cluster.names(PODS)
    edit(cluster, replicas=0)
    cluster.reconcile()
    assert sorted(cluster.pod_changes()) == [f"-{name}" for name in names]
    assert sorted(cluster.events("SuccessfulDelete")) == [f"Deleted pod: {name}" for name in names]
    assert sorted(cluster.events("SuccessfulCreate")) == [f"Created pod: {name}" for name in names]


def test_creates_come_in_batches_that_double_until_one_fails() -> None:
    calls: list[int] = []

    def fail_at_four(index: int) -> None:
        calls.append(index)
        if index == 4:
            raise ApiError(403, "Forbidden", "exceeded quota")

    with pytest.raises(ApiError, match="exceeded quota"):
        slow_start_batch(20, fail_at_four)
    assert calls == [0, 1, 2, 3, 4, 5, 6]  # 1 + 2 + 4: the failing batch is finished, the next not begun
    calls.clear()
    slow_start_batch(4, calls.append)
    assert calls == [0, 1, 2, 3]


def test_a_failed_create_is_an_event_a_condition_and_a_retry(cluster: FakeCluster) -> None:
    create = cluster.registry.create

    def refuse(resource: Any, obj: JSON, **options: Any) -> JSON:
        if resource == PODS:
            raise ApiError(403, "Forbidden", 'pods "web-" is forbidden: exceeded quota')
        return create(resource, obj, **options)

    cluster.registry.create = refuse  # type: ignore[method-assign]
    cluster.registry.create(REPLICA_SETS, replica_set(3))
    cluster.reconcile()
    assert set(cluster.errors) == {'pods "web-" is forbidden: exceeded quota'}
    assert cluster.events("FailedCreate") == ['Error creating: pods "web-" is forbidden: exceeded quota']
    (failure,) = status(cluster)["conditions"]
    assert (failure["type"], failure["status"], failure["reason"]) == ("ReplicaFailure", "True", "FailedCreate")
    assert failure["message"] == 'pods "web-" is forbidden: exceeded quota'
    cluster.registry.create = create  # type: ignore[method-assign]
    edit(cluster, replicas=2)
    cluster.settle()
    assert "conditions" not in status(cluster) and status(cluster)["readyReplicas"] == 2


def test_a_terminating_namespace_is_not_an_error(cluster: FakeCluster) -> None:
    started(cluster, 1)
    cluster.registry.modify(NAMESPACES, "", "default", lambda n: n["metadata"].update(finalizers=["example.com/hold"]))
    cluster.registry.delete(NAMESPACES, "", "default")
    edit(cluster, replicas=2)
    cluster.reconcile()
    assert cluster.errors == [] and len(cluster.names(PODS)) == 1


def test_min_ready_seconds_tells_ready_from_available(cluster: FakeCluster) -> None:
    started(cluster, 1, minReadySeconds=30)
    assert status(cluster)["readyReplicas"] == 1 and "availableReplicas" not in status(cluster)
    assert 0 < cluster.delays[-1] <= 30
    cluster.kubelet.set_ready(cluster.registry.list(PODS)[0], True, seconds_ago=31)
    cluster.reconcile()
    assert status(cluster)["availableReplicas"] == 1


def test_a_set_that_is_being_deleted_makes_no_pods(cluster: FakeCluster) -> None:
    started(cluster, 2)
    cluster.registry.delete(REPLICA_SETS, "default", "web", DeleteOptions(propagation="Foreground"))
    cluster.registry.delete(PODS, "default", cluster.names(PODS)[0])
    cluster.settle()
    assert len(cluster.names(PODS)) == 1 and status(cluster)["replicas"] == 1


def test_a_relabelled_pod_is_released_replaced_and_adopted_back_as_one_too_many(cluster: FakeCluster) -> None:
    started(cluster, 2)
    name = cluster.names(PODS)[0]
    cluster.change(PODS, name, lambda p: p["metadata"]["labels"].update(app="debug"))
    cluster.settle()
    assert controller_of(cluster.get(PODS, name)) is None and len(cluster.names(PODS)) == 3
    cluster.change(PODS, name, lambda p: p["metadata"]["labels"].update(app="web"))
    cluster.settle()
    assert len(cluster.names(PODS)) == 2
    assert all(controller_of(pod) for pod in cluster.registry.list(PODS))


def test_deletion_waits_are_not_needed_for_unscheduled_pods(cluster: FakeCluster) -> None:
    cluster.kubelet.starts = lambda pod: False
    cluster.registry.create(REPLICA_SETS, replica_set(2))
    cluster.settle()
    edit(cluster, replicas=1)
    cluster.settle()
    assert len(cluster.names(PODS)) == 1


# ---------------------------------------------------------------- the order of deletion


def pod(name: str, **traits: Any) -> JSON:
    ready = traits.get("ready", True)
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "lastTransitionTime": traits.get("ready_since", "2026-01-01T00:00:00Z"),
    }
    found: JSON = {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": traits.get("created", "2026-01-01T00:00:00Z"),
            "annotations": {"controller.kubernetes.io/pod-deletion-cost": traits.get("cost", "0")},
        },
        "spec": {"nodeName": traits.get("node", "a")},
        "status": {
            "phase": traits.get("phase", "Running"),
            "conditions": [condition],
            "containerStatuses": [{"restartCount": traits.get("restarts", 0)}],
        },
    }
    return found


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"node": ""}, {"phase": "Pending", "ready": False}),
        ({"phase": "Pending", "ready": False}, {"ready": False}),
        ({"ready": False}, {"cost": "-10"}),
        ({"cost": "-10"}, {"restarts": 9}),
        ({"ready_since": "2026-11-01T00:00:00Z"}, {"restarts": 9}),
        ({"restarts": 2}, {"restarts": 1}),
        ({"created": "2026-11-01T00:00:00Z"}, {"created": "2020-01-01T00:00:00Z"}),
    ],
    ids=["unassigned", "pending", "not ready", "lower cost", "newer ready", "more restarts", "newer"],
)
def test_the_order_of_deletion(first: JSON, second: JSON) -> None:
    for names in (("x", "y"), ("y", "x")):  # not the name's, nor the list's order
        one, two = pod(names[0], **first), pod(names[1], **second)
        assert rank_for_deletion([two, one], []) == [one, two]
        assert rank_for_deletion([one, two], []) == [one, two]


def test_of_two_nodes_the_fuller_one_loses_a_pod_first() -> None:
    pods = [pod("x", node="a"), pod("y", node="b")]
    related = [*pods, pod("other", node="b")]
    assert [name_of(p) for p in rank_for_deletion(pods, related)] == ["y", "x"]


def test_among_pods_of_similar_age_the_uid_decides() -> None:
    pods = [pod("y", ready_since="2026-01-01T00:00:00Z"), pod("x", ready_since="2026-01-01T00:00:09Z")]
    assert [name_of(p) for p in rank_for_deletion(pods, [])] == ["x", "y"]
