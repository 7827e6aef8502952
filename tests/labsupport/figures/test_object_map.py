"""The map of a StatefulSet's objects: what is on it, which way the arrows point, and what its alt text says."""

from __future__ import annotations

from types import SimpleNamespace as Object
from typing import Any

import pytest

from labsupport.cluster import api, scope
from labsupport.errors import Refused
from labsupport.figures import object_map
from labsupport.figures.object_map import NAMED, OWNER, STYLES, Objects
from tests.labsupport.figures.readable import assert_clear, assert_readable


def meta(name: str, *owners: Any) -> Object:
    return Object(
        name=name,
        uid=f"uid-{name}",
        owner_references=[Object(uid=o.metadata.uid, kind=o.kind, name=o.metadata.name) for o in owners],
    )


SET = Object(kind="StatefulSet", metadata=meta("db"), spec=Object(service_name="db"))


def pod(name: str, *claims: str) -> Object:
    volumes = [Object(persistent_volume_claim=Object(claim_name=claim)) for claim in claims]
    other = Object(persistent_volume_claim=None)
    return Object(metadata=meta(name, SET), spec=Object(volumes=[*volumes, other]))


def claim(name: str, volume: str, *owners: Any) -> Object:
    return Object(metadata=meta(name, *owners), spec=Object(volume_name=volume))


def endpoints(*pods: str) -> Object:
    return Object(endpoints=[*(Object(targetRef=Object(name=name)) for name in pods), Object(targetRef=None)])


def complete(members: int = 2) -> Objects:
    """A set all of whose objects exist."""
    names = [f"db-{number}" for number in range(members)]
    return Objects(
        SET,
        [Object(metadata=meta(f"db-r{number}", SET), revision=number) for number in (2, 1)],
        [pod(name, f"data-{name}") for name in names],
        {f"data-{name}": claim(f"data-{name}", f"pvc-{name}") for name in names},
        {f"pvc-{name}": object() for name in names},
        object(),
        [endpoints(*names)],
    )


def test_the_pods_are_in_the_order_of_their_numbers() -> None:
    objects = Objects(SET, [], [pod("db-10"), pod("db-9")])
    items = object_map.graph(objects).items.values()
    assert [(item.text, item.row) for item in items if item.kind == "Pod"] == [("db-9", 0), ("db-10", 1)]


def test_a_reference_leads_from_the_object_that_holds_it_to_the_one_it_names() -> None:
    references = object_map.graph(complete(1)).references
    assert sorted(references) == sorted(
        [
            ("ControllerRevision/", "StatefulSet/db", OWNER),
            ("Pod/db-0", "StatefulSet/db", OWNER),
            ("Pod/db-0", "PersistentVolumeClaim/data-db-0", NAMED),
            ("PersistentVolumeClaim/data-db-0", "PersistentVolume/pvc-db-0", NAMED),
            ("PersistentVolume/pvc-db-0", "PersistentVolumeClaim/data-db-0", NAMED),
            ("StatefulSet/db", "Service/db", NAMED),
            ("EndpointSlice/", "Service/db", OWNER),
            ("EndpointSlice/", "Pod/db-0", NAMED),
        ]
    )


def test_a_pod_that_the_slices_do_not_list_has_no_arrow_from_them() -> None:
    objects = complete(2)
    objects.slices = [endpoints("db-1"), Object(endpoints=None)]
    targets = [target for source, target, _ in object_map.graph(objects).references if source == "EndpointSlice/"]
    assert targets == ["Service/db", "Pod/db-1"]


def test_a_claim_that_the_set_owns_has_an_arrow_to_it() -> None:
    objects = complete(1)
    objects.claims["data-db-0"] = claim("data-db-0", "pvc-db-0", SET)
    references = object_map.graph(objects).references
    assert ("PersistentVolumeClaim/data-db-0", "StatefulSet/db", OWNER) in references


def test_what_is_named_but_does_not_exist_is_on_the_map() -> None:
    objects = complete(2)
    objects.claims = {"data-db-0": None, "data-db-1": claim("data-db-1", "")}
    objects.service, objects.slices = None, []
    shown = object_map.graph(objects)
    missing = {item.label for item in shown.items.values() if item.missing}
    assert missing == {"Service db", "PersistentVolumeClaim data-db-0", "PersistentVolume none bound"}
    boxes = {(box.title, box.text): box.look.line for box in object_map.diagram(shown).boxes}
    assert boxes["Service", "db: not there"] == boxes["PersistentVolume", "none bound"] == "--"
    assert boxes["Pod", "db-0"] == "-"


def test_a_volume_that_its_claim_names_in_vain_is_missing() -> None:
    objects = complete(1)
    objects.volumes = {"pvc-db-0": None}
    assert object_map.graph(objects).items["PersistentVolume/pvc-db-0"].missing


