"""The end of a namespace."""

from __future__ import annotations

import pytest

from labcluster.api.conditions import condition
from labcluster.api.errors import ApiError
from labcluster.api.objects import is_terminating
from labcluster.api.resources import CONFIG_MAPS, NAMESPACES, PODS
from labcluster.controllers.namespaces.namespace import NamespaceController
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.control_plane import NAMESPACE, ControlPlane


@pytest.fixture
def plane() -> ControlPlane:
    plane = ControlPlane(NamespaceController)
    assert plane.registry.get(NAMESPACES, "", NAMESPACE)["spec"]["finalizers"] == ["kubernetes"]
    return plane


def config_map(plane: ControlPlane, name: str, **metadata: object) -> None:
    plane.registry.create(CONFIG_MAPS, {"metadata": {"name": name, "namespace": NAMESPACE, **metadata}})


def test_an_empty_namespace_goes_at_once(plane: ControlPlane) -> None:
    config_map(plane, "c")
    plane.registry.delete(NAMESPACES, "", NAMESPACE)
    plane.settle()
    assert plane.registry.find(NAMESPACES, "", NAMESPACE) is None
    assert plane.names(CONFIG_MAPS) == []


def test_pods_go_first_and_gracefully_then_the_rest(plane: ControlPlane) -> None:
    config_map(plane, "c")
    plane.pod("a")
    plane.run("a", "10.244.1.2")
    plane.registry.delete(NAMESPACES, "", NAMESPACE)
    plane.settle()
    namespace = plane.registry.get(NAMESPACES, "", NAMESPACE)
    assert namespace["status"]["phase"] == "Terminating"
    assert is_terminating(plane.get_pod("a")) and plane.names(CONFIG_MAPS) == ["c"]
    remaining = condition(namespace, "NamespaceContentRemaining")
    assert remaining is not None and remaining["status"] == "True"
    assert remaining["message"] == "Some resources are remaining: pods. has 1 resource instances"
    plane.registry.delete(PODS, NAMESPACE, "a", DeleteOptions(grace_seconds=0))
    plane.settle()
    assert plane.registry.find(NAMESPACES, "", NAMESPACE) is None


def test_a_finalizer_inside_holds_the_namespace_and_is_named(plane: ControlPlane) -> None:
    config_map(plane, "held", finalizers=["example.com/hold"])
    plane.registry.delete(NAMESPACES, "", NAMESPACE)
    plane.settle()
    found = condition(plane.registry.get(NAMESPACES, "", NAMESPACE), "NamespaceFinalizersRemaining")
    assert found is not None and found["message"] == (
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    )
    plane.registry.modify(CONFIG_MAPS, NAMESPACE, "held", lambda new: new["metadata"].pop("finalizers"))
    plane.settle()
    assert plane.registry.find(NAMESPACES, "", NAMESPACE) is None


def test_meanwhile_nothing_new_can_be_made(plane: ControlPlane) -> None:
    plane.pod("a")
    plane.run("a", "10.244.1.2")
    plane.registry.delete(NAMESPACES, "", NAMESPACE)
    plane.settle()
    with pytest.raises(ApiError) as caught:
        config_map(plane, "late")
    assert caught.value.details["causes"][0]["reason"] == "NamespaceTerminating"
