"""Adopting and releasing: who may, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, name_of, uid_of
from labcluster.api.owners import controller_of, controller_reference
from labcluster.api.resources import PODS, REPLICA_SETS
from labcluster.controllers import adoption
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.fake_kubelet import FakeCluster
from tests.labcluster.workload_objects import replica_set, web_template


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def owner(cluster: FakeCluster) -> JSON:
    return cluster.registry.create(REPLICA_SETS, replica_set())


def pod(cluster: FakeCluster, name: str, app: str = "web", **metadata: Any) -> JSON:
    made = {**web_template(), "metadata": {"name": name, "namespace": "default", "labels": {"app": app}, **metadata}}
    return cluster.registry.create(PODS, made)


def claimed(cluster: FakeCluster, owner: JSON) -> list[str]:
    found = adoption.claim(cluster.registry, REPLICA_SETS, owner, PODS, cluster.registry.list(PODS))
    return [name_of(p) for p in found]


def owner_of(cluster: FakeCluster, name: str) -> str:
    return str((controller_of(cluster.get(PODS, name)) or {}).get("uid", ""))


def test_matching_orphans_are_adopted_and_others_are_not(cluster: FakeCluster, owner: JSON) -> None:
    pod(cluster, "a")
    pod(cluster, "b", app="other")
    assert claimed(cluster, owner) == ["a"]
    assert (owner_of(cluster, "a"), owner_of(cluster, "b")) == (uid_of(owner), "")


def test_a_terminating_orphan_is_not_adopted(cluster: FakeCluster, owner: JSON) -> None:
    pod(cluster, "a", finalizers=["example.com/hold"])
    cluster.registry.delete(PODS, "default", "a")
    assert claimed(cluster, owner) == [] and owner_of(cluster, "a") == ""


def test_another_controller_s_object_stays_its_own(cluster: FakeCluster, owner: JSON) -> None:
    pod(cluster, "a", ownerReferences=[{**controller_reference(owner), "uid": "another"}])
    assert claimed(cluster, owner) == [] and owner_of(cluster, "a") == "another"


def test_what_matches_no_longer_is_released_and_keeps_its_other_owners(cluster: FakeCluster, owner: JSON) -> None:
    friend = {"apiVersion": "v1", "kind": "ConfigMap", "name": "friend", "uid": "f"}
    pod(cluster, "a", app="other", ownerReferences=[controller_reference(owner), friend])
    assert claimed(cluster, owner) == []
    assert cluster.get(PODS, "a")["metadata"]["ownerReferences"] == [friend]


def test_a_terminating_owner_neither_adopts_nor_releases(cluster: FakeCluster, owner: JSON) -> None:
    pod(cluster, "mine", ownerReferences=[controller_reference(owner)])
    pod(cluster, "gone", app="other", ownerReferences=[controller_reference(owner)])
    pod(cluster, "orphan")
    leaving = cluster.registry.delete(REPLICA_SETS, "default", "web", DeleteOptions(propagation="Foreground"))
    assert claimed(cluster, leaving) == ["mine"]
    assert (owner_of(cluster, "gone"), owner_of(cluster, "orphan")) == (uid_of(owner), "")


def test_an_owner_that_was_made_anew_meanwhile_cannot_adopt(cluster: FakeCluster, owner: JSON) -> None:
    pod(cluster, "a")
    cluster.registry.delete(REPLICA_SETS, "default", "web")
    cluster.registry.create(REPLICA_SETS, replica_set())
    with pytest.raises(ApiError, match="has just been deleted"):
        claimed(cluster, owner)
    assert owner_of(cluster, "a") == ""
