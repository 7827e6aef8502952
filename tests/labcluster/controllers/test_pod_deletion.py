"""What a watch shows of a pod's end."""

from __future__ import annotations

from pathlib import Path

from labcluster.api.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS
from labcluster.storage.registry import Change, DeleteOptions, Registry
from labcluster.storage.store import Store


def test_a_pods_grace_is_seen_to_be_over_before_it_is_gone(tmp_path: Path) -> None:
    registry = Registry(Store(tmp_path / "store.db"))
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    spec = {"containers": [{"name": "main", "image": "busybox:1.37"}], "nodeName": "lab-worker"}
    registry.create(PODS, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
    seen: list[Change] = []
    registry.subscribe(PODS, seen.append)
    seen.clear()
    registry.delete(PODS, "default", "web")
    registry.delete(PODS, "default", "web", DeleteOptions(grace_seconds=0))
    told = [(change.type, change.object["metadata"]["deletionGracePeriodSeconds"]) for change in seen]
    assert told == [("MODIFIED", 30), ("MODIFIED", 0), ("DELETED", 0)]
