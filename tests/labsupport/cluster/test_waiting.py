"""Waiting: for what, how long, what is given up early, and what is said in each case."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from labcluster.api.resources import PODS, STATEFUL_SETS
from labsupport.cluster import api, waiting
from labsupport.cluster.waiting import WaitFailed, wait
from labsupport.errors import NotConnected, Refused
from tests.labsupport.cluster.fake_api import FakeApi
from tests.labsupport.in_process_lab import InProcessLab

READY = {"conditions": [{"type": "Ready", "status": "True"}]}
LABELS = {"app": "web"}


def stateful_set(lab: InProcessLab, namespace: str, replicas: int, **status: Any) -> None:
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "main", "image": "nginx:1.31.3"}]}}
    spec = {"replicas": replicas, "serviceName": "web", "selector": {"matchLabels": LABELS}, "template": template}
    lab.create(STATEFUL_SETS, {"metadata": {"name": "web", "namespace": namespace}, "spec": spec})
    status = {"observedGeneration": 1, "replicas": replicas, **status}
    lab.set_status(STATEFUL_SETS, namespace, "web", **status)


def stuck(reason: str, message: str) -> dict[str, Any]:
    container = {"name": "main", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    waits = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{**container, "state": waits}]}


def later(act: Callable[[], object]) -> threading.Thread:
    """Do it beside the test."""
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_a_state_that_is_there_is_said(lab: InProcessLab, chapter: str, capsys: pytest.CaptureFixture[str]) -> None:
    lab.pod(chapter, "web-0", phase="Running", **READY)
    wait("pod/web-0")
    wait("pod/web-0", "Running", quiet=True)
    wait("pod/web-1", "Deleted")
    assert capsys.readouterr().out == "pod/web-0 is Ready\npod/web-1 is Deleted\n"


def test_a_state_that_comes_is_waited_for(lab: InProcessLab, chapter: str, capsys: pytest.CaptureFixture[str]) -> None:
    lab.pod(chapter, "web-0")
    thread = later(lambda: lab.set_status(PODS, chapter, "web-0", phase="Running", **READY))
    wait("pod/web-0", "Ready")
    thread.join()
    assert capsys.readouterr().out == "pod/web-0 is Ready\n"


def test_an_object_that_comes_and_goes_is_waited_for(lab: InProcessLab, chapter: str) -> None:
    thread = later(lambda: lab.pod(chapter, "web-0"))
    wait("pod/web-0", "there")
    thread.join()
    thread = later(lambda: lab.do(lambda registry: registry.delete(PODS, chapter, "web-0")))
    wait("pod/web-0", "Deleted")
    thread.join()


def test_a_count_is_said_as_a_count(lab: InProcessLab, chapter: str, capsys: pytest.CaptureFixture[str]) -> None:
    stateful_set(lab, chapter, 3, readyReplicas=2)
    wait("sts/web", "2 ready")
    assert capsys.readouterr().out == "sts/web has 2 ready\n"


def test_what_does_not_come_is_said_with_what_was_seen_and_what_to_type(lab: InProcessLab, chapter: str) -> None:
    lab.pod(chapter, "web-0", phase="Pending")
    stateful_set(lab, chapter, 3, readyReplicas=2)
    with pytest.raises(WaitFailed) as caught:
        wait("po/web-0", "Ready", timeout=0.1)
    assert str(caught.value) == (
        "pod/web-0 was not Ready within 0.1 s. Last seen: Pending, 0 of 1 containers ready. "
        f"Look at it with: !kubectl -n {chapter} describe pod web-0"
    )
    with pytest.raises(WaitFailed, match=r"statefulset/web was not 3 ready within 0.1 s. Last seen: 2 of 3 replicas"):
        wait("statefulset/web", "3 ready", timeout=0.1)
    with pytest.raises(WaitFailed, match=r"Last seen: it does not exist. Look at it with: !kubectl -n default"):
        wait("node/none", "there", timeout=0.1)


def test_a_pod_that_cannot_start_is_not_waited_for(lab: InProcessLab, chapter: str) -> None:
    lab.pod(chapter, "web-0", **stuck("ErrImagePull", "no such image"))
    with pytest.raises(WaitFailed) as caught:
        wait("pod/web-0", timeout=3600)
    assert str(caught.value) == (
        "pod/web-0 cannot become Ready: ErrImagePull: no such image. "
        "Last seen: ErrImagePull: no such image, 0 of 1 containers ready."
    )
    wait("pod/web-0", "Stuck")


def test_a_set_whose_pod_cannot_start_is_not_waited_for(lab: InProcessLab, chapter: str) -> None:
    stateful_set(lab, chapter, 1, readyReplicas=0)
    lab.pod(chapter, "web-0", labels=LABELS, **stuck("CrashLoopBackOff", "back-off 10s"))
    with pytest.raises(WaitFailed, match=r"statefulset/web cannot become Ready: its pod web-0: CrashLoopBackOff: back"):
        wait("statefulset/web", timeout=3600)


def test_what_is_not_there_never_becomes_ready(chapter: str) -> None:
    with pytest.raises(WaitFailed, match=r"pod/none cannot become Ready: it does not exist"):
        wait("pod/none", timeout=3600)


def test_a_set_is_ready_only_with_pods_that_are_not_stopping(lab: InProcessLab, chapter: str) -> None:
    stateful_set(lab, chapter, 1, readyReplicas=1)
    with pytest.raises(WaitFailed, match=r"statefulset/web was not Ready within 0.1 s. Last seen: 1 of 1 replicas"):
        wait("sts/web", timeout=0.1)  # its status still counts a pod that is gone
    lab.pod(chapter, "web-0", labels=LABELS, phase="Running", **READY)
    wait("sts/web")


def test_few_are_left_only_when_no_pod_is_stopping_any_more(
    lab: InProcessLab, chapter: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stateful_set(lab, chapter, 0)
    lab.pod(chapter, "web-0", labels=LABELS)

    def stop(registry: Any) -> None:
        registry.modify(PODS, chapter, "web-0", lambda p: p["spec"].update(nodeName="n"), subresource="binding")
        registry.delete(PODS, chapter, "web-0")

    lab.do(stop)
    with pytest.raises(WaitFailed, match=r"pod/web-0 was not Deleted"):
        wait("sts/web", "0 left", timeout=0.2)
    options = {"gracePeriodSeconds": 0}
    thread = later(lambda: api.core().delete_namespaced_pod("web-0", chapter, body=options))
    wait("sts/web", "0 left")
    thread.join()
    assert capsys.readouterr().out == "sts/web has 0 left\n"


@pytest.mark.usefixtures("chapter")
def test_a_state_that_the_kind_never_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a Pod is never 'Bound'; it can be .*Ready"):
        wait("pod/web-0", "Bound")
    with pytest.raises(ValueError, match="is not kind/name"):
        wait("web-0")


def test_another_object_of_the_same_name_does_not_count_as_the_one_that_was_deleted(
    lab: InProcessLab, chapter: str
) -> None:
    lab.pod(chapter, "web-0")
    pods = api.resource("pods")
    uid = pods.get(name="web-0", namespace=chapter).metadata.uid
    waiting.gone(pods, "web-0", chapter, "an older one")
    with pytest.raises(WaitFailed, match="was not Deleted"):
        waiting.gone(pods, "web-0", chapter, uid, timeout=0.1)


# ------------------------------------------------------------------------------------- when the server does not answer


@pytest.fixture
def pods(server: FakeApi, monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    monkeypatch.setattr(api, "split_reference", lambda reference: (api.resource("pods"), "web-0"))
    return server


def test_a_wait_survives_what_passes(pods: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    pods.put("web-0", status={"phase": "Pending"})

    def trouble() -> None:
        pods.await_watches(1)
        pods.cut()
        pods.await_watches(2)
        pods.go_away()
        pods.forget()
        pods.come_back()
        pods.await_watches(3)
        pods.put("web-0", status=READY)

    thread = later(trouble)
    wait("pod/web-0", "Ready")
    thread.join()
    assert capsys.readouterr().out == "pod/web-0 is Ready\n"


def test_a_wait_that_is_refused_says_so(pods: FakeApi) -> None:
    pods.refuse = 403
    with pytest.raises(Refused, match="not for you"):
        wait("pod/web-0", "Deleted")


def test_a_wait_without_a_cluster_says_so_at_once(pods: FakeApi) -> None:
    pods.go_away()
    with pytest.raises(NotConnected):
        wait("pod/web-0", "Deleted", timeout=3600)
    pods.come_back()
