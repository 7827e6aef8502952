"""The default storage class: a directory on the node where the first pod goes."""

from __future__ import annotations

import pytest

from labcluster.api.objects import annotations_of
from labcluster.api.resources import EVENTS, NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from labcluster.controllers.scheduling.scheduler import Scheduler
from labcluster.controllers.volumes.binding import VolumeBindingController
from labcluster.controllers.volumes.protection import ClaimProtectionController, VolumeProtectionController
from labcluster.controllers.volumes.provisioning import LocalPathProvisioner
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.control_plane import NAMESPACE, WORKER, WORKER2, ControlPlane


class Disk:
    """Remembers what was removed; can fail."""

    def __init__(self) -> None:
        self.removed: list[tuple[str, str]] = []
        self.broken = False

    def __call__(self, node: str, path: str) -> None:
        if self.broken:
            raise OSError("disk is gone")
        self.removed.append((node, path))


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def plane(disk: Disk) -> ControlPlane:
    return ControlPlane(
        VolumeBindingController,
        lambda registry: LocalPathProvisioner(registry, disk),
        ClaimProtectionController,
        VolumeProtectionController,
        Scheduler,
    )


def bound_pod(plane: ControlPlane) -> str:
    """A pod with a claim, scheduled; returns the name of its volume."""
    plane.claim()
    plane.pod("a", claim="data")
    plane.settle()
    return str(plane.get_claim()["spec"]["volumeName"])


