"""Deleting a StatefulSet with the garbage collector at work: what goes, what stays, what is adopted again."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.objects import JSON, uid_of
from labcluster.api.owners import controller_of
from labcluster.api.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from labcluster.controllers.garbage_collector import GarbageCollector
from labcluster.controllers.statefulset.controller import StatefulSetController
from labcluster.controllers.volumes.protection import ClaimProtectionController
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.fake_kubelet import FakeCluster
from tests.labcluster.workload_objects import stateful_set

PODS_OF_THREE = ["redis-0", "redis-1", "redis-2"]
CLAIMS_OF_THREE = ["data-redis-0", "data-redis-1", "data-redis-2"]


def started(**spec: Any) -> FakeCluster:
    cluster = FakeCluster(StatefulSetController, GarbageCollector, ClaimProtectionController)
    cluster.registry.create(STATEFUL_SETS, stateful_set(**spec))
    cluster.settle()
    cluster.changes.clear()
    return cluster


def delete(cluster: FakeCluster, propagation: str) -> None:
    cluster.registry.delete(STATEFUL_SETS, "default", "redis", DeleteOptions(propagation=propagation))


def controllers(objects: list[JSON]) -> set[str]:
    return {(controller_of(obj) or {}).get("uid", "") for obj in objects}


def test_background_deletion_takes_pods_and_revisions_and_leaves_claims() -> None:
    cluster = started()
    delete(cluster, "Background")
    assert cluster.names(STATEFUL_SETS) == []
    cluster.settle()
    assert cluster.names(PODS) == cluster.names(CONTROLLER_REVISIONS) == []
    assert cluster.names(PERSISTENT_VOLUME_CLAIMS) == CLAIMS_OF_THREE


def test_foreground_deletion_keeps_the_set_until_its_pods_are_gone() -> None:
    cluster = started()
    delete(cluster, "Foreground")
    cluster.reconcile()
    assert cluster.names(STATEFUL_SETS) == ["redis"] and cluster.names(PODS) == PODS_OF_THREE
    assert sorted(cluster.pod_changes()) == [f"-{name}" for name in PODS_OF_THREE]
    cluster.settle()
    assert cluster.names(STATEFUL_SETS) == cluster.names(PODS) == cluster.names(CONTROLLER_REVISIONS) == []
    assert cluster.names(PERSISTENT_VOLUME_CLAIMS) == CLAIMS_OF_THREE


def test_orphaning_leaves_the_pods_running_and_a_new_set_adopts_them() -> None:
    cluster = started()
    delete(cluster, "Orphan")
    cluster.settle()
    assert cluster.names(STATEFUL_SETS) == [] and cluster.ready_pods() == PODS_OF_THREE
    assert controllers(cluster.registry.list(PODS)) == {""}
    cluster.registry.delete(PODS, "default", "redis-1")
    cluster.settle()
    assert cluster.names(PODS) == ["redis-0", "redis-2"]  # nobody replaces it
    cluster.changes.clear()
    adopter = cluster.registry.create(STATEFUL_SETS, stateful_set())
    cluster.settle()
    assert cluster.pod_changes() == ["+redis-1"]
    owned = [*cluster.registry.list(PODS), *cluster.registry.list(CONTROLLER_REVISIONS)]
    assert controllers(owned) == {uid_of(adopter)} and len(owned) == 4


def test_when_deleted_delete_takes_the_claims_along() -> None:
    cluster = started(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete", "whenScaled": "Retain"})
    delete(cluster, "Background")
    cluster.settle()
    assert cluster.names(PERSISTENT_VOLUME_CLAIMS) == []


@pytest.mark.parametrize("when_deleted", ["Retain", "Delete"])
def test_when_scaled_delete_takes_the_claims_of_scaled_down_pods(when_deleted: str) -> None:
    cluster = started(persistentVolumeClaimRetentionPolicy={"whenDeleted": when_deleted, "whenScaled": "Delete"})
    cluster.change(STATEFUL_SETS, "redis", lambda s: s["spec"].update(replicas=1))
    cluster.settle()
    assert cluster.names(PERSISTENT_VOLUME_CLAIMS) == ["data-redis-0"]
    cluster.change(STATEFUL_SETS, "redis", lambda s: s["spec"].update(replicas=2))
    cluster.settle()
    assert cluster.ready_pods() == ["redis-0", "redis-1"]


def test_scaling_back_up_waits_for_the_old_claim_to_go_and_gets_a_new_one() -> None:
    cluster = started(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Delete"})
    old = cluster.get(PERSISTENT_VOLUME_CLAIMS, "data-redis-2")
    cluster.change(STATEFUL_SETS, "redis", lambda s: s["spec"].update(replicas=2))
    cluster.reconcile()
    cluster.change(STATEFUL_SETS, "redis", lambda s: s["spec"].update(replicas=3))
    cluster.settle()
    assert cluster.ready_pods() == PODS_OF_THREE and cluster.errors == []
    assert uid_of(cluster.get(PERSISTENT_VOLUME_CLAIMS, "data-redis-2")) != uid_of(old)
