"""Names and Services on a cluster that several learners share."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import pytest

from labsupport.backends.contract import CommandError
from labsupport.backends.current import context
from labsupport.cluster import shared_volume, sharing
from labsupport.errors import LabError

SERVICE = {
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}, {"port": 81}]},
}


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / sharing.RECORD).write_text(json.dumps({"prefix": "ann"}))
    monkeypatch.setenv("LAB_STATE", str(tmp_path))


def test_on_a_cluster_of_ones_own_names_are_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    assert (sharing.namespace("chapter-01"), sharing.labels()) == ("chapter-01", {})
    assert sharing.adapted(volume(), volume(), namespaced=False) == volume()


@pytest.mark.usefixtures("shared")
def test_on_a_shared_cluster_names_begin_with_the_learners_word() -> None:
    assert sharing.namespace("chapter-01") == "ann-chapter-01"
    assert sharing.labels() == {"course.lab/learner": "ann"}


@pytest.mark.usefixtures("shared")
def test_another_learners_volume_is_left_alone() -> None:
    theirs = {"kind": "PersistentVolume", "metadata": {"name": "disk", "labels": {sharing.LABEL: "bob"}}}
    with pytest.raises(LabError, match="disk is there already and is not yours"):
        sharing.adapted(theirs, theirs, namespaced=False)


@pytest.mark.usefixtures("shared")
def test_what_is_in_no_namespace_gets_the_learners_label() -> None:
    made = sharing.adapted(volume(), None, namespaced=False)
    assert made["metadata"]["labels"] == {sharing.LABEL: "ann"}
    assert sharing.adapted(volume(), made, namespaced=False) == made


def volume(**spec: Any) -> dict[str, Any]:
    path = {"path": "/tmp/data", "type": "DirectoryOrCreate"}
    return {
        "kind": "PersistentVolume",
        "metadata": {"name": "disk"},
        "spec": {"storageClassName": "by-hand", "hostPath": path, **spec},
    }


def claim(name: str, phase: str = "Pending", storage_class: str = "by-hand") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ann-chapter-03"}
    return {"metadata": metadata, "spec": {"storageClassName": storage_class}, "status": {"phase": phase}}


@pytest.mark.usefixtures("shared")
def test_a_volume_on_a_shared_cluster_is_the_learners_by_name_directory_and_claim() -> None:
    claims = [claim("bound", "Bound"), claim("other", storage_class="fast"), claim("data-0"), claim("data-1")]
    made = shared_volume.own(volume(), lambda: claims)
    assert made["metadata"]["name"] == "ann-disk"
    assert made["spec"]["hostPath"] == {"path": "/tmp/data-ann", "type": "DirectoryOrCreate"}
    assert made["spec"]["claimRef"] == {"namespace": "ann-chapter-03", "name": "data-0"}
    assert "claimRef" not in shared_volume.own(volume(), list)["spec"]
    chosen = {"namespace": "ann-chapter-03", "name": "data-1"}
    assert shared_volume.own(volume(claimRef=chosen), lambda: claims)["spec"]["claimRef"] == chosen


def test_a_volume_on_a_cluster_of_ones_own_is_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    assert shared_volume.own(volume(), lambda: [claim("data-0")]) == volume()


@pytest.mark.usefixtures("shared")
def test_a_service_that_went_without_its_node_ports_goes_on_without() -> None:
    changed = sharing.without_node_ports(SERVICE)
    assert sharing.adapted(SERVICE, None, namespaced=True) == SERVICE
    assert sharing.adapted(SERVICE, changed, namespaced=True) == changed


def test_a_service_without_its_node_ports_remembers_them() -> None:
    changed = sharing.without_node_ports(SERVICE)
    assert changed["spec"] == {"type": "NodePort", "ports": [{"port": 80}, {"port": 81}]}
    assert json.loads(changed["metadata"]["annotations"][sharing.NODE_PORTS]) == {"80": 30001}
    assert SERVICE["spec"]["ports"][0]["nodePort"] == 30001  # type: ignore[index]


@pytest.mark.parametrize("wanted", ["Ann", "ann_b", "-ann", "ann-", "1ann", "a" * 31, "kube", "default"])
def test_a_prefix_has_to_be_able_to_begin_a_namespaces_name(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setenv("LAB_PREFIX", wanted)
    with pytest.raises(CommandError, match="LAB_PREFIX=ann"):
        context.learner_prefix()


@pytest.mark.parametrize(("user", "prefix"), [("Ann.Lee", "ann-lee"), ("42bob", "bob"), ("ö", "learner")])
def test_without_one_the_users_name_is_taken(monkeypatch: pytest.MonkeyPatch, user: str, prefix: str) -> None:
    monkeypatch.delenv("LAB_PREFIX", raising=False)
    monkeypatch.setattr(getpass, "getuser", lambda: user)
    assert context.learner_prefix() == prefix


def test_a_users_name_that_many_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_PREFIX", raising=False)
    monkeypatch.setattr(getpass, "getuser", lambda: "root")
    with pytest.raises(CommandError, match="no name of yours alone"):
        context.learner_prefix()


def test_no_current_context_is_said_with_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(CommandError, match="use-context"):
        context.read_current()


def test_the_context_is_copied_with_its_keys_and_without_its_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.crt").write_text("the authority")
    context_of = {"cluster": "one", "user": "me", "namespace": "elsewhere"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [
            {"name": "one", "cluster": {"server": "https://one.example", "certificate-authority": "ca.crt"}},
            {"name": "two", "cluster": {"server": "https://two.example"}},
        ],
        "users": [{"name": "me", "user": {"token": "secret"}}],
        "contexts": [{"name": "here", "context": context_of}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    found = context.read_current()
    (cluster,) = found["clusters"]
    assert cluster["cluster"]["certificate-authority-data"] == "dGhlIGF1dGhvcml0eQ=="
    assert found["users"][0]["user"]["token"] == "secret"
    assert found["contexts"][0]["context"] == {"cluster": "one", "user": "me"}
