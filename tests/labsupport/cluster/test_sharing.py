"""What learners who share a cluster keep apart: namespaces, volumes, NodePorts; and what is for all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from labcluster.api.resources import CUSTOM_RESOURCE_DEFINITIONS, PERSISTENT_VOLUMES, SERVICES
from labsupport.cluster import scope, sharing, verbs
from labsupport.errors import LabError
from tests.labsupport.in_process_lab import InProcessLab

SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {
        "type": "NodePort",
        "ports": [{"name": "a", "port": 80, "nodePort": 30001}, {"name": "b", "port": 81}],
    },
}


def volume(**spec: Any) -> dict[str, Any]:
    path = {"path": "/tmp/data", "type": "DirectoryOrCreate"}
    common = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand"}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "disk"},
        "spec": {**common, "hostPath": path, **spec},
    }


def claim(name: str, phase: str = "Pending", storage_class: str = "by-hand") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ann-chapter-03"}
    return {"metadata": metadata, "spec": {"storageClassName": storage_class}, "status": {"phase": phase}}


@pytest.fixture
def shared(lab: InProcessLab) -> Iterator[str]:
    """The lab is one learner's part of a shared cluster."""
    record = lab.state / scope.RECORD
    record.write_text(json.dumps({"prefix": "ann"}))
    yield "ann"
    record.unlink()


def test_on_a_cluster_of_ones_own_names_are_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    assert (scope.prefix(), scope.prefixed("chapter-01"), scope.labels()) == ("", "chapter-01", {})


@pytest.mark.usefixtures("shared")
def test_on_a_shared_cluster_names_begin_with_the_learners_prefix() -> None:
    assert scope.prefixed("chapter-01") == "ann-chapter-01"
    assert scope.labels() == {"course.lab/learner": "ann"}


def test_on_a_cluster_of_ones_own_objects_are_sent_as_they_are_written(lab: InProcessLab) -> None:
    sent: list[dict[str, Any]] = []
    for document in (SERVICE, volume()):
        assert sharing.apply(document, lambda obj: sent.append(obj) or "created") == (document, "created")
    assert sent == [SERVICE, volume()]


# ---------------------------------------------------------------------------------------------------------- volumes


@pytest.mark.usefixtures("shared")
def test_a_volume_on_a_shared_cluster_is_the_learners_by_name_directory_and_claim() -> None:
    claims = [claim("bound", "Bound"), claim("other", storage_class="fast"), claim("data-0"), claim("data-1")]
    made = sharing.own_volume(volume(), claims)
    assert made["metadata"]["name"] == "ann-disk"
    assert made["spec"]["hostPath"] == {"path": "/tmp/data-ann", "type": "DirectoryOrCreate"}
    assert made["spec"]["claimRef"] == {"namespace": "ann-chapter-03", "name": "data-0"}
    assert "claimRef" not in sharing.own_volume(volume(), [])["spec"]
    chosen = {"namespace": "ann-chapter-03", "name": "data-1"}
    assert sharing.own_volume(volume(claimRef=chosen), claims)["spec"]["claimRef"] == chosen


@pytest.mark.usefixtures("chapter", "shared")
def test_a_volume_is_applied_with_the_learners_name_and_label(
    lab: InProcessLab, capsys: pytest.CaptureFixture[str]
) -> None:
    verbs.apply(yaml.safe_dump(volume()))
    verbs.apply(yaml.safe_dump(volume()))
    assert capsys.readouterr().out == "persistentvolume/ann-disk created\npersistentvolume/ann-disk unchanged\n"
    made = lab.do(lambda registry: registry.get(PERSISTENT_VOLUMES, "", "ann-disk"))
    assert made["metadata"]["labels"] == {scope.LABEL: "ann"}
    assert made["spec"]["hostPath"]["path"] == "/tmp/data-ann"


@pytest.mark.usefixtures("chapter", "shared")
def test_a_volume_is_kept_for_the_chapters_claim(lab: InProcessLab, chapter: str) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    for name in ("data-1", "data-0"):
        document = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}}
        verbs.apply(yaml.safe_dump({**document, "spec": {**spec, "storageClassName": "reserved"}}))
    document = volume(storageClassName="reserved")
    document["metadata"]["name"] = "reserved"
    verbs.apply(yaml.safe_dump(document))
    made = lab.do(lambda registry: registry.get(PERSISTENT_VOLUMES, "", "ann-reserved"))
    assert made["spec"]["claimRef"]["name"] == "data-0" and made["spec"]["claimRef"]["namespace"] == chapter


