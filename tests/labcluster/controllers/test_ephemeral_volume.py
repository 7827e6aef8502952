"""Generic ephemeral volumes: a claim for each pod, gone with it."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, labels_of
from labcluster.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS, REPLICA_SETS
from labcluster.controllers.garbage_collector import GarbageCollector
from labcluster.controllers.replicaset import ReplicaSetController
from labcluster.controllers.volumes.ephemeral import EphemeralVolumeController
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.control_plane import NAMESPACE, ControlPlane
from tests.labcluster.workload_objects import replica_set

CLAIM: JSON = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def volume(**metadata: Any) -> JSON:
    template = {"spec": CLAIM, **({"metadata": metadata} if metadata else {})}
    return {"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}


async def test_the_claim_has_the_templates_labels_and_belongs_to_the_pod() -> None:
    plane = ControlPlane(EphemeralVolumeController)
    pod = plane.pod("a", volumes=[volume(labels={"for": "a"})])
    plane.settle()
    claim = plane.get_claim("a-scratch")
    assert labels_of(claim) == {"for": "a"}
    assert claim["spec"]["resources"] == CLAIM["resources"]
    owner = claim["metadata"]["ownerReferences"]
    assert [(o["kind"], o["uid"], o["controller"]) for o in owner] == [("Pod", pod["metadata"]["uid"], True)]


async def test_each_pod_of_a_replica_set_has_one_that_goes_with_it() -> None:
    plane = ControlPlane(ReplicaSetController, EphemeralVolumeController, GarbageCollector)
    made = replica_set(3)
    made["metadata"]["namespace"] = NAMESPACE
    made["spec"]["template"]["spec"]["volumes"] = [volume()]
    plane.registry.create(REPLICA_SETS, made)
    plane.settle()
    assert plane.names(PERSISTENT_VOLUME_CLAIMS) == sorted(f"{name}-scratch" for name in plane.names(PODS))
    first = plane.names(PODS)[0]
    plane.registry.delete(PODS, NAMESPACE, first, DeleteOptions(grace_seconds=0))
    plane.settle()
    left = plane.registry.find(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, f"{first}-scratch")
    assert left is None or left["metadata"].get("deletionTimestamp")
    alive = [c for c in plane.registry.list(PERSISTENT_VOLUME_CLAIMS, NAMESPACE) if c is not left]
    assert len(alive) == 3


async def test_a_claim_of_someone_else_is_not_taken() -> None:
    plane = ControlPlane(EphemeralVolumeController)
    plane.claim("a-scratch")
    plane.pod("a", volumes=[volume()])
    with pytest.raises(ApiError, match="was not created for pod test/a"):
        plane.settle()
    message = "ephemeral volume scratch: PVC test/a-scratch was not created for pod test/a (pod is not owner)"
    assert plane.events("a", "FailedBinding") == [message]


async def test_a_claim_that_was_deleted_is_made_again() -> None:
    plane = ControlPlane(EphemeralVolumeController)
    plane.pod("a", volumes=[volume()])
    plane.settle()
    before = plane.get_claim("a-scratch")["metadata"]["uid"]
    plane.registry.modify(
        PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "a-scratch", lambda new: new["metadata"].pop("finalizers", None)
    )
    plane.registry.delete(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "a-scratch")
    plane.settle()
    assert plane.get_claim("a-scratch")["metadata"]["uid"] != before
