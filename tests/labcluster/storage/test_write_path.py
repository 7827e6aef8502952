"""The way of a write through the registry: what each subresource touches, what is tracked, what its kind decides."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.api.resources import DEPLOYMENTS, NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS, Resource
from labcluster.storage.registry import Change, DeleteOptions, Registry
from labcluster.storage.store import Store

CONTAINER = {"name": "web", "image": "nginx:1"}
DEBUGGER = {"name": "debugger", "image": "busybox:1"}
OBJECTS: dict[Resource, JSON] = {
    PODS: {"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [CONTAINER]}},
    DEPLOYMENTS: {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER]}},
        },
    },
    NAMESPACES: {"metadata": {"name": "other"}},
}
CHANGES: dict[Resource, JSON] = {
    PODS: {"nodeName": "node-1", "ephemeralContainers": [DEBUGGER]},
    DEPLOYMENTS: {"replicas": 7},
    NAMESPACES: {"finalizers": []},
}


@pytest.fixture
def registry() -> Registry:
    registry = Registry(Store(":memory:"))
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    return registry


def difference(old: Any, new: Any, path: str = "") -> set[str]:
    """The paths of the fields that differ."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return set() if old == new else {path}
    keys = old.keys() | new.keys()
    return set().union(*(difference(old.get(key), new.get(key), f"{path}.{key}") for key in keys))


@pytest.mark.parametrize(
    ("resource", "subresource", "touched"),
    [
        (PODS, "status", {".status.phase"}),
        (PODS, "binding", {".status.phase", ".spec.nodeName"}),
        (PODS, "ephemeralcontainers", {".spec.ephemeralContainers", ".metadata.generation"}),
        (DEPLOYMENTS, "status", {".status.phase"}),
        (DEPLOYMENTS, "", {".metadata.labels", ".metadata.generation", ".spec.replicas"}),
        (NAMESPACES, "status", {".status.phase"}),
        (NAMESPACES, "finalize", {".spec.finalizers"}),
        (NAMESPACES, "", {".metadata.labels.a", ".spec.finalizers"}),  # as long as it is Terminating
    ],
)
def test_a_subresource_touches_its_own_part(
    registry: Registry, resource: Resource, subresource: str, touched: set[str]
) -> None:
    """All is changed that any subresource may change; each takes what is its own and leaves the rest."""
    old = registry.create(resource, OBJECTS[resource])
    if resource == NAMESPACES:
        old = registry.delete(resource, "", "other")
    given = clone(old)
    given["metadata"]["labels"] = {**given["metadata"].get("labels", {}), "a": "b"}
    given["metadata"]["generateName"] = "x-"
    given["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z"
    given["metadata"]["managedFields"] = [{"manager": "me", "operation": "Update"}]
    given["status"] = {**given.get("status", {}), "phase": "Failed"}
    given["spec"] |= CHANGES[resource]
    new = registry.update(resource, given, subresource=subresource)
    assert difference(old, new) - {".metadata.resourceVersion"} == touched


def test_the_scale_touches_the_replicas(registry: Registry) -> None:
    old = registry.create(DEPLOYMENTS, OBJECTS[DEPLOYMENTS])
    scale = {"metadata": {**old["metadata"], "labels": {"a": "b"}}, "spec": {"replicas": 7}, "status": {"replicas": 9}}
    new = registry.update(DEPLOYMENTS, scale, subresource="scale")
    assert difference(old, new) == {".metadata.resourceVersion", ".metadata.generation", ".spec.replicas"}


def test_who_tracks_sees_what_will_be_stored_with_its_defaults(registry: Registry) -> None:
    """Defaults belong to who writes, what the registry adds to nobody; what a write leaves alone is as it was."""
    seen: list[tuple[JSON, JSON]] = []

    def track(old: JSON, new: JSON) -> list[JSON]:
        seen.append((clone(old), clone(new)))
        return [{"manager": "me", "operation": "Update"}]

    made = registry.create(DEPLOYMENTS, OBJECTS[DEPLOYMENTS], track=track)
    assert made["metadata"]["managedFields"] == [{"manager": "me", "operation": "Update"}]
    ((old, new),) = seen
    assert old == {} and new["spec"]["replicas"] == 1 and new["metadata"] == OBJECTS[DEPLOYMENTS]["metadata"]

    given = {"metadata": {"name": "web", "namespace": "default"}, "status": {"replicas": 1}}
    updated = registry.update(DEPLOYMENTS, given, subresource="status", track=track)
    assert difference(*seen[1]) == {".status.replicas"} and seen[1][0] == made
    assert updated["spec"] == made["spec"] and updated["status"] == {"replicas": 1}

    given = {"metadata": {"name": "web", "namespace": "default"}}
    assert registry.update(DEPLOYMENTS, given, subresource="status", track=track) is updated
    assert difference(*seen[2]) == set()  # what is not given is not taken away, nor from its managers


def test_managers_stay_unless_they_are_tracked_and_can_all_go(registry: Registry) -> None:
    managers = [{"manager": "me", "operation": "Update"}]
    registry.create(DEPLOYMENTS, OBJECTS[DEPLOYMENTS], track=lambda old, new: managers)
    kept = registry.update(DEPLOYMENTS, OBJECTS[DEPLOYMENTS])
    assert kept["metadata"]["managedFields"] == managers
    gone = registry.update(DEPLOYMENTS, OBJECTS[DEPLOYMENTS], track=lambda old, new: [])
    assert "managedFields" not in gone["metadata"]


def test_a_node_brings_its_status_and_others_do_not(registry: Registry) -> None:
    node = {"metadata": {"name": "node-1"}, "status": {"capacity": {"pods": "110"}}}
    assert registry.create(NODES, node)["status"] == node["status"]
    assert registry.create(DEPLOYMENTS, {**OBJECTS[DEPLOYMENTS], "status": {"replicas": 3}})["status"] == {}


def test_a_pod_that_goes_at_once_is_marked_first_and_others_are_not(registry: Registry) -> None:
    for resource, expected in ((PODS, ["MODIFIED", "DELETED"]), (DEPLOYMENTS, ["DELETED"])):
        registry.create(resource, OBJECTS[resource])
        changes: list[Change] = []
        registry.follow(resource, changes.append)
        last = registry.delete(resource, "default", "web", DeleteOptions(grace_seconds=0))
        assert [change.type for change in changes] == expected
        assert ("deletionTimestamp" in last["metadata"]) == (resource == PODS)


def test_the_finalizers_of_its_spec_hold_a_namespace(registry: Registry) -> None:
    registry.create(NAMESPACES, OBJECTS[NAMESPACES])
    held = registry.delete(NAMESPACES, "", "other")
    assert held["status"]["phase"] == "Terminating" and registry.find(NAMESPACES, "", "other") is held
    given = {"metadata": {"name": "other"}, "spec": {"finalizers": []}}
    registry.update(NAMESPACES, given, subresource="finalize")
    assert registry.find(NAMESPACES, "", "other") is None
