"""StatefulSets: ordinals, order, updates, claims, status, adoption, as upstream's controller does it."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, is_terminating, labels_of, name_of
from labcluster.api.owners import controller_of
from labcluster.api.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from labcluster.controllers.statefulset.controller import StatefulSetController
from labcluster.storage.registry import Change, DeleteOptions
from tests.labcluster.fake_kubelet import FakeCluster
from tests.labcluster.workload_objects import redis_template, stateful_set

OLD, NEW = "redis-7645ccb8f4", "redis-666f667466"


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(StatefulSetController)


def started(cluster: FakeCluster, replicas: int = 3, **spec: Any) -> FakeCluster:
    """The set, all of it Ready, and the record of changes begun anew."""
    cluster.registry.create(STATEFUL_SETS, stateful_set(replicas, **spec))
    cluster.settle()
    cluster.changes.clear()
    return cluster


def edit(cluster: FakeCluster, **spec: Any) -> None:
    cluster.change(STATEFUL_SETS, "redis", lambda s: s["spec"].update(spec))


def set_image(cluster: FakeCluster, image: str) -> None:
    edit(cluster, template=redis_template(image))


def status(cluster: FakeCluster) -> JSON:
    found: JSON = cluster.get(STATEFUL_SETS, "redis")["status"]
    return found


def counters(changes: list[Change]) -> list[tuple[int, ...]]:
    """(replicas, ready, current, updated) of each status that was written."""
    keys = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas")
    return [tuple(c.object["status"].get(k, 0) for k in keys) for c in changes if c.type == "MODIFIED"]


def revisions(cluster: FakeCluster) -> dict[str, str]:
    return {name_of(p): labels_of(p)["controller-revision-hash"] for p in cluster.registry.list(PODS)}


def owners(cluster: FakeCluster, claim: str) -> list[tuple[str, str]]:
    references = cluster.get(PERSISTENT_VOLUME_CLAIMS, claim)["metadata"].get("ownerReferences") or []
    return [(r["kind"], r["name"]) for r in references]


# ---------------------------------------------------------------- order


def test_replicas_are_ordinals_from_zero(cluster: FakeCluster) -> None:
    started(cluster)
    assert cluster.names(PODS) == ["redis-0", "redis-1", "redis-2"]


def test_ordinals_start_where_spec_says(cluster: FakeCluster) -> None:
    started(cluster, 2, ordinals={"start": 5})
    assert cluster.names(PODS) == ["redis-5", "redis-6"]


def test_moving_the_start_condemns_what_is_out_of_range(cluster: FakeCluster) -> None:
    started(cluster, 2)
    edit(cluster, ordinals={"start": 1})
    cluster.settle()
    assert cluster.names(PODS) == ["redis-1", "redis-2"]
    assert cluster.pod_changes() == ["+redis-2", "-redis-0"]


def test_a_pod_is_made_once_its_predecessor_is_ready(cluster: FakeCluster) -> None:
    cluster.registry.create(STATEFUL_SETS, stateful_set())
    cluster.reconcile()
    assert cluster.names(PODS) == ["redis-0"]
    cluster.steps(1)
    assert cluster.names(PODS) == ["redis-0"]
    cluster.steps(1)
    assert cluster.names(PODS) == ["redis-0", "redis-1"]


def test_status_and_claims_follow_the_order_of_a_real_cluster(cluster: FakeCluster) -> None:
    sets = cluster.follow(STATEFUL_SETS)
    writes: list[str] = []
    for resource in (CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS):
        cluster.registry.follow(resource, lambda c: writes.append(name_of(c.object)) if c.type == "ADDED" else None)
    cluster.registry.create(STATEFUL_SETS, stateful_set())
    cluster.settle()
    assert writes == [OLD, "data-redis-0", "redis-0", "data-redis-1", "redis-1", "data-redis-2", "redis-2"]
    assert counters(sets) == [
        (0, 0, 0, 0),
        (1, 0, 1, 1),
        (1, 1, 1, 1),
        (2, 1, 2, 2),
        (2, 2, 2, 2),
        (3, 2, 3, 3),
        (3, 3, 3, 3),
    ]


def test_the_first_status_has_revisions_and_no_pods(cluster: FakeCluster) -> None:
    sets = cluster.follow(STATEFUL_SETS)
    cluster.registry.create(STATEFUL_SETS, stateful_set())
    cluster.reconcile()
    assert sets[1].object["status"] == {
        "observedGeneration": 1,
        "replicas": 0,
        "currentRevision": OLD,
        "updateRevision": OLD,
        "collisionCount": 0,
        "availableReplicas": 0,
    }


def test_a_plain_manifest_gets_the_revision_name_of_a_real_cluster(cluster: FakeCluster) -> None:
    container = {
        "name": "redis",
        "image": "redis:7",
        "args": ["redis-server", "--appendonly", "yes", "--dir", "/data"],
        "ports": [{"containerPort": 6379, "name": "redis"}],
        "readinessProbe": {"exec": {"command": ["redis-cli", "ping"]}, "initialDelaySeconds": 1, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    started(cluster, 1, template={"metadata": {"labels": {"app": "redis"}}, "spec": {"containers": [container]}})
    assert cluster.names(CONTROLLER_REVISIONS) == [OLD]


def test_status_is_written_only_when_it_changes(cluster: FakeCluster) -> None:
    started(cluster)
    before = cluster.get(STATEFUL_SETS, "redis")["metadata"]["resourceVersion"]
    cluster.kubelet.set_ready(cluster.get(PODS, "redis-0"), True, seconds_ago=5)
    cluster.reconcile()
    assert cluster.get(STATEFUL_SETS, "redis")["metadata"]["resourceVersion"] == before


def test_scale_down_goes_from_the_top_one_at_a_time(cluster: FakeCluster) -> None:
    started(cluster)
    edit(cluster, replicas=1)
    cluster.reconcile()
    assert cluster.pod_changes() == ["-redis-2"]
    cluster.steps(1)
    assert cluster.pod_changes() == ["-redis-2"]
    cluster.settle()
    assert cluster.pod_changes() == ["-redis-2", "-redis-1"]
    assert cluster.names(PODS) == ["redis-0"]


def test_scaling_down_has_the_status_of_a_real_cluster(cluster: FakeCluster) -> None:
    started(cluster, 4)
    sets = cluster.follow(STATEFUL_SETS)
    edit(cluster, replicas=2)
    cluster.settle()
    assert counters(sets) == [
        (4, 4, 4, 4),
        (4, 4, 4, 4),
        (4, 4, 3, 3),
        (4, 3, 3, 3),
        (3, 3, 3, 3),
        (3, 3, 2, 2),
        (3, 2, 2, 2),
        (2, 2, 2, 2),
    ]
    assert [c.object["status"]["observedGeneration"] for c in sets[:2]] == [1, 2]


def test_scale_down_waits_for_the_wanted_replicas(cluster: FakeCluster) -> None:
    started(cluster)
    cluster.kubelet.becomes_ready = lambda pod: name_of(pod) != "redis-0"
    cluster.kubelet.set_ready(cluster.get(PODS, "redis-0"), False)
    edit(cluster, replicas=1)
    cluster.settle()
    assert cluster.pod_changes() == []


def test_an_unhealthy_condemned_pod_goes_only_if_it_is_the_first_unavailable(cluster: FakeCluster) -> None:
    started(cluster, 4)
    cluster.kubelet.becomes_ready = lambda pod: False
    cluster.kubelet.set_ready(cluster.get(PODS, "redis-3"), False)
    edit(cluster, replicas=2)
    cluster.reconcile()
    assert cluster.pod_changes() == ["-redis-3"]


def test_an_unhealthy_condemned_pod_waits_for_one_below_it(cluster: FakeCluster) -> None:
    started(cluster, 4)
    cluster.kubelet.becomes_ready = lambda pod: False
    for name in ("redis-2", "redis-3"):
        cluster.kubelet.set_ready(cluster.get(PODS, name), False)
    edit(cluster, replicas=2)
    cluster.settle()
    assert cluster.pod_changes() == []


def test_min_ready_seconds_delays_the_next_pod_and_asks_to_be_looked_at_again(cluster: FakeCluster) -> None:
    cluster.registry.create(STATEFUL_SETS, stateful_set(minReadySeconds=30))
    cluster.settle()
    assert cluster.names(PODS) == ["redis-0"]
    assert status(cluster)["readyReplicas"] == 1 and status(cluster)["availableReplicas"] == 0
    assert 0 < cluster.delays[-1] <= 30
    cluster.kubelet.set_ready(cluster.get(PODS, "redis-0"), True, seconds_ago=31)
    cluster.settle()
    assert cluster.names(PODS) == ["redis-0", "redis-1"]


def test_parallel_makes_and_deletes_all_at_once(cluster: FakeCluster) -> None:
    cluster.registry.create(STATEFUL_SETS, stateful_set(podManagementPolicy="Parallel"))
    cluster.reconcile()
    assert cluster.names(PODS) == ["redis-0", "redis-1", "redis-2"]
    cluster.settle()
    cluster.changes.clear()
    edit(cluster, replicas=0)
    cluster.reconcile()
    assert cluster.pod_changes() == ["-redis-2", "-redis-1", "-redis-0"]


def test_parallel_updates_still_go_one_by_one(cluster: FakeCluster) -> None:
    started(cluster, podManagementPolicy="Parallel")
    set_image(cluster, "redis:7.2")
    cluster.reconcile()
    assert cluster.pod_changes() == ["-redis-2"]
    cluster.settle()
    assert cluster.pod_changes() == ["-redis-2", "+redis-2", "-redis-1", "+redis-1", "-redis-0", "+redis-0"]


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_failed_and_succeeded_pods_are_recreated(cluster: FakeCluster, phase: str) -> None:
    started(cluster)
    uid = cluster.get(PODS, "redis-1")["metadata"]["uid"]
    cluster.kubelet.set_phase(cluster.get(PODS, "redis-1"), phase)
    cluster.settle()
    assert cluster.pod_changes() == ["-redis-1", "+redis-1"]
    assert cluster.get(PODS, "redis-1")["metadata"]["uid"] != uid


def test_a_deleted_pod_comes_back_with_its_name_and_claim(cluster: FakeCluster) -> None:
    started(cluster)
    claim = cluster.get(PERSISTENT_VOLUME_CLAIMS, "data-redis-1")
    cluster.registry.delete(PODS, "default", "redis-1")
    cluster.settle()
    assert cluster.pod_changes() == ["-redis-1", "+redis-1"]
    assert cluster.get(PERSISTENT_VOLUME_CLAIMS, "data-redis-1") is claim


def test_a_set_that_is_being_deleted_only_updates_its_status(cluster: FakeCluster) -> None:
    started(cluster)
    cluster.registry.delete(STATEFUL_SETS, "default", "redis", DeleteOptions(propagation="Foreground"))
    cluster.registry.delete(PODS, "default", "redis-2")
    cluster.settle()
    assert cluster.names(PODS) == ["redis-0", "redis-1"]
    assert status(cluster)["replicas"] == 2 and status(cluster)["observedGeneration"] == 2


# ---------------------------------------------------------------- updates


def test_a_rolling_update_goes_from_the_top_with_the_status_of_a_real_cluster(cluster: FakeCluster) -> None:
    started(cluster)
    sets = cluster.follow(STATEFUL_SETS)
    set_image(cluster, "redis:7.2")
    cluster.settle()
    assert cluster.pod_changes() == ["-redis-2", "+redis-2", "-redis-1", "+redis-1", "-redis-0", "+redis-0"]
    assert counters(sets)[1:] == [
        (3, 3, 2, 0),
        (3, 2, 2, 0),
        (2, 2, 2, 0),
        (3, 2, 2, 1),
        (3, 3, 1, 1),
        (3, 2, 1, 1),
        (2, 2, 1, 1),
        (3, 2, 1, 2),
        (3, 3, 0, 2),
        (3, 2, 0, 2),
        (2, 2, 0, 2),
        (3, 2, 0, 3),
        (3, 3, 3, 3),
    ]
    assert (status(cluster)["currentRevision"], status(cluster)["updateRevision"]) == (NEW, NEW)


def test_until_completion_the_current_revision_stays(cluster: FakeCluster) -> None:
    started(cluster)
    cluster.kubelet.becomes_ready = lambda pod: False
    set_image(cluster, "redis:7.2")
    cluster.settle()
    assert (status(cluster)["currentRevision"], status(cluster)["updateRevision"]) == (OLD, NEW)
    assert revisions(cluster) == {"redis-0": OLD, "redis-1": OLD, "redis-2": NEW}


def test_partition_updates_the_ordinals_from_it_on(cluster: FakeCluster) -> None:
    started(cluster, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    set_image(cluster, "redis:7.2")
    cluster.settle()
    assert revisions(cluster) == {"redis-0": OLD, "redis-1": OLD, "redis-2": NEW}
    assert status(cluster)["currentReplicas"] == 2 and status(cluster)["updatedReplicas"] == 1


def test_below_the_partition_a_missing_pod_gets_the_current_revision(cluster: FakeCluster) -> None:
    started(cluster, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    set_image(cluster, "redis:7.2")
    cluster.settle()
    cluster.registry.delete(PODS, "default", "redis-0")
    cluster.settle()
    assert revisions(cluster)["redis-0"] == OLD
    edit(cluster, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    cluster.settle()
    assert set(revisions(cluster).values()) == {NEW}


def test_partition_counts_from_the_start_ordinal(cluster: FakeCluster) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    started(cluster, 2, ordinals={"start": 5}, updateStrategy=strategy)
    set_image(cluster, "redis:7.2")
    cluster.registry.delete(PODS, "default", "redis-5")
    cluster.settle()
    assert revisions(cluster) == {"redis-5": OLD, "redis-6": NEW}


def test_on_delete_updates_a_pod_when_it_is_deleted(cluster: FakeCluster) -> None:
    started(cluster, updateStrategy={"type": "OnDelete"})
    set_image(cluster, "redis:7.2")
    cluster.settle()
    assert cluster.pod_changes() == []
    cluster.registry.delete(PODS, "default", "redis-1")
    cluster.settle()
    assert revisions(cluster) == {"redis-0": OLD, "redis-1": NEW, "redis-2": OLD}


def test_scaling_goes_before_updates(cluster: FakeCluster) -> None:
    started(cluster, 2)
    edit(cluster, template=redis_template("redis:7.2"), replicas=3)
    cluster.settle()
    assert cluster.pod_changes() == ["+redis-2", "-redis-1", "+redis-1", "-redis-0", "+redis-0"]


def test_a_pod_that_never_became_ready_is_not_replaced_after_a_revert(cluster: FakeCluster) -> None:
    started(cluster)
    cluster.kubelet.becomes_ready = lambda pod: labels_of(pod)["controller-revision-hash"] != NEW
    set_image(cluster, "redis:7.2")
    cluster.settle()
    set_image(cluster, "redis:7")
    cluster.settle()
    assert revisions(cluster)["redis-2"] == NEW and not is_terminating(cluster.get(PODS, "redis-2"))
    cluster.registry.delete(PODS, "default", "redis-2")
    cluster.settle()
    assert cluster.ready_pods() == ["redis-0", "redis-1", "redis-2"]
    assert revisions(cluster)["redis-2"] == OLD


def test_a_rollback_reuses_the_revision_and_raises_its_number(cluster: FakeCluster) -> None:
    started(cluster)
    for image in ("redis:7.2", "redis:7"):
        set_image(cluster, image)
        cluster.settle()
    assert {name_of(r): r["revision"] for r in cluster.registry.list(CONTROLLER_REVISIONS)} == {OLD: 3, NEW: 2}
    assert status(cluster)["currentRevision"] == OLD


def test_history_keeps_the_limit_beyond_those_in_use(cluster: FakeCluster) -> None:
    started(cluster, 1, revisionHistoryLimit=2)
    for number in range(5):
        set_image(cluster, f"redis:{number}")
        cluster.settle()
    assert sorted(r["revision"] for r in cluster.registry.list(CONTROLLER_REVISIONS)) == [4, 5, 6]


# ---------------------------------------------------------------- identity


def test_a_pod_has_the_labels_and_names_of_its_identity(cluster: FakeCluster) -> None:
    started(cluster, 2)
    pod = cluster.get(PODS, "redis-1")
    assert labels_of(pod) == {
        "app": "redis",
        "apps.kubernetes.io/pod-index": "1",
        "controller-revision-hash": OLD,
        "statefulset.kubernetes.io/pod-name": "redis-1",
    }
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("redis-1", "redis")
    assert pod["metadata"]["generateName"] == "redis-"
    reference = controller_of(pod)
    assert reference is not None and reference["blockOwnerDeletion"] is True
    assert (reference["apiVersion"], reference["kind"], reference["name"]) == ("apps/v1", "StatefulSet", "redis")


def test_lost_identity_labels_are_restored(cluster: FakeCluster) -> None:
    started(cluster, 1)

    def spoil(pod: JSON) -> None:
        pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = "wrong"

    cluster.change(PODS, "redis-0", spoil)
    cluster.settle()
    assert labels_of(cluster.get(PODS, "redis-0"))["statefulset.kubernetes.io/pod-name"] == "redis-0"
    assert cluster.events("SuccessfulUpdate") == ["update Pod redis-0 in StatefulSet redis successful"]


def test_a_claim_is_named_template_set_ordinal_and_mounted_by_the_template_s_name(cluster: FakeCluster) -> None:
    started(cluster, 2)
    assert cluster.names(PERSISTENT_VOLUME_CLAIMS) == ["data-redis-0", "data-redis-1"]
    claim = cluster.get(PERSISTENT_VOLUME_CLAIMS, "data-redis-1")
    assert labels_of(claim) == {"app": "redis"} and owners(cluster, "data-redis-1") == []
    volumes = {v["name"]: v for v in cluster.get(PODS, "redis-1")["spec"]["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == "data-redis-1"


def test_a_claim_s_volume_replaces_one_of_the_same_name(cluster: FakeCluster) -> None:
    template = redis_template()
    template["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    started(cluster, 1, template=template)
    volumes = {v["name"]: v for v in cluster.get(PODS, "redis-0")["spec"]["volumes"]}
    assert "persistentVolumeClaim" in volumes["data"] and "emptyDir" not in volumes["data"]
    assert "emptyDir" in volumes["tmp"]


def test_events_have_the_texts_of_a_real_cluster(cluster: FakeCluster) -> None:
    started(cluster, 1)
    assert cluster.events("SuccessfulCreate") == [
        "create Claim data-redis-0 Pod redis-0 in StatefulSet redis success",
        "create Pod redis-0 in StatefulSet redis successful",
    ]
    edit(cluster, replicas=0)
    cluster.settle()
    assert cluster.events("SuccessfulDelete") == ["delete Pod redis-0 in StatefulSet redis successful"]


# ---------------------------------------------------------------- claims


def test_a_terminating_claim_blocks_creation(cluster: FakeCluster) -> None:
    started(cluster)
    cluster.change(
        PERSISTENT_VOLUME_CLAIMS, "data-redis-2", lambda c: c["metadata"].update(finalizers=["example.com/hold"])
    )
    cluster.registry.delete(PERSISTENT_VOLUME_CLAIMS, "default", "data-redis-2")
    cluster.registry.delete(PODS, "default", "redis-2")
    cluster.settle()
    assert cluster.names(PODS) == ["redis-0", "redis-1"]
    assert "pvc data-redis-2 is being deleted" in cluster.errors
    assert cluster.events("FailedCreate") == [
        "create Pod redis-2 in StatefulSet redis failed error: pvc data-redis-2 is being deleted"
    ]
    assert status(cluster)["replicas"] == 2
    cluster.change(PERSISTENT_VOLUME_CLAIMS, "data-redis-2", lambda c: c["metadata"].pop("finalizers"))
    cluster.settle()
    assert cluster.names(PODS) == ["redis-0", "redis-1", "redis-2"]


def test_a_missing_claim_of_a_pending_pod_is_made_again(cluster: FakeCluster) -> None:
    cluster.kubelet.starts = lambda pod: False
    cluster.registry.create(STATEFUL_SETS, stateful_set(1))
    cluster.settle()
    claim = cluster.get(PERSISTENT_VOLUME_CLAIMS, "data-redis-0")
    cluster.change(PERSISTENT_VOLUME_CLAIMS, "data-redis-0", lambda c: c["metadata"].pop("finalizers", None))
    cluster.registry.delete(PERSISTENT_VOLUME_CLAIMS, "default", "data-redis-0")
    cluster.change(PODS, "redis-0", lambda p: p["metadata"].update(annotations={"look": "again"}))
    cluster.reconcile()
    assert cluster.get(PERSISTENT_VOLUME_CLAIMS, "data-redis-0")["metadata"]["uid"] != claim["metadata"]["uid"]


def test_claims_outlive_scaling_and_are_found_again(cluster: FakeCluster) -> None:
    started(cluster)
    claim = cluster.get(PERSISTENT_VOLUME_CLAIMS, "data-redis-2")
    for replicas in (1, 3):
        edit(cluster, replicas=replicas)
        cluster.settle()
    assert cluster.get(PERSISTENT_VOLUME_CLAIMS, "data-redis-2") is claim


def test_when_deleted_delete_makes_the_set_an_owner(cluster: FakeCluster) -> None:
    policy = {"whenDeleted": "Delete", "whenScaled": "Retain"}
    started(cluster, 1, persistentVolumeClaimRetentionPolicy=policy)
    assert owners(cluster, "data-redis-0") == [("StatefulSet", "redis")]
    edit(cluster, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})
    cluster.settle()
    assert owners(cluster, "data-redis-0") == []


def test_when_scaled_delete_makes_the_pod_an_owner_once_it_is_out_of_range(cluster: FakeCluster) -> None:
    policy = {"whenDeleted": "Retain", "whenScaled": "Delete"}
    started(cluster, 2, persistentVolumeClaimRetentionPolicy=policy)
    assert owners(cluster, "data-redis-1") == []
    edit(cluster, replicas=1)
    cluster.reconcile()
    assert owners(cluster, "data-redis-1") == [("Pod", "redis-1")]
    assert owners(cluster, "data-redis-0") == []


def test_with_delete_for_both_the_owner_changes_from_set_to_pod(cluster: FakeCluster) -> None:
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    started(cluster, 2, persistentVolumeClaimRetentionPolicy=policy)
    assert owners(cluster, "data-redis-1") == [("StatefulSet", "redis")]
    edit(cluster, replicas=1)
    cluster.reconcile()
    assert owners(cluster, "data-redis-1") == [("Pod", "redis-1")]


def test_a_claim_that_goes_with_a_former_pod_blocks_the_new_one(cluster: FakeCluster) -> None:
    policy = {"whenDeleted": "Retain", "whenScaled": "Delete"}
    started(cluster, 2, persistentVolumeClaimRetentionPolicy=policy)
    edit(cluster, replicas=1)
    cluster.settle()
    edit(cluster, replicas=2)
    cluster.settle()
    assert cluster.names(PODS) == ["redis-0"]


# ---------------------------------------------------------------- adoption


def orphaned(cluster: FakeCluster) -> None:
    """Delete the set and leave its pods, as `--cascade=orphan` does."""
    cluster.registry.delete(STATEFUL_SETS, "default", "redis")
    for resource in (PODS, CONTROLLER_REVISIONS):
        for obj in cluster.registry.list(resource):
            cluster.change(resource, name_of(obj), lambda o: o["metadata"].pop("ownerReferences"))
    cluster.settle()


def test_an_orphaned_pod_is_not_replaced(cluster: FakeCluster) -> None:
    started(cluster)
    orphaned(cluster)
    cluster.registry.delete(PODS, "default", "redis-1")
    cluster.settle()
    assert cluster.names(PODS) == ["redis-0", "redis-2"]


def test_a_new_set_adopts_matching_pods_and_revisions_and_keeps_them_running(cluster: FakeCluster) -> None:
    started(cluster)
    orphaned(cluster)
    cluster.registry.delete(PODS, "default", "redis-1")
    cluster.settle()
    cluster.changes.clear()
    made = cluster.registry.create(STATEFUL_SETS, stateful_set())
    cluster.settle()
    assert cluster.pod_changes() == ["+redis-1"]
    uids = {(controller_of(o) or {}).get("uid") for r in (PODS, CONTROLLER_REVISIONS) for o in cluster.registry.list(r)}
    assert uids == {made["metadata"]["uid"]}
    assert [r["revision"] for r in cluster.registry.list(CONTROLLER_REVISIONS)] == [1]


def test_a_pod_of_another_name_is_not_adopted(cluster: FakeCluster) -> None:
    started(cluster, 1)
    stranger = clone(cluster.get(PODS, "redis-0"))
    stranger["metadata"] = {"name": "redis-blue-0", "namespace": "default", "labels": {"app": "redis"}}
    stranger.pop("status", None)
    stranger["spec"].pop("nodeName")
    stranger["spec"].pop("hostname")
    cluster.registry.create(PODS, stranger)
    cluster.settle()
    assert controller_of(cluster.get(PODS, "redis-blue-0")) is None


def test_a_pod_that_matches_no_longer_is_released_and_its_name_blocks_the_next(cluster: FakeCluster) -> None:
    started(cluster)
    cluster.change(PODS, "redis-2", lambda p: p["metadata"]["labels"].update(app="debug"))
    cluster.settle()
    assert controller_of(cluster.get(PODS, "redis-2")) is None
    assert 'pods "redis-2" already exists' in cluster.errors
    assert cluster.events("FailedCreate") == []
    cluster.registry.delete(PODS, "default", "redis-2")
    cluster.settle()
    assert len(cluster.ready_pods()) == 3


def test_another_controller_s_pod_is_left_alone(cluster: FakeCluster) -> None:
    started(cluster, 1)

    def sell(pod: JSON) -> None:
        pod["metadata"]["ownerReferences"][0]["uid"] = "another"

    cluster.change(PODS, "redis-0", sell)
    cluster.settle()
    assert (controller_of(cluster.get(PODS, "redis-0")) or {})["uid"] == "another"
    assert status(cluster)["replicas"] == 0
