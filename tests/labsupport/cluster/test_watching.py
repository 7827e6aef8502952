"""Watching: what is survived without a loss, and what is told to whoever waits."""

from __future__ import annotations

import threading

import pytest
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from labsupport.cluster import watching
from labsupport.cluster.watching import Watch
from tests.labsupport.cluster.fake_api import FakeApi

PATH = "/api/v1/namespaces/chapter-01/pods"


class Follower:
    """Follows a watch in a thread; what it has brought, as (type, name)."""

    def __init__(self, server: FakeApi) -> None:
        self.watch = Watch(server.connection(), PATH)
        self.brought: list[tuple[str, str]] = []
        self.error: Exception | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for changes in self.watch:
                with self._changed:
                    self.brought += [(event, obj["metadata"]["name"]) for event, obj in changes]
                    self._changed.notify_all()
        except Exception as error:
            self.error = error

    def await_change(self, event: str, name: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: (event, name) in self.brought, 30), self.brought

    def end(self) -> list[tuple[str, str]]:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.brought

    def stop(self) -> list[tuple[str, str]]:
        self.watch.stop()
        return self.end()


def test_the_first_changes_are_what_is_there(server: FakeApi) -> None:
    server.put("a")
    server.put("b")
    watch = Watch(server.connection(), PATH)
    changes = next(iter(watch))
    assert [(event, obj["metadata"]["name"]) for event, obj in changes] == [("ADDED", "a"), ("ADDED", "b")]
    assert [(obj["kind"], obj["apiVersion"]) for obj in watch.objects.values()] == [("Pod", "v1")] * 2


def test_what_is_asked_for(server: FakeApi) -> None:
    watch = Watch(server.connection(), PATH, labels="app=web", fields="metadata.name=a", timeout=7)
    for _ in zip(range(1), watch, strict=False):
        pass
    assert server.requests == [(PATH, {"labelSelector": "app=web", "fieldSelector": "metadata.name=a"})]
    server.put("a")
    changes = iter(Watch(server.connection(), PATH, timeout=7))
    next(changes)
    server.put("b")
    next(changes)
    assert server.requests[-1] == (PATH, {"watch": "true", "resourceVersion": "2", "timeoutSeconds": "7"})