def test_a_set_without_a_service_has_none_on_its_map() -> None:
    owner = Object(kind="StatefulSet", metadata=meta("db"), spec=Object(service_name=None))
    assert set(object_map.graph(Objects(owner, [], [])).items) == {"StatefulSet/db"}


@pytest.mark.parametrize("members", [0, 1, 2, 3, 4, 6])
def test_nothing_on_the_map_covers_anything_else(members: int) -> None:
    page = object_map.diagram(object_map.graph(complete(members)))
    assert len(page.boxes) == 4 + 3 * members
    assert_clear(page)


def test_two_claims_of_a_pod_stand_below_one_another() -> None:
    objects = complete(1)
    objects.pods = [pod("db-0", "data-db-0", "logs-db-0"), pod("db-1")]
    objects.claims["logs-db-0"] = None
    shown = object_map.graph(objects)
    assert [item.row for item in shown.items.values() if item.column == "claim"] == [0, 1]
    assert shown.items["Pod/db-1"].row == 2
    assert_clear(object_map.diagram(shown))


def test_an_arrow_looks_as_its_kind_of_reference() -> None:
    shown = object_map.graph(complete(1))
    looks = [(arrow.colour, arrow.line) for arrow in object_map.diagram(shown).arrows]
    assert looks == [(STYLES[kind].colour, STYLES[kind].line) for _, _, kind in shown.references]
    assert STYLES[OWNER].line != STYLES[NAMED].line


def test_the_alt_text_tells_the_references_and_no_random_names() -> None:
    objects = complete(1)
    objects.claims["data-db-0"] = claim("data-db-0", "pvc-4f1c")
    objects.volumes = {"pvc-4f1c": object()}
    objects.service, objects.slices = None, []
    assert object_map.alt_text("db", object_map.graph(objects)) == (
        "The objects of StatefulSet db and their references. "
        "ownerReference: ControllerRevision no. 1, 2 to StatefulSet db, Pod db-0 to StatefulSet db. "
        "reference by name: Pod db-0 to PersistentVolumeClaim data-db-0, "
        "PersistentVolumeClaim data-db-0 to PersistentVolume of data-db-0, "
        "PersistentVolume of data-db-0 to PersistentVolumeClaim data-db-0, StatefulSet db to Service db. "
        "Not there: Service db."
    )


class Cluster:
    """The few calls that reading makes, answered from what is there; anything else does not exist."""

    def __init__(self, objects: Objects) -> None:
        stranger = Object(metadata=meta("web-x"), spec=Object(volumes=None))
        self.objects, self.pods = objects, [*objects.pods, stranger]

    def list_namespaced_pod(self, space: str) -> Object:
        return Object(items=self.pods)

    def list_namespaced_controller_revision(self, space: str) -> Object:
        return Object(items=self.objects.revisions)

    def read_namespaced_stateful_set(self, name: str, space: str) -> Any:
        return self._existing(SET if name == "db" else None)

    def read_namespaced_persistent_volume_claim(self, name: str, space: str) -> Any:
        return self._existing(self.objects.claims.get(name))

    def read_persistent_volume(self, name: str) -> Any:
        return self._existing(self.objects.volumes.get(name))

    def read_namespaced_service(self, name: str, space: str) -> Any:
        return self._existing(self.objects.service)

    def get(self, namespace: str, label_selector: str) -> Object:
        assert label_selector == "kubernetes.io/service-name=db"
        return Object(items=self.objects.slices)

    @staticmethod
    def _existing(item: Any) -> Any:
        if item is None:
            raise api.ApiException(status=404, reason="Not Found")
        return item


def live(monkeypatch: pytest.MonkeyPatch, objects: Objects) -> None:
    """Let the live cluster hold these objects."""
    cluster = Cluster(objects)
    monkeypatch.setattr(scope, "namespace", lambda: "chapter-03")
    monkeypatch.setattr(api, "core", lambda: cluster)
    monkeypatch.setattr(api, "apps", lambda: cluster)
    monkeypatch.setattr(api, "resource", lambda word: cluster)


def test_the_objects_are_read_from_the_live_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = complete(2)
    live(monkeypatch, objects)
    assert object_map.read("db") == objects
    picture = object_map.draw("db")
    assert picture.alt == object_map.alt_text("db", object_map.graph(objects))
    assert_readable(picture)


def test_what_cannot_be_read_because_it_does_not_exist_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = complete(2)
    objects.claims["data-db-1"], objects.volumes, objects.service = None, {}, None
    live(monkeypatch, objects)
    read = object_map.read("db")
    assert (read.claims["data-db-1"], read.volumes, read.service) == (None, {"pvc-db-0": None}, None)


def test_a_set_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, complete())
    with pytest.raises(Refused):
        object_map.draw("nobody")
