"""What is in use is not deleted."""

from __future__ import annotations

import pytest

from labcluster.api.objects import JSON, is_terminating
from labcluster.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from labcluster.controllers.volumes.protection import ClaimProtectionController, VolumeProtectionController
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.control_plane import NAMESPACE, ControlPlane


@pytest.fixture
def plane() -> ControlPlane:
    return ControlPlane(ClaimProtectionController, VolumeProtectionController)


def test_a_claim_in_use_stays_terminating_until_the_pod_is_gone(plane: ControlPlane) -> None:
    plane.claim()
    plane.pod("a", claim="data")
    plane.run("a", "10.244.1.2")
    plane.settle()
    assert plane.get_claim()["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    plane.registry.delete(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "data")
    plane.settle()
    assert is_terminating(plane.get_claim())
    plane.registry.modify(
        PODS, NAMESPACE, "a", lambda new: new["status"].update(phase="Succeeded"), subresource="status"
    )
    plane.settle()
    assert is_terminating(plane.get_claim()), "a finished pod still uses its claim"
    plane.registry.delete(PODS, NAMESPACE, "a", DeleteOptions(grace_seconds=0))
    plane.settle()
    assert plane.names(PERSISTENT_VOLUME_CLAIMS) == []


def test_a_pod_without_a_node_does_not_hold_a_claim(plane: ControlPlane) -> None:
    plane.claim()
    plane.pod("a", claim="data")
    plane.settle()
    plane.registry.delete(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "data")
    plane.settle()
    assert plane.names(PERSISTENT_VOLUME_CLAIMS) == []


def test_a_bound_volume_stays_terminating_until_it_is_released(plane: ControlPlane) -> None:
    def set_phase(phase: str) -> None:
        def change(new: JSON) -> None:
            new.setdefault("status", {})["phase"] = phase

        plane.registry.modify(PERSISTENT_VOLUMES, "", "v", change, subresource="status")

    plane.volume("v")
    set_phase("Bound")
    plane.settle()
    plane.registry.delete(PERSISTENT_VOLUMES, "", "v")
    plane.settle()
    assert plane.names(PERSISTENT_VOLUMES) == ["v"]
    set_phase("Released")
    plane.settle()
    assert plane.names(PERSISTENT_VOLUMES) == []