@pytest.mark.usefixtures("chapter", "shared")
def test_what_another_learner_has_made_is_left_alone(lab: InProcessLab) -> None:
    theirs = volume()
    theirs["metadata"] = {"name": "ann-theirs", "labels": {scope.LABEL: "bob"}}
    lab.create(PERSISTENT_VOLUMES, theirs)
    mine = volume()
    mine["metadata"]["name"] = "theirs"
    with pytest.raises(LabError, match="PersistentVolume ann-theirs is there already and is not yours"):
        verbs.apply(yaml.safe_dump(mine))
    left = lab.do(lambda registry: registry.get(PERSISTENT_VOLUMES, "", "ann-theirs"))
    assert left["spec"]["hostPath"]["path"] == "/tmp/data"


# -------------------------------------------------------------------------------------------------------- NodePorts


def test_a_service_without_its_node_ports_remembers_them() -> None:
    changed = sharing.without_node_ports(SERVICE)
    assert changed["spec"] == {"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}
    assert json.loads(changed["metadata"]["annotations"][sharing.NODE_PORTS]) == {"80": 30001}
    assert SERVICE["spec"]["ports"][0]["nodePort"] == 30001


def test_a_node_port_that_is_free_is_taken_and_otherwise_another(
    lab: InProcessLab, chapter: str, shared: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verbs.apply(yaml.safe_dump(SERVICE))
    second = {**SERVICE, "metadata": {"name": "second"}}
    verbs.apply(yaml.safe_dump(second))
    verbs.apply(yaml.safe_dump(second))  # goes on without
    verbs.delete("service/web", quiet=True)
    verbs.apply(yaml.safe_dump(second))  # also when the port is free by now
    assert capsys.readouterr().out.splitlines() == [
        "service/web created",
        "service/second created",
        "service/second unchanged",
        "service/second unchanged",
    ]
    made = lab.do(lambda registry: registry.get(SERVICES, chapter, "second"))
    assert made["spec"]["ports"][0]["nodePort"] != 30001
    assert made["metadata"]["annotations"] == {sharing.NODE_PORTS: '{"80": 30001}'}
    verbs.delete("service/second", quiet=True)


def test_on_a_cluster_of_ones_own_a_node_port_that_is_taken_is_refused(lab: InProcessLab, chapter: str) -> None:
    verbs.apply(yaml.safe_dump(SERVICE))
    with pytest.raises(LabError, match="provided port is already allocated"):
        verbs.apply(yaml.safe_dump({**SERVICE, "metadata": {"name": "second"}}))
    verbs.delete("service/web", quiet=True)


@pytest.mark.usefixtures("chapter", "shared")
def test_a_service_that_is_refused_for_another_reason_is_told() -> None:
    ports = [{"port": 80, "nodePort": 1}]
    with pytest.raises(LabError, match="not in the valid range"):
        verbs.apply(yaml.safe_dump({**SERVICE, "spec": {"type": "NodePort", "ports": ports}}))


# ------------------------------------------------------------------------------------------------- kinds are for all


@pytest.mark.usefixtures("chapter", "shared")
def test_a_kind_is_made_by_the_first_and_left_as_it_is_by_the_others(
    lab: InProcessLab, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = {"openAPIV3Schema": {"type": "object"}}
    definition: dict[str, Any] = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "gadgets", "kind": "Gadget"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    verbs.apply(yaml.safe_dump(definition))
    definition["spec"]["names"]["shortNames"] = ["gd"]
    verbs.apply(yaml.safe_dump(definition))
    name = "customresourcedefinition.apiextensions.k8s.io/gadgets.example.com"
    assert capsys.readouterr().out == f"{name} created\n{name} unchanged\n"
    made = lab.do(lambda registry: registry.get(CUSTOM_RESOURCE_DEFINITIONS, "", "gadgets.example.com"))
    assert "labels" not in made["metadata"] and "shortNames" not in made["spec"]["names"]