def test_changes_come_as_they_happen_and_the_state_is_kept(server: FakeApi) -> None:
    follower = Follower(server)
    server.await_watches(1)
    server.put("a")
    server.put("a")
    server.put("b")
    server.remove("a")
    follower.await_change("DELETED", "a")
    assert follower.brought == [("ADDED", "a"), ("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    assert follower.stop() == follower.brought  # the last list has nothing to add
    assert list(follower.watch.objects) == ["uid-b"]


def test_a_broken_connection_loses_nothing(server: FakeApi) -> None:
    follower = Follower(server)
    server.await_watches(1)
    server.cut()
    server.put("brief")
    server.remove("brief")
    follower.await_change("DELETED", "brief")
    assert follower.stop() == [("ADDED", "brief"), ("DELETED", "brief")]
    assert follower.error is None


def test_a_connection_that_breaks_within_a_line_loses_nothing(server: FakeApi) -> None:
    follower = Follower(server)
    server.await_watches(1)
    server.cut_in_the_next_line()
    server.put("a")
    follower.await_change("ADDED", "a")
    assert follower.stop() == [("ADDED", "a")]


def test_a_server_that_is_away_for_a_moment_loses_nothing(server: FakeApi) -> None:
    follower = Follower(server)
    server.await_watches(1)
    server.go_away()
    server.put("brief")
    server.remove("brief")
    server.come_back()
    follower.await_change("DELETED", "brief")
    assert follower.stop() == [("ADDED", "brief"), ("DELETED", "brief")]


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_server_that_cannot_answer_now_is_asked_again(server: FakeApi, code: int) -> None:
    follower = Follower(server)
    server.await_watches(1)
    server.refuse = code
    server.cut()
    server.await_requests(len(server.requests) + 2)
    server.refuse = 0
    server.put("a")
    follower.await_change("ADDED", "a")
    follower.stop()
    assert follower.error is None


@pytest.mark.parametrize("in_stream", [True, False])
def test_where_the_version_is_too_old_the_list_tells_what_was_missed(server: FakeApi, in_stream: bool) -> None:
    server.gone_in_stream = in_stream
    for name in ("kept", "changed", "gone", "replaced"):
        server.put(name)
    follower = Follower(server)
    server.await_watches(1)
    server.go_away()
    server.put("changed", spec={"nodeName": "lab-worker"})
    server.remove("gone")
    server.remove("replaced")
    server.put("replaced", uid="another")
    server.put("new")
    server.forget()
    server.come_back()
    follower.await_change("ADDED", "new")
    missed = [("DELETED", "gone"), ("DELETED", "replaced"), ("MODIFIED", "changed"), ("ADDED", "replaced")]
    assert follower.brought[4:] == [*missed, ("ADDED", "new")]
    server.put("later")
    follower.await_change("ADDED", "later")
    follower.stop()
    assert follower.error is None


@pytest.mark.parametrize("code", [401, 403, 404])
def test_what_does_not_pass_is_told(server: FakeApi, code: int) -> None:
    follower = Follower(server)
    server.await_watches(1)
    server.refuse = code
    server.cut()
    follower.end()
    assert isinstance(follower.error, ApiException) and follower.error.status == code
    assert "not for you" in str(follower.error.body)


def test_a_server_that_stays_away_is_told(server: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PATIENCE", 0.05)
    follower = Follower(server)
    server.await_watches(1)
    server.go_away()
    follower.end()
    server.come_back()
    assert isinstance(follower.error, HTTPError)


def test_an_error_of_the_first_list_is_told_at_once(server: FakeApi) -> None:
    server.refuse = 503
    with pytest.raises(ApiException, match="503"):
        next(iter(Watch(server.connection(), PATH)))
    assert len(server.requests) == 1


def test_an_error_in_what_is_done_with_a_change_is_not_swallowed(server: FakeApi) -> None:
    with pytest.raises(HTTPError, match="mine"):
        for _ in Watch(server.connection(), PATH):
            raise HTTPError("mine")


def test_an_end_in_time_lists_once_more(server: FakeApi) -> None:
    server.put("a")
    server.hold(more=1000)
    changes = iter(Watch(server.connection(), PATH, timeout=0.1))
    next(changes)
    server.put("b")
    assert [(event, obj["metadata"]["name"]) for some in changes for event, obj in some] == [("ADDED", "b")]
    assert "watch" not in server.requests[-1][1]


def test_what_happened_before_a_stop_is_brought(server: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_LAST_SILENCE", 20)  # a slow machine may be silent for longer than it is by default
    follower = Follower(server)
    server.await_watches(1)
    server.hold()
    server.put("brief")
    server.remove("brief")
    server.put("there")
    assert follower.stop() == [("ADDED", "brief"), ("DELETED", "brief"), ("ADDED", "there")]


def test_a_watch_that_is_stopped_when_the_server_is_away_says_so(server: FakeApi) -> None:
    follower = Follower(server)
    server.await_watches(1)
    server.go_away()
    follower.stop()
    server.come_back()
    assert isinstance(follower.error, HTTPError)


def test_a_server_that_ends_every_watch_is_not_asked_without_a_pause(
    server: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(watching, "_SHORTEST_PAUSE", 0.1)
    server.brief = True
    watch = Watch(server.connection(), PATH)

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) == 8:
            watch.stop()
        return True

    monkeypatch.setattr(watch._stopped, "wait", wait)
    list(watch)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


def test_an_iteration_that_is_left_closes_its_connection(server: FakeApi) -> None:
    watch = Watch(server.connection(), PATH)
    changes = iter(watch)
    next(changes)
    server.put("a")
    next(changes)
    stream = watch._stream
    assert stream is not None and not stream.closed
    changes.close()  # type: ignore[attr-defined]
    assert stream.closed


def test_time_is_a_bound_also_while_the_server_is_away(server: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PATIENCE", 3600)
    changes = iter(Watch(server.connection(), PATH, timeout=0.3))
    next(changes)
    server.go_away()
    with pytest.raises(HTTPError):
        list(changes)
    server.come_back()
