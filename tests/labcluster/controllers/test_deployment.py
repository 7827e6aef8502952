"""Deployments: rolling, recreating, scaling, pausing, revisions and conditions, as upstream's controller does it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from labcluster.api.conditions import condition
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, annotations_of, labels_of, name_of
from labcluster.api.owners import controller_of
from labcluster.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from labcluster.controllers.deployment import sizes
from labcluster.controllers.deployment import status as deployment_status
from labcluster.controllers.deployment.controller import DeploymentController
from labcluster.controllers.replicaset import ReplicaSetController
from labcluster.controllers.workload_pods import scaled_value
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.fake_kubelet import FakeCluster
from tests.labcluster.workload_objects import deployment, replica_set, web_template

REVISION = "deployment.kubernetes.io/revision"


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(DeploymentController, ReplicaSetController)


def started(cluster: FakeCluster, replicas: int = 3, **spec: Any) -> FakeCluster:
    cluster.registry.create(DEPLOYMENTS, deployment(replicas, **spec))
    cluster.settle()
    cluster.changes.clear()
    return cluster


def edit(cluster: FakeCluster, **spec: Any) -> None:
    cluster.change(DEPLOYMENTS, "web", lambda d: d["spec"].update(spec))


def set_image(cluster: FakeCluster, image: str) -> None:
    edit(cluster, template=web_template(image))


def live(cluster: FakeCluster) -> JSON:
    return cluster.get(DEPLOYMENTS, "web")


def progressing(cluster: FakeCluster) -> tuple[str, str, str]:
    found = condition(live(cluster), "Progressing")
    assert found is not None
    return found["status"], found["reason"], found["message"]


def by_image(cluster: FakeCluster) -> dict[str, JSON]:
    return {rs["spec"]["template"]["spec"]["containers"][0]["image"]: rs for rs in cluster.registry.list(REPLICA_SETS)}


def replicas(cluster: FakeCluster) -> dict[str, int]:
    return {image: rs["spec"]["replicas"] for image, rs in by_image(cluster).items()}


def rolling(surge: int | str, unavailable: int | str) -> JSON:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


# ---------------------------------------------------------------- the new ReplicaSet


def test_the_new_replica_set_has_the_template_hash_in_name_labels_and_selector(cluster: FakeCluster) -> None:
    started(cluster)
    (rs,) = cluster.registry.list(REPLICA_SETS)
    digest = labels_of(rs)["pod-template-hash"]
    assert name_of(rs) == f"web-{digest}"
    assert rs["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
    assert rs["spec"]["template"]["metadata"]["labels"] == {"app": "web", "pod-template-hash": digest}
    assert all(labels_of(p)["pod-template-hash"] == digest for p in cluster.registry.list(PODS))
    reference = controller_of(rs)
    assert reference is not None and (reference["kind"], reference["name"]) == ("Deployment", "web")


def test_revisions_are_counted_in_annotations_of_both(cluster: FakeCluster) -> None:
    started(cluster)
    (rs,) = cluster.registry.list(REPLICA_SETS)
    assert annotations_of(rs) == {
        REVISION: "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }
    assert annotations_of(live(cluster))[REVISION] == "1"
    set_image(cluster, "nginx:1.28")
    cluster.settle()
    assert annotations_of(by_image(cluster)["nginx:1.28"])[REVISION] == "2"
    assert annotations_of(live(cluster))[REVISION] == "2"


def test_annotations_are_copied_but_not_those_of_kubectl(cluster: FakeCluster) -> None:
    made = deployment()
    cause = {"kubernetes.io/change-cause": "first", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    made["metadata"]["annotations"] = cause
    cluster.registry.create(DEPLOYMENTS, made)
    cluster.settle()
    (rs,) = cluster.registry.list(REPLICA_SETS)
    assert annotations_of(rs)["kubernetes.io/change-cause"] == "first"
    assert "kubectl.kubernetes.io/last-applied-configuration" not in annotations_of(rs)


def test_a_rollback_takes_the_old_replica_set_with_the_next_revision(cluster: FakeCluster) -> None:
    started(cluster)
    old = by_image(cluster)["nginx:1.27"]
    for image in ("nginx:1.28", "nginx:1.27"):
        set_image(cluster, image)
        cluster.settle()
    again = by_image(cluster)["nginx:1.27"]
    assert again["metadata"]["uid"] == old["metadata"]["uid"]
    assert annotations_of(again)[REVISION] == "3"
    assert annotations_of(again)["deployment.kubernetes.io/revision-history"] == "1"
    assert replicas(cluster) == {"nginx:1.27": 3, "nginx:1.28": 0}


def test_a_matching_orphan_is_adopted(cluster: FakeCluster) -> None:
    orphan = replica_set(3)
    orphan["metadata"]["labels"] = {"app": "web"}
    cluster.registry.create(REPLICA_SETS, orphan)
    cluster.settle()
    cluster.changes.clear()
    started(cluster)
    assert cluster.names(REPLICA_SETS) == ["web"] and cluster.pod_changes() == []
    assert (controller_of(cluster.get(REPLICA_SETS, "web")) or {})["name"] == "web"
    assert condition(live(cluster), "Progressing") is not None


def test_a_taken_name_raises_the_collision_count(cluster: FakeCluster) -> None:
    started(cluster, 1)
    (mine,) = cluster.registry.list(REPLICA_SETS)
    cluster.registry.delete(DEPLOYMENTS, "default", "web")
    squatter = clone(mine)
    squatter["metadata"]["ownerReferences"][0]["uid"] = "another"
    cluster.registry.delete(REPLICA_SETS, "default", name_of(mine))
    squatter["metadata"] = {k: squatter["metadata"][k] for k in ("name", "namespace", "labels", "ownerReferences")}
    cluster.registry.create(REPLICA_SETS, squatter)
    started(cluster, 1)
    assert live(cluster)["status"]["collisionCount"] == 1
    assert len(cluster.names(REPLICA_SETS)) == 2 and live(cluster)["status"]["availableReplicas"] == 1


def test_the_history_limit_deletes_the_oldest_empty_replica_sets(cluster: FakeCluster) -> None:
    started(cluster, 1, revisionHistoryLimit=2)
    for number in range(5):
        set_image(cluster, f"nginx:2.{number}")
        cluster.settle()
    assert sorted(by_image(cluster)) == ["nginx:2.2", "nginx:2.3", "nginx:2.4"]


# ---------------------------------------------------------------- rolling


def test_events_have_the_texts_of_upstream(cluster: FakeCluster) -> None:
    started(cluster)
    first = name_of(by_image(cluster)["nginx:1.27"])
    assert cluster.events("ScalingReplicaSet") == [f"Scaled up replica set {first} from 0 to 3"]
    set_image(cluster, "nginx:1.28")
    cluster.settle()
    second = name_of(by_image(cluster)["nginx:1.28"])
    assert cluster.events("ScalingReplicaSet")[1:] == [
        f"Scaled up replica set {second} from 0 to 1",
        f"Scaled down replica set {first} from 3 to 2",
        f"Scaled up replica set {second} from 1 to 2",
        f"Scaled down replica set {first} from 2 to 1",
        f"Scaled up replica set {second} from 2 to 3",
        f"Scaled down replica set {first} from 1 to 0",
    ]


@pytest.mark.parametrize(("surge", "unavailable"), [(1, 0), (0, 1), (2, 1), ("100%", 0), ("25%", "25%")])
def test_a_rolling_update_stays_within_surge_and_unavailable(
    cluster: FakeCluster, surge: int | str, unavailable: int | str
) -> None:
    started(cluster, 4, strategy=rolling(surge, unavailable))
    set_image(cluster, "nginx:1.28")
    most, least = 0, 99
    cluster.reconcile()
    for _ in range(200):
        pods = [p for p in cluster.registry.list(PODS) if not p["metadata"].get("deletionTimestamp")]
        most, least = max(most, len(pods)), min(least, len(cluster.ready_pods()))
        if not cluster.kubelet.step():
            break
        cluster.reconcile()
    assert replicas(cluster) == {"nginx:1.27": 0, "nginx:1.28": 4}
    assert most == 4 + scaled_value(surge, 4, round_up=True)
    assert least >= 4 - scaled_value(unavailable, 4, round_up=False)


def test_a_broken_template_stops_the_update_at_the_limits(cluster: FakeCluster) -> None:
    started(cluster, 4, strategy=rolling(1, 1))
    cluster.kubelet.becomes_ready = lambda pod: pod["spec"]["containers"][0]["image"] != "nginx:bad"
    set_image(cluster, "nginx:bad")
    cluster.settle()
    assert replicas(cluster) == {"nginx:1.27": 3, "nginx:bad": 2}
    set_image(cluster, "nginx:1.27")
    cluster.settle()
    assert replicas(cluster) == {"nginx:1.27": 4, "nginx:bad": 0}
    assert len(cluster.ready_pods()) == 4


def test_a_new_template_in_the_middle_scales_down_unhealthy_pods_first(cluster: FakeCluster) -> None:
    started(cluster, 4, strategy=rolling(1, 1))
    cluster.kubelet.becomes_ready = lambda pod: pod["spec"]["containers"][0]["image"] != "nginx:bad"
    set_image(cluster, "nginx:bad")
    cluster.settle()
    set_image(cluster, "nginx:1.28")
    cluster.reconcile()
    assert replicas(cluster)["nginx:bad"] == 0 and replicas(cluster)["nginx:1.27"] == 3
    cluster.settle()
    assert replicas(cluster) == {"nginx:1.27": 0, "nginx:bad": 0, "nginx:1.28": 4}


def test_recreate_ends_all_old_pods_before_the_first_new_one(cluster: FakeCluster) -> None:
    started(cluster, 2, strategy={"type": "Recreate"})
    old = set(cluster.names(PODS))
    set_image(cluster, "nginx:1.28")
    cluster.reconcile()
    assert replicas(cluster) == {"nginx:1.27": 0}
    cluster.steps(2)  # one has ended and is gone, the other still runs
    assert len(cluster.names(PODS)) == 1 and replicas(cluster) == {"nginx:1.27": 0}
    cluster.settle()
    assert replicas(cluster) == {"nginx:1.27": 0, "nginx:1.28": 2}
    assert len(cluster.ready_pods()) == 2 and not old & set(cluster.names(PODS))


# ---------------------------------------------------------------- scaling and pausing


def test_scaling_makes_no_revision(cluster: FakeCluster) -> None:
    started(cluster)
    edit(cluster, replicas=5)
    cluster.settle()
    assert replicas(cluster) == {"nginx:1.27": 5} and annotations_of(live(cluster))[REVISION] == "1"
    (rs,) = cluster.registry.list(REPLICA_SETS)
    assert annotations_of(rs)["deployment.kubernetes.io/desired-replicas"] == "5"
    edit(cluster, replicas=0)
    cluster.settle()
    assert cluster.names(PODS) == []


def test_scaling_in_the_middle_of_a_rollout_is_proportional(cluster: FakeCluster) -> None:
    started(cluster, 10, strategy=rolling(3, 2))
    cluster.kubelet.becomes_ready = lambda pod: pod["spec"]["containers"][0]["image"] != "nginx:bad"
    set_image(cluster, "nginx:bad")
    cluster.settle()
    assert replicas(cluster) == {"nginx:1.27": 8, "nginx:bad": 5}
    edit(cluster, replicas=15)
    cluster.settle()
    assert replicas(cluster) == {"nginx:1.27": 11, "nginx:bad": 7}  # as in the user guide's example


def test_a_paused_deployment_scales_but_does_not_roll(cluster: FakeCluster) -> None:
    started(cluster)
    edit(cluster, paused=True)
    cluster.settle()
    assert progressing(cluster) == ("Unknown", "DeploymentPaused", "Deployment is paused")
    edit(cluster, template=web_template("nginx:1.28"), replicas=4)
    cluster.settle()
    assert replicas(cluster) == {"nginx:1.27": 4}
    edit(cluster, paused=False)
    cluster.settle()
    assert replicas(cluster) == {"nginx:1.27": 0, "nginx:1.28": 4}
    assert progressing(cluster)[:2] == ("True", "NewReplicaSetAvailable")


def test_resuming_is_noted_before_the_rollout_goes_on(cluster: FakeCluster) -> None:
    started(cluster)
    edit(cluster, paused=True)
    cluster.settle()
    seen = cluster.follow(DEPLOYMENTS)
    edit(cluster, paused=False, template=web_template("nginx:1.28"))
    cluster.settle()
    found = [condition(c.object, "Progressing") or {} for c in seen]
    reasons = list(dict.fromkeys(c["reason"] for c in found))
    assert reasons == [
        "DeploymentPaused",
        "DeploymentResumed",
        "NewReplicaSetCreated",
        "ReplicaSetUpdated",
        "NewReplicaSetAvailable",
    ]


# ---------------------------------------------------------------- status


def test_conditions_pass_through_upstream_s_reasons(cluster: FakeCluster) -> None:
    cluster.registry.create(DEPLOYMENTS, deployment(1))
    seen = cluster.follow(DEPLOYMENTS)
    cluster.settle()
    (rs,) = cluster.names(REPLICA_SETS)
    texts = [(condition(c.object, "Progressing") or {}).get("message") for c in seen]
    assert list(dict.fromkeys(texts)) == [
        None,
        f'Created new replica set "{rs}"',
        f'ReplicaSet "{rs}" is progressing.',
        f'ReplicaSet "{rs}" has successfully progressed.',
    ]
    available = condition(live(cluster), "Available") or {}
    assert (available["status"], available["reason"]) == ("True", "MinimumReplicasAvailable")
    assert available["message"] == "Deployment has minimum availability."


def test_the_status_counts_over_all_replica_sets(cluster: FakeCluster) -> None:
    started(cluster, 4, strategy=rolling(1, 1))
    cluster.kubelet.becomes_ready = lambda pod: False
    set_image(cluster, "nginx:1.28")
    cluster.settle()
    found = {k: v for k, v in live(cluster)["status"].items() if k != "conditions"}
    assert found == {
        "observedGeneration": 2,
        "replicas": 5,
        "updatedReplicas": 2,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "unavailableReplicas": 2,
        "terminatingReplicas": 0,
    }


def test_too_few_available_pods_say_so(cluster: FakeCluster) -> None:
    cluster.kubelet.becomes_ready = lambda pod: False
    started(cluster)
    available = condition(live(cluster), "Available") or {}
    assert (available["status"], available["reason"], available["message"]) == (
        "False",
        "MinimumReplicasUnavailable",
        "Deployment does not have minimum availability.",
    )


def test_without_progress_the_deadline_is_asked_for_and_then_exceeded(cluster: FakeCluster) -> None:
    cluster.kubelet.becomes_ready = lambda pod: False
    started(cluster, 1, progressDeadlineSeconds=60)
    assert 0 < cluster.delays[-1] <= 62
    earlier = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=61)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def age(obj: JSON) -> None:
        (condition(obj, "Progressing") or {})["lastUpdateTime"] = earlier

    cluster.registry.modify(DEPLOYMENTS, "default", "web", age, subresource="status")
    cluster.settle()
    (rs,) = cluster.names(REPLICA_SETS)
    text = f'ReplicaSet "{rs}" has timed out progressing.'
    assert progressing(cluster) == ("False", "ProgressDeadlineExceeded", text)


def test_a_failure_to_create_pods_is_passed_on(cluster: FakeCluster) -> None:
    create = cluster.registry.create

    def refuse(resource: Any, obj: JSON, **options: Any) -> JSON:
        if resource == PODS:
            obj = {**obj, "spec": {}}
        return create(resource, obj, **options)

    cluster.registry.create = refuse  # type: ignore[method-assign]
    started(cluster, 1)
    failure = condition(live(cluster), "ReplicaFailure") or {}
    assert (failure["status"], failure["reason"]) == ("True", "FailedCreate")


def test_a_deployment_that_is_being_deleted_only_updates_its_status(cluster: FakeCluster) -> None:
    started(cluster)
    cluster.registry.delete(DEPLOYMENTS, "default", "web", DeleteOptions(propagation="Foreground"))
    set_image(cluster, "nginx:1.28")
    cluster.settle()
    assert replicas(cluster) == {"nginx:1.27": 3}
    assert live(cluster)["status"]["observedGeneration"] == live(cluster)["metadata"]["generation"]


# ---------------------------------------------------------------- numbers


def with_limits(total: int, surge: int | str, unavailable: int | str) -> JSON:
    return {"spec": {"replicas": total, "strategy": rolling(surge, unavailable)}}


@pytest.mark.parametrize(
    ("total", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),  # surge is rounded up, unavailable down
        (3, "25%", "25%", (1, 0)),
        (1, "0%", "25%", (0, 1)),  # both would be 0: one may be unavailable
        (2, 0, 5, (0, 2)),  # never more unavailable than there are
        (0, "25%", "25%", (0, 0)),
    ],
)
def test_percentages_are_rounded_towards_availability(
    total: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]
) -> None:
    found = with_limits(total, surge, unavailable)
    assert (sizes.max_surge(found), sizes.max_unavailable(found)) == expected


def test_an_unset_condition_keeps_its_transition_time_while_its_status_stays() -> None:
    status: JSON = {}
    deployment_status.set_condition(status, "Progressing", "True", "NewReplicaSetCreated", "a")
    status["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    deployment_status.set_condition(status, "Progressing", "True", "ReplicaSetUpdated", "b")
    assert status["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    deployment_status.set_condition(status, "Progressing", "False", "ProgressDeadlineExceeded", "c")
    assert status["conditions"][0]["lastTransitionTime"] != "2026-01-01T00:00:00Z"


def test_progress_moves_the_update_time_even_with_the_same_reason() -> None:
    long_ago = "2026-01-01T00:00:00Z"
    progress = {
        "type": "Progressing",
        "status": "True",
        "reason": "ReplicaSetUpdated",
        "message": "",
        "lastUpdateTime": long_ago,
        "lastTransitionTime": long_ago,
    }
    found = {**with_limits(2, 1, 0), "metadata": {"name": "web"}, "status": {"conditions": [progress]}}
    newest = {"metadata": {"name": "web-1"}, "spec": {"replicas": 2}, "status": {"replicas": 2, "readyReplicas": 1}}
    status = deployment_status.calculate_rollout(found, [newest], newest)
    renewed = deployment_status.get_condition(status, "Progressing") or {}
    assert renewed["reason"] == "ReplicaSetUpdated" and renewed["lastTransitionTime"] == long_ago
    assert renewed["lastUpdateTime"] != long_ago
    same = deployment_status.calculate_rollout({**found, "status": status}, [newest], newest)
    assert same["conditions"] == status["conditions"]  # no progress: the deadline runs
