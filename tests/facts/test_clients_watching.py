"""What clients are told when they watch (facts 5, 6)."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.facts.api_port import MERGE, Space, path_of
from tests.facts.conftest import Aside, Forgetful
from tests.facts.listening_proxy import Request, listening
from tests.manifests import pod, shell, workload

JSON = dict[str, Any]

WATCH_LIST = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}


def config_map(name: str, **labels: str) -> JSON:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"a": "1"}}


def gist(event: JSON) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"].get("name", "")


def is_watch_list(asked: Request) -> bool:
    return {k: v[0] for k, v in asked.query.items()}.items() >= {**WATCH_LIST, "watch": "true"}.items()


def test_fact_05_a_watch_list_tells_what_there_is_and_then_says_so(space: Space) -> None:
    """sendInitialEvents=true: ADDED for each object, then a BOOKMARK with k8s.io/initial-events-end, then changes."""
    space.create(config_map("one", mine="yes"), config_map("two", mine="yes"))
    watching = space.api.watch(space.path("configmaps"), labelSelector="mine", **WATCH_LIST)
    assert sorted(gist(next(watching)) for _ in range(2)) == [("ADDED", "one"), ("ADDED", "two")]
    mark = next(watching)
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    last = space.create(config_map("three", mine="yes"))
    assert int(mark["object"]["metadata"]["resourceVersion"]) < int(last["metadata"]["resourceVersion"])
    assert gist(next(watching)) == ("ADDED", "three")
    watching.close()


def test_fact_05_a_watch_list_has_rules(space: Space) -> None:
    """sendInitialEvents without resourceVersionMatch=NotOlderThan is refused with 422."""
    for query in ({"sendInitialEvents": "true"}, {**WATCH_LIST, "resourceVersionMatch": "Exact"}):
        refused = space.api.refused("GET", space.path("configmaps"), watch="true", **query)
        assert (refused["code"], refused["reason"]) == (422, "Invalid")


WAITS = [("rollout", "status", "sts/web"), ("wait", "pod/web-0", "--for=condition=Ready")]


def refusing(asked: Request) -> tuple[int, str] | None:
    return (422, "Invalid") if "sendInitialEvents" in asked.query else None


def ignored(path: str) -> str:
    return path.replace("sendInitialEvents=true", "x=y").replace("resourceVersionMatch=NotOlderThan", "z=y")


def test_fact_05_rollout_status_and_wait_watch_so_fall_back_at_a_422_and_hang_when_ignored(space: Space) -> None:
    """Both commands ask for a watch-list; refused, they list and watch; where it is ignored, they wait in vain."""
    space.create(workload("StatefulSet", "web", 1, shell(), volumeClaimTemplates=[]))
    space.until("statefulsets", lambda found: found["web"]["status"].get("availableReplicas"))
    api, here = space.api, ("-n", space.name, "--timeout=10s")
    with listening(api) as proxy, listening(api, refusing) as refuser, listening(api, change=ignored) as deaf:
        for command in WAITS:
            proxy.requests.clear()
            assert proxy.kubectl(*here, *command).returncode == 0
            assert any(is_watch_list(asked) for asked in proxy.requests)
            refuser.requests.clear()
            assert refuser.kubectl(*here, *command).returncode == 0
            assert any(is_watch_list(asked) for asked in refuser.requests)
            assert any("sendInitialEvents" not in asked.query for asked in refuser.requests)
            done = deaf.kubectl("-n", space.name, "--timeout=1s", *command)
            assert done.returncode == 1 and "timed out" in done.stderr


def test_fact_06_one_revision_counts_for_all_objects_and_every_list_has_one(space: Space) -> None:
    """Whatever is written, of whatever kind: its resourceVersion is above all before it. Lists carry the present."""
    api, revisions = space.api, []

    def note(obj: JSON) -> None:
        revisions.append(int(obj["metadata"]["resourceVersion"]))

    note(api.ok("GET", space.path("secrets")))
    assert api.ok("GET", space.path("secrets"))["items"] == []  # of nothing, too
    note(space.create(config_map("one")))
    note(space.create(pod("two", schedulerName="nobody")))
    note(space.create(workload("StatefulSet", "web", 0, shell())))
    note(
        api.ok(
            "PATCH", path_of("namespaces", name=space.name), {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE
        )
    )
    note(space.patch("configmaps", "one", {"data": {"a": "2"}}))
    assert revisions == sorted(set(revisions))
    for query in ({}, {"resourceVersion": "0"}, {"limit": 1}, {"resourceVersion": revisions[0]}):
        listed = api.ok("GET", path_of("pods"), **query)["metadata"]["resourceVersion"]
        assert int(listed) >= revisions[-1]


def test_fact_06_what_is_too_old_is_410_over_http_or_in_the_stream(forgetful: Forgetful) -> None:
    """A list at a forgotten revision is refused; a watch from there begins, and its first event is the ERROR."""
    api, old = forgetful.api, {"resourceVersion": forgetful.revision}
    refused = api.refused("GET", path_of("configmaps"), resourceVersionMatch="Exact", **old)
    assert (refused["code"], refused["reason"]) == (410, "Expired")
    (event,) = api.watch(path_of("configmaps"), **old)
    assert event["type"] == "ERROR"
    assert (event["object"]["kind"], event["object"]["code"], event["object"]["reason"]) == ("Status", 410, "Expired")


@pytest.mark.parametrize("query", [{}, {"watch": "true"}], ids=["list", "watch"])
def test_fact_06_what_is_too_new_is_a_timeout(space: Space, query: JSON) -> None:
    """A revision from the future: 504 Timeout with the cause ResourceVersionTooLarge."""
    refused = space.api.refused("GET", space.path("configmaps"), resourceVersion=10**12, **query)
    assert (refused["code"], refused["reason"]) == (504, "Timeout")
    assert [cause["reason"] for cause in refused["details"]["causes"]] == ["ResourceVersionTooLarge"]


def test_fact_06_a_watch_without_revision_starts_with_what_there_is(space: Space) -> None:
    """ADDED for each object that exists; from a revision on, only what came later."""
    one = space.create(config_map("one", mine="yes"))
    space.create(config_map("two", mine="yes"))
    without = space.api.watch(space.path("configmaps"), labelSelector="mine")
    revision = one["metadata"]["resourceVersion"]
    later = space.api.watch(space.path("configmaps"), labelSelector="mine", resourceVersion=revision)
    assert sorted(gist(next(without)) for _ in range(2)) == [("ADDED", "one"), ("ADDED", "two")]
    assert gist(next(later)) == ("ADDED", "two")
    space.create(config_map("three", mine="yes"))
    for watching in (without, later):
        assert gist(next(watching)) == ("ADDED", "three")
        watching.close()


def test_fact_06_an_object_that_leaves_the_selection_is_deleted(space: Space) -> None:
    """To a watcher with a selector an object comes and goes with its labels, and with its fields."""
    revision = space.create(config_map("one", colour="blue"), pod("one", schedulerName="nobody"))["metadata"][
        "resourceVersion"
    ]
    by_label = space.api.watch(space.path("configmaps"), resourceVersion=revision, labelSelector="colour=green")
    by_field = space.api.watch(space.path("pods"), resourceVersion=revision, fieldSelector="status.phase!=Running")
    for colour in ("green", "green", "blue"):
        space.patch("configmaps", "one", {"metadata": {"labels": {"colour": colour}}, "data": {"a": colour}})
    space.patch("configmaps", "one", {"data": {"a": "unseen"}})
    space.patch("configmaps", "one", {"metadata": {"labels": {"colour": "green"}}})
    events = [next(by_label) for _ in range(3)]
    assert [gist(event)[0] for event in events] == ["ADDED", "DELETED", "ADDED"]
    assert int(events[1]["object"]["metadata"]["resourceVersion"]) > int(
        events[0]["object"]["metadata"]["resourceVersion"]
    )
    space.patch("pods", "one", {"status": {"phase": "Running"}}, "status")
    assert gist(next(by_field)) == ("DELETED", "one")
    by_label.close()
    by_field.close()


def test_fact_06_a_bookmark_comes_before_the_end(space: Space) -> None:
    """A watch with allowWatchBookmarks says where it got to before timeoutSeconds end it; without, it does not."""
    start = space.create(config_map("one"))["metadata"]["resourceVersion"]
    last = space.create(pod("two", schedulerName="nobody"))["metadata"]["resourceVersion"]
    query = {"resourceVersion": start, "labelSelector": "no=such", "timeoutSeconds": 1}
    with_marks = threading.Thread(
        target=lambda: marks.extend(space.api.watch(space.path("configmaps"), allowWatchBookmarks="true", **query))
    )
    marks: list[JSON] = []
    with_marks.start()
    assert not list(space.api.watch(space.path("configmaps"), **query))
    with_marks.join()
    assert [mark["type"] for mark in marks] == ["BOOKMARK"]
    assert int(marks[0]["object"]["metadata"]["resourceVersion"]) >= int(last)
    assert marks[0]["object"]["kind"] == "ConfigMap", json.dumps(marks)


def test_fact_06_bookmarks_come_about_once_a_minute(quiet_watch: Aside) -> None:
    """Where nothing happens a bookmark comes within the minute, and no other event."""
    assert [event["type"] for event in quiet_watch.wait()] == ["BOOKMARK"]
    assert 40 < quiet_watch.seconds < 64
