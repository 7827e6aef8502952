"""A recording misses nothing, whatever happens to its connection, or says that it is not whole."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from labsupport.cluster import watching
from labsupport.cluster.recording import Recording, RecordingFailed
from labsupport.errors import NotConnected, Refused
from tests.labsupport.cluster.fake_api import SECONDS, FakeApi

READY = {"conditions": [{"type": "Ready", "status": "True"}]}
UNREADY = {"conditions": [{"type": "Ready", "status": "False"}]}


def record() -> Recording:
    return Recording(("pods",))


def await_fact(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def happened(recording: Recording) -> list[tuple[str, str]]:
    return [(moment.what, moment.name) for moment in recording.moments]


def test_what_is_there_already_is_part_of_it(server: FakeApi) -> None:
    server.put("a", status=READY)
    with record() as recording:
        assert happened(recording) == [("created", "a"), ("ready", "a")]


def test_a_life_is_recorded_in_order(server: FakeApi) -> None:
    with record() as recording:
        server.put("a")
        server.put("a", spec={"nodeName": "lab-worker"})
        server.put("a", spec={"nodeName": "lab-worker"}, status={"phase": "Running", **UNREADY})
        server.put("a", spec={"nodeName": "lab-worker"}, status={"phase": "Running", **READY})
        server.put("a", spec={"nodeName": "lab-worker"}, status={"phase": "Running", **UNREADY})
        server.remove("a")
        await_fact(lambda: ("deleted", "a") in happened(recording))
    assert [what for what, _ in happened(recording)] == [
        "created",
        "scheduled",
        "running",
        "ready",
        "unready",
        "deleted",
    ]
    assert recording.order("ready") == ["a"]
    assert len(recording.when("deleted")) == 1


def test_what_happened_until_the_stop_is_recorded(server: FakeApi) -> None:
    recording = record()
    server.await_watches(1)
    server.hold()  # nothing comes by the watch any more
    server.put("a")
    recording.stop()
    assert happened(recording) == [("created", "a")]
    server.put("b")
    assert recording.order("created") == ["a"]


def test_nothing_is_lost_when_the_connection_is_cut_in_the_middle(server: FakeApi) -> None:
    with record() as recording:
        server.await_watches(1)
        server.cut_in_the_next_line()
        server.put("a", status=READY)
        server.put("a", status=UNREADY)
        server.remove("a")
        await_fact(lambda: ("deleted", "a") in happened(recording))
    assert [what for what, _ in happened(recording)] == ["created", "ready", "unready", "deleted"]


def test_nothing_is_lost_when_the_server_goes_away_and_has_forgotten(server: FakeApi) -> None:
    server.put("a")
    with record() as recording:
        server.await_watches(1)
        server.go_away()
        server.put("a", status=READY)
        server.put("b", status=READY)
        server.forget()
        server.come_back()
        await_fact(lambda: ("ready", "b") in happened(recording))
        server.go_away()
        server.remove("a")
        server.forget()
        server.come_back()
        await_fact(lambda: ("deleted", "a") in happened(recording))
    expected = [("created", "a"), ("ready", "a"), ("created", "b"), ("ready", "b"), ("deleted", "a")]
    assert happened(recording) == expected


def test_a_recording_that_may_no_longer_watch_says_so_when_it_is_read_or_stopped(server: FakeApi) -> None:
    recording = record()
    server.await_watches(1)
    server.refuse = 403
    server.cut()
    for thread in recording._threads:
        thread.join(SECONDS)
    message = r"not whole: pods could no longer be watched after \d+ s \(Refused: Refused \(403\): not for you\)"
    for read in (lambda: recording.moments, lambda: recording.order("ready"), recording.stop, recording.stop):
        with pytest.raises(RecordingFailed, match=message):
            read()


def test_a_recording_whose_server_stays_away_says_so(server: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PATIENCE", 0.01)
    with pytest.raises(RecordingFailed, match="NotConnected"), record() as recording:
        server.await_watches(1)
        server.go_away()
        for thread in recording._threads:
            thread.join(SECONDS)
    server.come_back()


def test_a_fault_of_the_recording_itself_is_told(server: FakeApi) -> None:
    with pytest.raises(RecordingFailed, match="AttributeError"), record() as recording:
        server.put("a", spec=7)
        for thread in recording._threads:
            thread.join(SECONDS)


def test_an_error_of_the_experiment_is_not_hidden_by_one_of_the_recording(server: FakeApi) -> None:
    with pytest.raises(ZeroDivisionError), record():
        server.refuse = 403
        server.cut()
        raise ZeroDivisionError


def test_a_recording_that_cannot_begin_says_so_at_once(server: FakeApi) -> None:
    server.refuse = 403
    with pytest.raises(Refused, match="not for you"):
        record()
    server.go_away()
    with pytest.raises(NotConnected):
        record()
    server.come_back()


def test_a_stopped_recording_leaves_no_thread(server: FakeApi) -> None:
    before = set(threading.enumerate())
    recording = record()
    recording.stop()
    assert not any(thread.is_alive() for thread in recording._threads)
    assert not {thread for thread in set(threading.enumerate()) - before if "_follow" in thread.name}


def test_a_moment_says_whose_the_pod_is_and_what_it_was_made_from(server: FakeApi) -> None:
    owner = {"kind": "StatefulSet", "name": "db", "controller": True}
    volumes: list[dict[str, Any]] = [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}},
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}},
    ]
    server.put("db-0", spec={"volumes": volumes})
    obj = server.objects["db-0"]
    obj["metadata"] |= {"labels": {"controller-revision-hash": "db-5f6"}, "ownerReferences": [owner]}
    server.put("other")
    with record() as recording:
        (moment, _) = recording.moments
    assert (moment.owner, moment.revision, moment.claims) == ("statefulset/db", "db-5f6", ("data-db-0", "db-0-scratch"))
    assert recording.order("created", "statefulset/db") == ["db-0"]
    assert recording.order("created", "statefulset/web") == []
    assert len(recording.when("created", "statefulset/db")) == 1


def test_pods_and_claims_are_watched_unless_told(server: FakeApi) -> None:
    Recording().stop()
    lists = {path.rpartition("/")[2] for path, query in server.requests if "watch" not in query}
    assert lists == {"pods", "persistentvolumeclaims"}
    assert json.dumps(sorted({path for path, _ in server.requests})).count("chapter-01") == 2


def test_a_mark_stands_among_the_moments(server: FakeApi) -> None:
    with record() as recording:
        recording.mark("rollback")
    assert happened(recording) == [("mark", "rollback")]
