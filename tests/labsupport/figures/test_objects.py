"""The map of a StatefulSet's objects: what is on it, which way the arrows point, and what its alt text says."""

from __future__ import annotations

from types import SimpleNamespace as Object
from typing import Any

import pytest

from labsupport.cluster import api, scope
from labsupport.figures import objects
from labsupport.figures.objects import NAMED, OWNER, object_graph, object_map


def meta(name: str, *owners: Any) -> Object:
    return Object(
        name=name,
        uid=f"uid-{name}",
        owner_references=[Object(uid=o.metadata.uid, kind=o.kind, name=o.metadata.name) for o in owners],
    )


class Cluster:
    """The few calls that the map makes, answered from lists."""

    def __init__(self) -> None:
        self.set = Object(kind="StatefulSet", metadata=meta("db"), spec=Object(service_name="db"))
        stranger = Object(metadata=meta("web-x"), spec=Object(volumes=None))
        self.pods = [self.pod("db-10"), self.pod("db-9"), stranger]
        self.claims: dict[str, Any] = {}
        self.volumes: set[str] = set()
        self.services: set[str] = set()
        self.slices: list[Any] = []

    def pod(self, name: str) -> Object:
        mounted = Object(persistent_volume_claim=Object(claim_name=f"data-{name}"))
        return Object(
            metadata=meta(name, self.set), spec=Object(volumes=[mounted, Object(persistent_volume_claim=None)])
        )

    def bind(self, claim: str, volume: str) -> None:
        self.claims[claim] = Object(metadata=meta(claim), spec=Object(volume_name=volume))
        self.volumes.add(volume)

    def list_namespaced_pod(self, space: str) -> Object:
        return Object(items=self.pods)

    def list_namespaced_controller_revision(self, space: str) -> Object:
        return Object(items=[Object(metadata=meta(f"db-{n}", self.set), revision=n) for n in (2, 1)])

    def read_namespaced_stateful_set(self, name: str, space: str) -> Any:
        return self._found(self.set if name == "db" else None)

    def read_namespaced_persistent_volume_claim(self, name: str, space: str) -> Any:
        return self._found(self.claims.get(name))

    def read_persistent_volume(self, name: str) -> Any:
        return self._found(name if name in self.volumes else None)

    def read_namespaced_service(self, name: str, space: str) -> Any:
        return self._found(name if name in self.services else None)

    def get(self, **_: Any) -> Object:
        return Object(items=self.slices)

    @staticmethod
    def _found(item: Any) -> Any:
        if item is None:
            raise api.ApiException(status=404)
        return item


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(scope, "namespace", lambda: "chapter-03")
    monkeypatch.setattr(
        objects,
        "kube",
        Object(core=lambda: made, apps=lambda: made, resource=lambda word: made, ApiException=api.ApiException),
    )
    return made


def test_the_pods_of_the_set_are_in_the_order_of_their_numbers(cluster: Cluster) -> None:
    boxes = object_graph("db").boxes.values()
    assert [box.text for box in boxes if box.kind == "Pod"] == ["db-9", "db-10"]


def test_an_arrow_begins_where_the_reference_is_held(cluster: Cluster) -> None:
    cluster.bind("data-db-9", "pvc-1")
    cluster.services.add("db")
    cluster.slices = [Object(endpoints=[Object(targetRef=Object(name="db-9")), Object(targetRef=None)])]
    arrows = object_graph("db").arrows
    assert ("Pod/db-9", "StatefulSet/db", OWNER) in arrows
    assert ("Pod/db-9", "PersistentVolumeClaim/data-db-9", NAMED) in arrows
    assert ("PersistentVolumeClaim/data-db-9", "PersistentVolume/pvc-1", NAMED) in arrows
    assert ("PersistentVolume/pvc-1", "PersistentVolumeClaim/data-db-9", NAMED) in arrows
    assert ("StatefulSet/db", "Service/db", NAMED) in arrows
    assert ("EndpointSlice/", "Pod/db-9", NAMED) in arrows
    assert ("EndpointSlice/", "Pod/db-10", NAMED) not in arrows
    assert not [arrow for arrow in arrows if arrow[0].startswith("PersistentVolumeClaim") and arrow[2] == OWNER]


def test_a_claim_that_the_set_owns_has_an_arrow_to_it(cluster: Cluster) -> None:
    cluster.bind("data-db-9", "pvc-1")
    cluster.claims["data-db-9"].metadata = meta("data-db-9", cluster.set)
    assert ("PersistentVolumeClaim/data-db-9", "StatefulSet/db", OWNER) in object_graph("db").arrows


def test_what_is_named_but_not_there_is_on_the_map(cluster: Cluster) -> None:
    cluster.bind("data-db-10", "")
    missing = {box.label for box in object_graph("db").boxes.values() if box.missing}
    assert missing == {"Service db", "PersistentVolumeClaim data-db-9", "PersistentVolume none bound"}


def test_the_alt_text_tells_the_references_and_no_random_names(cluster: Cluster) -> None:
    cluster.bind("data-db-9", "pvc-4f1c")
    alt = object_map("db").alt
    assert "PersistentVolumeClaim data-db-9 to PersistentVolume of data-db-9" in alt
    assert "ControllerRevision no. 1, 2 to StatefulSet db" in alt
    assert "Not there: " in alt and "4f1c" not in alt


def test_the_picture_can_be_drawn(cluster: Cluster) -> None:
    assert object_map("db").png().startswith(b"\x89PNG")
