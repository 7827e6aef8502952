"""The verbs: what each prints, what it leaves in the cluster, and what it says of bad input."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from labcluster.api.resources import CONFIG_MAPS, NAMESPACES, POD_DISRUPTION_BUDGETS, PODS, STATEFUL_SETS
from labsupport.cluster import scope, verbs
from labsupport.cluster.waiting import WaitFailed
from labsupport.errors import Refused
from tests.labsupport.in_process_lab import InProcessLab


def config_map(name: str, **data: str) -> str:
    return yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


def stateful_set(name: str, replicas: int = 1) -> str:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "nginx:1.31.3"}]}}
    spec = {"serviceName": name, "replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return yaml.safe_dump({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec})


@pytest.fixture
def two(chapter: str, capsys: pytest.CaptureFixture[str]) -> str:
    """A chapter with a ConfigMap and a StatefulSet."""
    verbs.apply(config_map("settings", colour="blue") + "---\n" + stateful_set("web"))
    capsys.readouterr()
    return chapter


# ------------------------------------------------------------------------------------------------------------ apply


def test_apply_says_what_became_of_each_object(
    lab: InProcessLab, chapter: str, capsys: pytest.CaptureFixture[str]
) -> None:
    both = config_map("settings", colour="blue") + "---\n# a comment is no object\n---\n" + stateful_set("web")
    verbs.apply(both)
    verbs.apply(both)
    verbs.apply(config_map("settings", colour="red"))
    assert capsys.readouterr().out.splitlines() == [
        "configmap/settings created",
        "statefulset.apps/web created",
        "configmap/settings unchanged",
        "statefulset.apps/web unchanged",
        "configmap/settings configured",
    ]
    live = lab.do(lambda registry: registry.get(CONFIG_MAPS, chapter, "settings"))
    assert live["data"] == {"colour": "red"}
    assert [entry["manager"] for entry in live["metadata"]["managedFields"]] == ["labsupport"]


@pytest.mark.parametrize("kind", [str, Path])
def test_apply_reads_a_file(
    lab: InProcessLab, chapter: str, tmp_path: Path, kind: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(config_map("settings"))
    verbs.apply(kind(file))
    assert capsys.readouterr().out == "configmap/settings created\n"
    assert lab.do(lambda registry: registry.find(CONFIG_MAPS, chapter, "settings"))


def test_apply_takes_over_what_somebody_else_has_written(two: str, lab: InProcessLab) -> None:
    def by_hand(obj: Any) -> None:
        obj["data"]["colour"] = "green"

    lab.do(lambda registry: registry.modify(CONFIG_MAPS, two, "settings", by_hand))
    verbs.apply(config_map("settings", colour="red"))
    assert verbs.obj("cm/settings").data.colour == "red"


def test_an_object_that_names_its_namespace_goes_there(lab: InProcessLab, chapter: str) -> None:
    document = yaml.safe_load(config_map("elsewhere"))
    document["metadata"]["namespace"] = "default"
    verbs.apply(yaml.safe_dump(document))
    assert lab.do(lambda registry: registry.find(CONFIG_MAPS, "default", "elsewhere"))
    assert not lab.do(lambda registry: registry.find(CONFIG_MAPS, chapter, "elsewhere"))


@pytest.mark.usefixtures("chapter")
def test_what_is_in_no_namespace_is_applied_too(capsys: pytest.CaptureFixture[str]) -> None:
    verbs.apply("kind: Namespace\napiVersion: v1\nmetadata: {name: extra}")
    assert capsys.readouterr().out == "namespace/extra created\n"
    assert "extra" in [str(each.metadata.name) for each in verbs.objects("namespaces")]


@pytest.mark.usefixtures("chapter")
def test_a_manifest_that_is_refused_is_told_in_the_servers_words_and_what_came_before_stays(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(Refused, match=r"Invalid \(422\): StatefulSet.apps \"web\" is invalid: spec.replicas") as caught:
        verbs.apply(config_map("settings") + "---\n" + stateful_set("web", replicas=-1))
    assert caught.value.status == 422
    assert capsys.readouterr().out == "configmap/settings created\n"


@pytest.mark.usefixtures("chapter")
def test_a_kind_that_the_server_does_not_have_is_said() -> None:
    with pytest.raises(ValueError, match="doesn't have a resource type 'Gadget'"):
        verbs.apply("kind: Gadget\napiVersion: example.com/v1\nmetadata: {name: one}")


@pytest.mark.usefixtures("chapter")
def test_a_file_that_is_not_there_is_said() -> None:
    with pytest.raises(FileNotFoundError):
        verbs.apply("manifests/none.yaml")


def test_before_a_chapter_has_begun_the_verbs_say_so(lab: InProcessLab) -> None:
    scope.enter(None)
    for act in (
        lambda: verbs.apply(config_map("settings")),
        lambda: verbs.obj("pod/web-0"),
        lambda: verbs.objects("pods"),
        lambda: verbs.delete("pod/web-0"),
        lambda: verbs.evict("web-0"),
    ):
        with pytest.raises(RuntimeError, match="no chapter has begun"):
            act()


# -------------------------------------------------------------------------------------------------- scale and patch


def test_scale_asks_for_replicas(two: str, lab: InProcessLab, capsys: pytest.CaptureFixture[str]) -> None:
    verbs.scale("statefulset/web", 3)
    assert capsys.readouterr().out == "statefulset/web scaled to 3\n"
    assert lab.do(lambda registry: registry.get(STATEFUL_SETS, two, "web"))["spec"]["replicas"] == 3


def test_patch_merges_a_change(two: str, lab: InProcessLab, capsys: pytest.CaptureFixture[str]) -> None:
    verbs.patch("cm/settings", {"data": {"colour": None, "size": "big"}})
    verbs.patch("cm/settings", {"data": {"size": "small"}}, say="shrunk")
    assert capsys.readouterr().out == "cm/settings patched\nshrunk\n"
    assert lab.do(lambda registry: registry.get(CONFIG_MAPS, two, "settings"))["data"] == {"size": "small"}


@pytest.mark.usefixtures("two")
def test_a_patch_that_is_refused_is_told_and_nothing_is_said_to_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Refused, match=r"Invalid \(422\)"):
        verbs.scale("statefulset/web", -1)
    with pytest.raises(Refused, match=r"NotFound \(404\): .*Was a cell before this one left out\?"):
        verbs.patch("statefulset/none", {})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("reference", ["web-0", "pod/", ""])
@pytest.mark.usefixtures("chapter")
def test_a_reference_that_is_none_is_refused(reference: str) -> None:
    for act in (lambda: verbs.obj(reference), lambda: verbs.delete(reference), lambda: verbs.patch(reference, {})):
        with pytest.raises(ValueError, match=r"is not kind/name, as in 'pod/web-0'"):
            act()


# --------------------------------------------------------------------------------------------------------- deletion


def test_delete_waits_until_the_object_is_gone(
    lab: InProcessLab, chapter: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.pod(chapter, "web-0", phase="Running")

    def bind(pod: Any) -> None:  # a pod on a node stays until its node has stopped it
        pod["spec"]["nodeName"] = "lab-worker"

    lab.do(lambda registry: registry.modify(PODS, chapter, "web-0", bind, subresource="binding"))
    deleting = threading.Thread(target=verbs.delete, args=("pod/web-0",))
    deleting.start()
    try:
        verbs.waiting.until(
            verbs.api.resource("pods"),
            "web-0",
            chapter,
            lambda pod: bool(pod and pod["metadata"].get("deletionTimestamp")),
            "asked to stop",
            timeout=60,
        )
        assert deleting.is_alive() and capsys.readouterr().out == ""
        verbs.delete("pod/web-0", grace=0, wait=False, quiet=True)  # what the node does once the pod has stopped
    finally:
        deleting.join(60)
    assert capsys.readouterr().out == "pod/web-0 deleted\n"


def test_delete_asks_for_a_grace_and_a_cascade(two: str, lab: InProcessLab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.pod(two, "web-0", phase="Running")
    verbs.delete("pod/web-0", grace=0)
    verbs.delete("sts/web", cascade="orphan", wait=False)
    assert capsys.readouterr().out == "pod/web-0 deleted\nsts/web deletion asked for\n"
    left = lab.do(lambda registry: registry.get(STATEFUL_SETS, two, "web"))
    assert left["metadata"]["finalizers"] == ["orphan"]


@pytest.mark.usefixtures("two")
def test_a_quiet_deletion_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    verbs.delete("cm/settings", quiet=True)
    assert capsys.readouterr().out == ""
    assert verbs.objects("configmaps", "app=none") == []


def test_an_object_that_does_not_go_is_said(two: str, lab: InProcessLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def hold(obj: Any) -> None:
        obj["metadata"]["finalizers"] = ["example.com/hold"]

    lab.do(lambda registry: registry.modify(CONFIG_MAPS, two, "settings", hold))
    patience = verbs.waiting.gone
    monkeypatch.setattr(verbs.waiting, "gone", lambda *what: patience(*what, timeout=0.1))
    with pytest.raises(WaitFailed, match=r"configmap/settings was not Deleted within 0.1 s"):
        verbs.delete("cm/settings")


@pytest.mark.usefixtures("chapter")
def test_deleting_what_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match=r"NotFound \(404\): configmaps \"none\" not found"):
        verbs.delete("cm/none")


# --------------------------------------------------------------------------------------------------------- eviction


def test_evict_asks_for_an_eviction(lab: InProcessLab, chapter: str, capsys: pytest.CaptureFixture[str]) -> None:
    lab.pod(chapter, "web-0")
    lab.pod(chapter, "web-1")
    verbs.evict("web-0")
    verbs.evict("web-1", quiet=True)
    assert capsys.readouterr().out == "pod/web-0 evicted\n"
    assert verbs.objects("pods") == []


def test_a_budget_that_is_used_up_refuses_an_eviction(lab: InProcessLab, chapter: str) -> None:
    labels = {"app": "web"}
    lab.pod(chapter, "web-0", labels=labels, phase="Running", conditions=[{"type": "Ready", "status": "True"}])
    spec = {"minAvailable": 1, "selector": {"matchLabels": labels}}
    lab.create(POD_DISRUPTION_BUDGETS, {"metadata": {"name": "web", "namespace": chapter}, "spec": spec})
    lab.set_status(POD_DISRUPTION_BUDGETS, chapter, "web", observedGeneration=1, disruptionsAllowed=0, expectedPods=1)
    with pytest.raises(Refused) as caught:
        verbs.evict("web-0")
    assert caught.value.status == 429 and "disruption budget" in caught.value.message


# ---------------------------------------------------------------------------------------------------------- looking


def test_objects_are_ordered_by_name_and_chosen_by_label(lab: InProcessLab, chapter: str) -> None:
    for name, app in (("b", "web"), ("c", "db"), ("a", "web")):
        lab.pod(chapter, name, labels={"app": app})
    assert [pod.metadata.name for pod in verbs.objects("pods")] == ["a", "b", "c"]
    assert [pod.metadata.name for pod in verbs.objects("po", "app=web")] == ["a", "b"]


@pytest.mark.usefixtures("two")
def test_an_object_is_read_by_its_reference(chapter: str) -> None:
    assert verbs.obj("sts/web").spec.replicas == 1
    assert verbs.obj(f"ns/{chapter}").metadata.name == chapter
    with pytest.raises(Refused, match=r"statefulsets.apps \"none\" not found"):
        verbs.obj("sts/none")


def test_only_the_chapters_own_objects_are_seen(lab: InProcessLab, chapter: str) -> None:
    lab.create(NAMESPACES, {"metadata": {"name": f"{chapter}-other"}})
    lab.pod(f"{chapter}-other", "web-0")
    assert verbs.objects("pods") == []
    with pytest.raises(Refused):
        verbs.obj("pod/web-0")


def test_a_manifest_is_shown_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display

    shown: list[Any] = []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    file = tmp_path / "web.yaml"
    file.write_text("kind: Service  # a comment\n\n")
    verbs.manifest(str(file))
    assert [each.data for each in shown] == ["```yaml\nkind: Service  # a comment\n```"]