def test_the_volume_is_made_where_the_pod_goes_and_pinned_there(plane: ControlPlane) -> None:
    name = bound_pod(plane)
    claim = plane.get_claim()
    volume = plane.registry.get(PERSISTENT_VOLUMES, "", name)
    assert name == f"pvc-{claim['metadata']['uid']}"
    assert volume["spec"]["hostPath"] == {
        "path": f"/var/local-path-provisioner/{name}_{NAMESPACE}_data",
        "type": "DirectoryOrCreate",
    }
    term = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]
    assert (term["key"], term["values"]) == ("kubernetes.io/hostname", [WORKER])
    assert volume["spec"]["capacity"] == {"storage": "1Gi"} and volume["status"]["phase"] == "Bound"
    assert annotations_of(volume)["pv.kubernetes.io/provisioned-by"] == "rancher.io/local-path"
    assert volume["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    assert annotations_of(claim)["volume.kubernetes.io/selected-node"] == WORKER == plane.node_of("a")


def test_the_pod_is_bound_after_its_claim(plane: ControlPlane) -> None:
    bound_pod(plane)
    order = [
        c.resource.kind
        for c in plane.changes
        if (c.resource == PODS and c.object["spec"].get("nodeName"))
        or (c.resource == PERSISTENT_VOLUME_CLAIMS and c.object["status"].get("phase") == "Bound")
        or (c.resource == PERSISTENT_VOLUMES and c.type == "ADDED")
    ]
    assert order[:3] == ["PersistentVolume", "PersistentVolumeClaim", "Pod"]


def test_a_claim_costs_few_writes(plane: ControlPlane) -> None:
    bound_pod(plane)
    volumes = (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES)
    assert len([c for c in plane.changes if c.resource in volumes]) <= 7
    assert len([c for c in plane.changes if c.resource == PODS]) == 2


def test_the_events_tell_the_story_in_order(plane: ControlPlane) -> None:
    name = bound_pod(plane)
    assert plane.events("data", "Provisioning") == [
        f'External provisioner is provisioning volume for claim "{NAMESPACE}/data"'
    ]
    assert plane.events("data", "ProvisioningSucceeded") == [f"Successfully provisioned volume {name}"]
    assert plane.events("data", "ExternalProvisioning")[0].startswith("Waiting for a volume to be created")
    assert plane.events("a", "FailedScheduling") == []
    reasons = [e["reason"] for e in plane.registry.list(EVENTS, NAMESPACE) if e["involvedObject"]["name"] == "data"]
    assert reasons == ["WaitForFirstConsumer", "ExternalProvisioning", "Provisioning", "ProvisioningSucceeded"]


def test_a_pod_comes_back_to_the_node_of_its_volume(plane: ControlPlane) -> None:
    bound_pod(plane)
    plane.registry.delete(PODS, NAMESPACE, "a", DeleteOptions(grace_seconds=0))
    for name in "xyz":
        plane.pod(name, nodeSelector={"kubernetes.io/hostname": WORKER})
    plane.pod("a", claim="data")
    plane.settle()
    assert plane.node_of("a") == WORKER


def test_deleting_the_claim_removes_volume_and_directory(plane: ControlPlane, disk: Disk) -> None:
    name = bound_pod(plane)
    plane.registry.delete(PODS, NAMESPACE, "a", DeleteOptions(grace_seconds=0))
    plane.registry.delete(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "data")
    plane.settle()
    assert plane.names(PERSISTENT_VOLUME_CLAIMS) == [] == plane.names(PERSISTENT_VOLUMES)
    assert disk.removed == [(WORKER, f"/var/local-path-provisioner/{name}_{NAMESPACE}_data")]
    phases = [c.object["status"]["phase"] for c in plane.changes if c.resource == PERSISTENT_VOLUMES]
    assert "Released" in phases


def test_a_directory_that_cannot_be_removed_keeps_the_volume(plane: ControlPlane, disk: Disk) -> None:
    name = bound_pod(plane)
    disk.broken = True
    plane.registry.delete(PODS, NAMESPACE, "a", DeleteOptions(grace_seconds=0))
    plane.registry.delete(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "data")
    plane.settle()
    assert plane.events(name, "VolumeFailedDelete") == ["disk is gone"]
    assert plane.later[f"volume//{name}"] > 0


def test_policy_retain_keeps_the_volume_released(plane: ControlPlane, disk: Disk) -> None:
    name = bound_pod(plane)
    plane.registry.modify(
        PERSISTENT_VOLUMES, "", name, lambda new: new["spec"].update(persistentVolumeReclaimPolicy="Retain")
    )
    plane.registry.delete(PODS, NAMESPACE, "a", DeleteOptions(grace_seconds=0))
    plane.registry.delete(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "data")
    plane.settle()
    assert plane.registry.get(PERSISTENT_VOLUMES, "", name)["status"]["phase"] == "Released"
    assert disk.removed == []


def test_only_modes_of_one_node_are_provisioned(plane: ControlPlane) -> None:
    plane.claim(accessModes=["ReadWriteMany"])
    plane.pod("a", claim="data")
    plane.settle()
    assert plane.events("data", "ProvisioningFailed") == [
        'failed to provision volume with StorageClass "standard": '
        "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes"
    ]
    assert plane.node_of("a") == ""


def test_an_immediate_class_has_no_node_to_provision_on(plane: ControlPlane) -> None:
    plane.storage_class("now", "rancher.io/local-path")
    plane.claim(storageClassName="now")
    plane.settle()
    assert plane.events("data", "ProvisioningFailed")[0].endswith("configuration error, no node was specified")


def test_pods_that_share_a_claim_share_its_node(plane: ControlPlane) -> None:
    plane.claim()
    for name in "abc":
        plane.pod(name, claim="data")
    plane.settle()
    assert {plane.node_of(n) for n in "abc"} == {WORKER}
    assert len(plane.names(PERSISTENT_VOLUMES)) == 1


def test_a_node_that_went_before_provisioning_is_chosen_anew(plane: ControlPlane) -> None:
    plane.claim()
    plane.registry.modify(
        PERSISTENT_VOLUME_CLAIMS,
        NAMESPACE,
        "data",
        lambda new: new["metadata"].update(annotations={"volume.kubernetes.io/selected-node": "gone"}),
    )
    plane.pod("a", claim="data")
    plane.settle()
    assert plane.node_of("a") in (WORKER, WORKER2)
    assert plane.events("data", "ProvisioningFailed") == ['failed to get target node: nodes "gone" not found']
    assert plane.registry.find(NODES, "", "gone") is None


def test_a_node_chosen_before_a_restart_is_kept(plane: ControlPlane) -> None:
    plane.claim()
    plane.registry.modify(
        PERSISTENT_VOLUME_CLAIMS,
        NAMESPACE,
        "data",
        lambda new: new["metadata"].update(annotations={"volume.kubernetes.io/selected-node": WORKER2}),
    )
    plane.pod("a", claim="data")
    plane.settle()
    assert plane.node_of("a") == WORKER2
