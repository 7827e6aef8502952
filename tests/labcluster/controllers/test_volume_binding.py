"""Claims find volumes; their phases and events tell how far they are."""

from __future__ import annotations

import pytest

from labcluster.api.objects import annotations_of
from labcluster.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from labcluster.controllers.scheduling.scheduler import Scheduler
from labcluster.controllers.volumes.binding import VolumeBindingController
from labcluster.controllers.volumes.matching import NO_PROVISIONER, is_bound
from tests.labcluster.control_plane import NAMESPACE, WORKER, WORKER2, ControlPlane


@pytest.fixture
def plane() -> ControlPlane:
    return ControlPlane(VolumeBindingController, Scheduler)


def phase(plane: ControlPlane, name: str) -> str:
    return str(plane.registry.get(PERSISTENT_VOLUMES, "", name)["status"]["phase"])


def claim_phase(plane: ControlPlane, name: str = "data") -> str:
    return str(plane.get_claim(name)["status"]["phase"])


def test_a_claim_gets_the_smallest_volume_that_fits(plane: ControlPlane) -> None:
    for name, size in (("big", "10Gi"), ("small", "500Mi"), ("fits", "2Gi")):
        plane.volume(name, size)
    plane.claim(size="1Gi", storageClassName="")
    plane.settle()
    claim = plane.get_claim()
    assert (claim["spec"]["volumeName"], claim["status"]["phase"]) == ("fits", "Bound")
    assert claim["status"]["capacity"] == {"storage": "2Gi"} and claim["status"]["accessModes"] == ["ReadWriteOnce"]
    assert annotations_of(claim) == {
        "pv.kubernetes.io/bind-completed": "yes",
        "pv.kubernetes.io/bound-by-controller": "yes",
    }
    volume = plane.registry.get(PERSISTENT_VOLUMES, "", "fits")
    assert volume["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]
    assert annotations_of(volume)["pv.kubernetes.io/bound-by-controller"] == "yes"
    assert [phase(plane, n) for n in ("fits", "big", "small")] == ["Bound", "Available", "Available"]


def test_class_modes_and_selector_must_agree(plane: ControlPlane) -> None:
    plane.volume("other-class", storageClassName="slow")
    plane.volume("read-only", accessModes=["ReadOnlyMany"])
    plane.volume("wrong-label", labels={"disk": "hdd"})
    plane.claim(storageClassName="", selector={"matchLabels": {"disk": "ssd"}})
    plane.settle()
    assert claim_phase(plane) == "Pending"
    plane.volume("right", labels={"disk": "ssd"})
    plane.settle()
    assert plane.get_claim()["spec"]["volumeName"] == "right"


def test_without_class_and_volume_the_claim_says_so(plane: ControlPlane) -> None:
    plane.claim(storageClassName="")
    plane.settle()
    assert claim_phase(plane) == "Pending"
    assert plane.events("data") == ["no persistent volumes available for this claim and no storage class is set"]


def test_an_unknown_class_is_named(plane: ControlPlane) -> None:
    plane.claim(storageClassName="nosuch")
    plane.settle()
    assert plane.events("data", "ProvisioningFailed") == ['storageclass.storage.k8s.io "nosuch" not found']


def test_a_claim_of_the_default_class_waits_for_its_first_consumer(plane: ControlPlane) -> None:
    plane.claim(storageClassName="standard")
    plane.settle()
    assert plane.events("data", "WaitForFirstConsumer") == ["waiting for first consumer to be created before binding"]
    assert "volumeName" not in plane.get_claim()["spec"]


def test_a_claim_whose_pod_cannot_be_placed_waits_for_that_pod() -> None:
    plane = ControlPlane(VolumeBindingController)
    plane.claim(storageClassName="standard")
    plane.settle()
    plane.pod("a", claim="data")
    plane.registry.modify(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "data", lambda new: new["metadata"].update(labels={}))
    plane.settle()
    assert plane.events("data", "WaitForPodScheduled") == ["waiting for pod a to be scheduled"]


def test_a_claim_without_class_gets_the_default_one_when_it_appears(plane: ControlPlane) -> None:
    plane.registry.delete(STORAGE_CLASSES, "", "standard")
    plane.claim()
    plane.settle()
    assert "storageClassName" not in plane.get_claim()["spec"]
    plane.storage_class("new", "rancher.io/local-path")
    plane.registry.modify(
        STORAGE_CLASSES,
        "",
        "new",
        lambda new: new["metadata"].update(annotations={"storageclass.kubernetes.io/is-default-class": "true"}),
    )
    plane.settle()
    assert plane.get_claim()["spec"]["storageClassName"] == "new"


def test_an_external_provisioner_is_called_by_an_annotation(plane: ControlPlane) -> None:
    plane.storage_class("fast", "example.com/disk")
    plane.claim(storageClassName="fast")
    plane.settle()
    assert annotations_of(plane.get_claim()) == {
        "volume.beta.kubernetes.io/storage-provisioner": "example.com/disk",
        "volume.kubernetes.io/storage-provisioner": "example.com/disk",
    }
    assert plane.events("data", "ExternalProvisioning")[0].startswith(
        "Waiting for a volume to be created either by the external provisioner 'example.com/disk'"
    )


def test_a_named_volume_is_taken_or_refused(plane: ControlPlane) -> None:
    plane.volume("mine", "1Gi")
    plane.claim("too-big", "5Gi", storageClassName="", volumeName="mine")
    plane.settle()
    assert plane.events("too-big", "VolumeMismatch") == [
        'Cannot bind to requested volume "mine": requested PV is too small'
    ]
    plane.claim("right", storageClassName="", volumeName="mine")
    plane.settle()
    assert claim_phase(plane, "right") == "Bound"
    assert "pv.kubernetes.io/bound-by-controller" not in annotations_of(plane.get_claim("right"))


def test_a_volume_reserved_for_a_claim_waits_for_it(plane: ControlPlane) -> None:
    plane.volume("reserved", claimRef={"namespace": NAMESPACE, "name": "data"})
    plane.claim("other", storageClassName="")
    plane.settle()
    assert (phase(plane, "reserved"), claim_phase(plane, "other")) == ("Available", "Pending")
    plane.claim(storageClassName="")
    plane.settle()
    assert plane.get_claim()["spec"]["volumeName"] == "reserved"


def test_a_volume_of_policy_retain_stays_released(plane: ControlPlane) -> None:
    plane.volume("kept")
    plane.claim(storageClassName="")
    plane.settle()
    plane.registry.modify(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "data", lambda new: new["metadata"].pop("finalizers", 0))
    plane.registry.delete(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "data")
    plane.settle()
    assert phase(plane, "kept") == "Released"
    plane.claim(storageClassName="")  # the same name, another uid: not the volume's claim
    plane.settle()
    assert (phase(plane, "kept"), claim_phase(plane)) == ("Released", "Pending")
    plane.registry.modify(PERSISTENT_VOLUMES, "", "kept", lambda new: new["spec"].pop("claimRef"))
    plane.settle()
    assert (phase(plane, "kept"), claim_phase(plane)) == ("Bound", "Bound")


def test_a_hand_made_volume_of_policy_delete_fails(plane: ControlPlane) -> None:
    plane.volume("mine", persistentVolumeReclaimPolicy="Delete")
    plane.claim(storageClassName="")
    plane.settle()
    plane.registry.modify(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "data", lambda new: new["metadata"].pop("finalizers", 0))
    plane.registry.delete(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "data")
    plane.settle()
    assert phase(plane, "mine") == "Failed"
    assert plane.events("mine", "VolumeFailedDelete")


def test_a_claim_that_loses_its_volume_is_lost(plane: ControlPlane) -> None:
    plane.volume("mine")
    plane.claim(storageClassName="")
    plane.settle()
    plane.registry.modify(PERSISTENT_VOLUMES, "", "mine", lambda new: new["metadata"].pop("finalizers", 0))
    plane.registry.delete(PERSISTENT_VOLUMES, "", "mine")
    plane.settle()
    assert claim_phase(plane) == "Lost"
    assert plane.events("data", "ClaimLost") == [
        "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
    ]
    plane.pod("a", claim="data")
    plane.settle()
    assert 'persistentvolumeclaim "data" bound to non-existent persistentvolume "mine"' in plane.events("a")[0]


def test_an_immediate_claim_without_volume_holds_its_pod(plane: ControlPlane) -> None:
    plane.storage_class("fast", "example.com/disk")
    plane.claim(storageClassName="fast")
    plane.pod("a", claim="data")
    plane.settle()
    assert plane.events("a", "FailedScheduling") == [
        "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
    ]
    plane.volume("late", storageClassName="fast")
    plane.settle()
    assert plane.node_of("a") == WORKER and is_bound(plane.get_claim())


def test_the_scheduler_binds_a_local_volume_that_the_node_reaches(plane: ControlPlane) -> None:
    plane.storage_class("local", NO_PROVISIONER, "WaitForFirstConsumer")
    plane.volume("there", node=WORKER2, storageClassName="local")
    for name in ("data", "more"):
        plane.claim(name, storageClassName="local")
    plane.pod("a", claim="data")
    plane.settle()
    assert plane.node_of("a") == WORKER2 and plane.get_claim()["spec"]["volumeName"] == "there"
    plane.pod("b", claim="more")
    plane.settle()
    assert "2 node(s) didn't find available persistent volumes to bind." in plane.events("b")[0]


def test_a_pod_follows_its_volume_and_waits_when_the_node_is_cordoned(plane: ControlPlane) -> None:
    plane.volume("there", node=WORKER2)
    plane.claim(storageClassName="")
    plane.settle()
    plane.pod("a", claim="data")
    plane.pod("b", claim="data", nodeSelector={"kubernetes.io/hostname": WORKER})
    plane.settle()
    assert plane.node_of("a") == WORKER2
    assert plane.events("b")[0].startswith(
        "0/3 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, "
        "1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s). "
    )
