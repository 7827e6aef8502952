"""Owners and what becomes of the owned (fact: uids count, not names)."""

from __future__ import annotations

import pytest

from labcluster.api.objects import JSON, is_terminating, name_of, uid_of
from labcluster.api.resources import CONFIG_MAPS, PODS, SECRETS
from labcluster.controllers.garbage_collector import GarbageCollector
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.control_plane import NAMESPACE, ControlPlane


@pytest.fixture
def plane() -> ControlPlane:
    return ControlPlane(GarbageCollector)


def owned_by(*owners: JSON, block: bool = True) -> list[JSON]:
    return [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": name_of(owner),
            "uid": uid_of(owner),
            "blockOwnerDeletion": block,
        }
        for owner in owners
    ]


def config_map(plane: ControlPlane, name: str, *owners: JSON, block: bool = True, **metadata: object) -> JSON:
    full = {"name": name, "namespace": NAMESPACE, **metadata}
    if owners:
        full["ownerReferences"] = owned_by(*owners, block=block)
    return plane.registry.create(CONFIG_MAPS, {"metadata": full})


def delete(plane: ControlPlane, name: str, propagation: str | None = None) -> None:
    plane.registry.delete(CONFIG_MAPS, NAMESPACE, name, DeleteOptions(propagation=propagation))
    plane.settle()


def test_in_the_background_the_owner_goes_first_and_all_below_follow(plane: ControlPlane) -> None:
    root = config_map(plane, "root")
    child = config_map(plane, "child", root)
    config_map(plane, "grandchild", child)
    config_map(plane, "stranger")
    plane.settle()
    plane.changes.clear()
    delete(plane, "root", "Background")
    assert [name_of(c.object) for c in plane.changes if c.type == "DELETED"] == ["root", "child", "grandchild"]
    assert plane.names(CONFIG_MAPS) == ["stranger"]


def test_in_the_foreground_the_owner_goes_last(plane: ControlPlane) -> None:
    root = config_map(plane, "root")
    child = config_map(plane, "child", root)
    config_map(plane, "grandchild", child)
    plane.settle()
    plane.changes.clear()
    delete(plane, "root", "Foreground")
    assert [name_of(c.object) for c in plane.changes if c.type == "DELETED"] == ["grandchild", "child", "root"]


def test_the_foreground_waits_for_a_blocking_dependent_that_is_held(plane: ControlPlane) -> None:
    root = config_map(plane, "root")
    config_map(plane, "held", root, finalizers=["example.com/hold"])
    delete(plane, "root", "Foreground")
    assert is_terminating(plane.registry.get(CONFIG_MAPS, NAMESPACE, "root"))
    plane.registry.modify(CONFIG_MAPS, NAMESPACE, "held", lambda new: new["metadata"].pop("finalizers"))
    plane.settle()
    assert plane.names(CONFIG_MAPS) == []


def test_the_foreground_does_not_wait_for_what_does_not_block(plane: ControlPlane) -> None:
    root = config_map(plane, "root")
    config_map(plane, "held", root, block=False, finalizers=["example.com/hold"])
    delete(plane, "root", "Foreground")
    assert plane.names(CONFIG_MAPS) == ["held"]
    assert is_terminating(plane.registry.get(CONFIG_MAPS, NAMESPACE, "held"))


def test_orphans_lose_the_reference_before_the_owner_goes(plane: ControlPlane) -> None:
    root = config_map(plane, "root")
    config_map(plane, "child", root)
    plane.settle()
    plane.changes.clear()
    delete(plane, "root", "Orphan")
    assert [(c.type, name_of(c.object)) for c in plane.changes][-2:] == [("MODIFIED", "child"), ("DELETED", "root")]
    assert "ownerReferences" not in plane.registry.get(CONFIG_MAPS, NAMESPACE, "child")["metadata"]


def test_with_a_second_living_owner_only_the_dead_reference_goes(plane: ControlPlane) -> None:
    first, second = config_map(plane, "first"), config_map(plane, "second")
    config_map(plane, "child", first, second)
    delete(plane, "first")
    child = plane.registry.get(CONFIG_MAPS, NAMESPACE, "child")
    assert [r["name"] for r in child["metadata"]["ownerReferences"]] == ["second"]


def test_an_owner_of_the_same_name_made_anew_is_not_the_owner(plane: ControlPlane) -> None:
    old = config_map(plane, "root")
    plane.registry.delete(CONFIG_MAPS, NAMESPACE, "root")
    config_map(plane, "root")
    config_map(plane, "child", old)
    plane.settle()
    assert plane.names(CONFIG_MAPS) == ["root"]


def test_an_owner_of_an_unknown_kind_counts_as_living(plane: ControlPlane) -> None:
    owner = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x", "uid": "1"}}
    config_map(plane, "child", owner)
    plane.settle()
    assert plane.names(CONFIG_MAPS) == ["child"]


def test_pods_of_a_deleted_owner_go_gracefully(plane: ControlPlane) -> None:
    root = config_map(plane, "root")
    plane.pod("a", owners=owned_by(root))
    plane.run("a", "10.244.1.2")
    plane.registry.create(
        SECRETS, {"metadata": {"name": "s", "namespace": NAMESPACE, "ownerReferences": owned_by(root)}}
    )
    delete(plane, "root")
    assert plane.get_pod("a")["metadata"]["deletionGracePeriodSeconds"] == 30
    assert plane.names(SECRETS) == [] and plane.names(PODS) == ["a"]
