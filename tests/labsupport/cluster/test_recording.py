"""A recording goes on when the server ends its watch, and misses nothing meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from labsupport.cluster import recording


def pod(name: str, *, ready: bool = False, revision: str = "") -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {"controller-revision-hash": revision}},
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


class FakePods:
    """A resource whose list is given round by round, and whose watches bring one round's events each."""

    def __init__(self, lists: list[list[dict[str, Any]]], watches: list[list[tuple[str, dict[str, Any]]]]) -> None:
        self.lists = lists
        self.watches = watches
        self.done = threading.Event()

    def get(self, **_: Any) -> Any:
        items = [
            SimpleNamespace(metadata=SimpleNamespace(uid=o["metadata"]["uid"]), to_dict=lambda o=o: o)
            for o in self.lists.pop(0)
        ]
        return SimpleNamespace(items=items, metadata=SimpleNamespace(resourceVersion="1"))


@pytest.fixture
def pods(monkeypatch: pytest.MonkeyPatch) -> FakePods:
    fake = FakePods([], [])

    class FakeWatch:
        def stream(self, *_: Any, **__: Any) -> Iterator[dict[str, Any]]:
            if not fake.watches:
                fake.done.set()
                stopped.wait(5)
                return
            for kind, obj in fake.watches.pop(0):
                yield {"type": kind, "object": obj}

        def stop(self) -> None:
            stopped.set()

    stopped = threading.Event()
    monkeypatch.setattr(recording.scope, "namespace", lambda: "chapter-00")
    monkeypatch.setattr(recording.kube, "resource", lambda word: fake)
    monkeypatch.setattr(recording.client_watch, "Watch", FakeWatch)
    return fake


def record(pods: FakePods) -> recording.Recording:
    with recording.Recording(("pods",)) as made:
        assert pods.done.wait(5)
    return made


def test_what_happened_between_two_watches_is_recorded(pods: FakePods) -> None:
    pods.lists = [[pod("a")], [pod("b", ready=True)]]
    pods.watches = [[("MODIFIED", pod("a", ready=True))]]
    happened = [(m.what, m.name) for m in record(pods).moments]
    assert happened == [("created", "a"), ("ready", "a"), ("deleted", "a"), ("created", "b"), ("ready", "b")]


def test_what_is_there_still_is_not_recorded_twice(pods: FakePods) -> None:
    pods.lists = [[pod("a", ready=True)]] * 2
    pods.watches = [[]]
    assert record(pods).order("created") == ["a"]


def test_a_pod_carries_its_revision(pods: FakePods) -> None:
    pods.lists = [[pod("a", revision="db-5f6")]]
    assert [m.revision for m in record(pods).moments] == ["db-5f6"]


def test_a_mark_stands_among_the_moments(pods: FakePods) -> None:
    pods.lists = [[]]
    made = record(pods)
    made.mark("rollback")
    assert [(m.what, m.name) for m in made.moments] == [("mark", "rollback")]
