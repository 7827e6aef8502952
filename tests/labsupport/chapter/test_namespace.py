"""A chapter's namespace: clean at the beginning, gone at the end, and with it what the chapter made outside of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from labcluster.api.resources import CONFIG_MAPS, NAMESPACES, NODES, PERSISTENT_VOLUMES
from labsupport.chapter import namespace
from labsupport.cluster import api, nodes, scope
from labsupport.errors import LabError, NotConnected, Refused
from tests.labsupport.in_process_lab import InProcessLab


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a chapter sets in this process is undone."""
    for name in ("KUBECONFIG", "KUBECACHEDIR", "PATH"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    yield
    scope.enter(None)


def volume(lab: InProcessLab, name: str, **labels: str) -> None:
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp/x"}}
    lab.create(PERSISTENT_VOLUMES, {"metadata": {"name": name, "labels": labels}, "spec": spec})


def volumes(lab: InProcessLab) -> set[str]:
    return {volume["metadata"]["name"] for volume in lab.do(lambda registry: registry.list(PERSISTENT_VOLUMES))}


def test_a_chapter_begins_in_a_namespace_that_takes_pods(lab: InProcessLab, capsys: pytest.CaptureFixture[str]) -> None:
    namespace.begin("71")
    assert capsys.readouterr().out == "namespace chapter-71 is clean\n"
    made = lab.do(lambda registry: registry.get(NAMESPACES, "", "chapter-71"))
    assert made["metadata"]["labels"] == {namespace.LABEL: "71", "kubernetes.io/metadata.name": "chapter-71"}
    assert scope.namespace() == "chapter-71"
    assert api.read(api.resource("serviceaccount"), "default", "chapter-71")


def test_a_chapter_that_begins_again_begins_clean(lab: InProcessLab, capsys: pytest.CaptureFixture[str]) -> None:
    namespace.begin("72")
    first = lab.do(lambda registry: registry.get(NAMESPACES, "", "chapter-72"))
    lab.create(CONFIG_MAPS, {"metadata": {"name": "left", "namespace": "chapter-72"}})
    namespace.begin("72")
    second = lab.do(lambda registry: registry.get(NAMESPACES, "", "chapter-72"))
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert not lab.do(lambda registry: registry.find(CONFIG_MAPS, "chapter-72", "left"))
    assert capsys.readouterr().out == "namespace chapter-72 is clean\n" * 2


def test_a_chapter_that_ends_leaves_nothing(lab: InProcessLab, capsys: pytest.CaptureFixture[str]) -> None:
    namespace.begin("73")
    volume(lab, "by-chapter-73", **{namespace.LABEL: "73"})
    volume(lab, "by-chapter-74", **{namespace.LABEL: "74"})
    volume(lab, "by-nobody")
    capsys.readouterr()
    namespace.end()
    assert capsys.readouterr().out == "namespace chapter-73 is removed\n"
    assert not lab.do(lambda registry: registry.find(NAMESPACES, "", "chapter-73"))
    assert {"by-chapter-74", "by-nobody"} <= volumes(lab) and "by-chapter-73" not in volumes(lab)
    with pytest.raises(RuntimeError, match="no chapter has begun"):
        scope.namespace()


def test_a_chapter_that_has_not_begun_does_not_end() -> None:
    with pytest.raises(RuntimeError, match="no chapter has begun"):
        namespace.end()


@pytest.mark.parametrize("act", ["begin", "end"])
def test_a_node_that_the_course_has_cordoned_is_freed(lab: InProcessLab, act: str) -> None:
    lab.node(f"node-{act}")
    namespace.begin("75")
    nodes.cordon(f"node-{act}", quiet=True)
    if act == "begin":
        namespace.begin("75")
    else:
        namespace.end()
    node = lab.do(lambda registry: registry.get(NODES, "", f"node-{act}"))
    assert "unschedulable" not in node["spec"] and nodes.MARK not in node["metadata"].get("annotations", {})


def test_a_name_that_cannot_be_one_is_refused_in_the_servers_words(lab: InProcessLab) -> None:
    with pytest.raises(Refused, match=r"Invalid \(422\): Namespace \"chapter-A_1\" is invalid"):
        namespace.begin("A_1")
    with pytest.raises(RuntimeError):
        scope.namespace()


def test_without_a_cluster_that_is_said(lab: InProcessLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    with pytest.raises(NotConnected, match="Type `make lab` in a terminal, then run this cell again"):
        namespace.begin("76")


def test_volumes_that_must_not_be_looked_at_do_not_stop_a_chapter(
    lab: InProcessLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, code = api.core, 403

    class Core:
        def __getattr__(self, name: str) -> Any:
            return getattr(real(), name)

        def list_persistent_volume(self, **_: Any) -> Any:
            raise api.ApiException(status=code, reason="Forbidden")

    monkeypatch.setattr(api, "core", Core)
    namespace.begin("77")
    namespace.end()
    code = 500
    with pytest.raises(LabError):
        namespace.begin("77")


def test_on_a_shared_cluster_the_namespace_is_the_learners(
    lab: InProcessLab, capsys: pytest.CaptureFixture[str]
) -> None:
    record = lab.state / scope.RECORD
    record.write_text(json.dumps({"prefix": "ann"}))
    try:
        volume(lab, "anns", **{namespace.LABEL: "78", scope.LABEL: "ann"})
        volume(lab, "bobs", **{namespace.LABEL: "78", scope.LABEL: "bob"})
        namespace.begin("78")
        labels = lab.do(lambda registry: registry.get(NAMESPACES, "", "ann-chapter-78"))["metadata"]["labels"]
        assert labels[scope.LABEL] == "ann" and labels[namespace.LABEL] == "78"
        assert "anns" not in volumes(lab) and "bobs" in volumes(lab)
        namespace.end()
    finally:
        record.unlink()
    assert capsys.readouterr().out == "namespace ann-chapter-78 is clean\nnamespace ann-chapter-78 is removed\n"
