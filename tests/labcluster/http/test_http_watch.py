"""Watches over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from labcluster.api.objects import JSON
from labcluster.api.resources import CONFIG_MAPS, NAMESPACES
from labcluster.http.verbs import watching
from tests.labcluster.http_server import SECONDS, ApiServer, Client, config_map, running

MAPS = "/api/v1/namespaces/default/configmaps"
WATCH = f"{MAPS}?watch=true"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
WATCH_LIST = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


def make(api: ApiServer, name: str, **metadata: Any) -> JSON:
    return api.registry.create(CONFIG_MAPS, config_map(name, **metadata))


def change(api: ApiServer, name: str, **labels: str) -> JSON:
    def relabel(obj: JSON) -> None:
        obj["metadata"]["labels"] = labels

    return api.registry.modify(CONFIG_MAPS, "default", name, relabel)


def short(event: JSON) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"]["name"]


async def test_a_watch_tells_what_is_and_what_happens(api: ApiServer, call: Client) -> None:
    make(api, "old")
    async with call.watch(WATCH) as following:
        assert short(await following()) == ("ADDED", "old")
        made = make(api, "new")
        assert await following() == {"type": "ADDED", "object": made}
        changed = change(api, "new", a="b")
        assert await following() == {"type": "MODIFIED", "object": changed}
        last = api.registry.delete(CONFIG_MAPS, "default", "new")
        assert await following() == {"type": "DELETED", "object": last}
        assert last["metadata"]["resourceVersion"] == str(api.registry.revision)


async def test_a_watch_resumes_after_a_revision(api: ApiServer, call: Client) -> None:
    make(api, "one")
    then = api.registry.revision
    make(api, "two")
    change(api, "one", a="b")
    async with call.watch(f"{WATCH}&resourceVersion={then}") as following:
        assert short(await following()) == ("ADDED", "two")
        assert short(await following()) == ("MODIFIED", "one")


async def test_a_watch_of_one_namespace_sees_no_other(api: ApiServer, call: Client) -> None:
    api.registry.create(NAMESPACES, {"metadata": {"name": "other"}})
    async with call.watch(WATCH) as following, call.watch("/api/v1/configmaps?watch=1") as following_all:
        make(api, "a", namespace="other")
        make(api, "b")
        assert short(await following()) == ("ADDED", "b")
        assert [short(await following_all()) for _ in range(2)] == [("ADDED", "a"), ("ADDED", "b")]


async def test_leaving_a_selection_is_a_deletion(api: ApiServer, call: Client) -> None:
    make(api, "one", labels={"tier": "front"})
    make(api, "never")
    async with call.watch(f"{WATCH}&labelSelector=tier%3Dfront") as following:
        assert short(await following()) == ("ADDED", "one")
        change(api, "one", tier="back")
        event = await following()
        assert short(event) == ("DELETED", "one")
        assert event["object"]["metadata"]["labels"] == {"tier": "front"}
        assert event["object"]["metadata"]["resourceVersion"] == str(api.registry.revision)
        api.registry.delete(CONFIG_MAPS, "default", "never")
        change(api, "one", tier="front")
        assert short(await following()) == ("ADDED", "one")
        change(api, "one", tier="front", more="x")
        assert short(await following()) == ("MODIFIED", "one")


async def test_a_field_selector_narrows_a_watch(api: ApiServer, call: Client) -> None:
    async with call.watch(f"{WATCH}&fieldSelector=metadata.name%3Db") as following:
        make(api, "a")
        make(api, "b")
        assert short(await following()) == ("ADDED", "b")


async def test_watch_list_ends_with_a_marked_bookmark(api: ApiServer, call: Client) -> None:
    make(api, "one")
    make(api, "two")
    async with call.watch(f"{WATCH}&{WATCH_LIST}") as following:
        assert [short(await following()) for _ in range(2)] == [("ADDED", "one"), ("ADDED", "two")]
        bookmark = await following()
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"] == {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {
                "resourceVersion": str(api.registry.revision),
                "annotations": {"k8s.io/initial-events-end": "true"},
            },
        }
        make(api, "three")
        assert short(await following()) == ("ADDED", "three")


async def test_watch_list_without_objects_is_only_the_bookmark(call: Client) -> None:
    async with call.watch(f"{WATCH}&{WATCH_LIST}") as following:
        assert (await following())["type"] == "BOOKMARK"


@pytest.mark.parametrize(
    "query",
    [
        "sendInitialEvents=true",
        "sendInitialEvents=true&resourceVersionMatch=Exact",
        "resourceVersionMatch=NotOlderThan",
        "resourceVersion=x",
    ],
)
async def test_wrong_combinations_are_invalid(call: Client, query: str) -> None:
    code, status = await call("GET", f"{WATCH}&{query}")
    assert (code, status["reason"]) == (422, "Invalid")


async def test_too_old_is_told_in_the_stream(api: ApiServer, call: Client) -> None:
    make(api, "one")
    api.registry._cache._forgotten = api.registry.revision
    async with call.watch(f"{WATCH}&resourceVersion=1") as following:
        event = await following()
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert await following() is None


@pytest.mark.parametrize("more", ["", f"&{WATCH_LIST}"])
async def test_the_future_times_out(call: Client, more: str) -> None:
    code, status = await call("GET", f"{WATCH}&resourceVersion=999{more}")
    assert (code, status["reason"]) == (504, "Timeout")
    assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_bookmarks_come_when_nothing_else_does(
    api: ApiServer, call: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "BOOKMARK_SECONDS", 0.01)
    async with call.watch(f"{WATCH}&allowWatchBookmarks=true") as following:
        event = await following()
        assert event["type"] == "BOOKMARK"
        assert event["object"]["metadata"] == {"resourceVersion": str(api.registry.revision)}


async def test_a_timeout_ends_with_a_bookmark(api: ApiServer, call: Client) -> None:
    async with call.watch(f"{WATCH}&allowWatchBookmarks=true&timeoutSeconds=1") as following:
        assert (await following())["type"] == "BOOKMARK"
        assert await following() is None
    assert not api.services.closers


async def test_a_watch_can_be_a_table(api: ApiServer, call: Client) -> None:
    made = make(api, "one")
    async with call.watch(WATCH, headers=TABLE) as following:
        first = await following()
        assert first["object"]["kind"] == "Table"
        assert first["object"]["columnDefinitions"][0]["name"] == "Name"
        assert first["object"]["rows"][0]["object"]["metadata"] == made["metadata"]
        make(api, "two")
        second = await following()
        assert second["object"]["columnDefinitions"] is None
        assert second["object"]["rows"][0]["cells"][0] == "two"


async def test_a_fault_within_a_watch_is_an_error_event(
    api: ApiServer, call: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(api, "one")

    def fails(obj: JSON) -> None:
        raise ZeroDivisionError("by hand")

    monkeypatch.setattr(api.registry.kind(CONFIG_MAPS), "cells", fails)
    async with call.watch(WATCH, headers=TABLE) as following:
        event = await following()
        assert (event["type"], event["object"]["reason"]) == ("ERROR", "InternalError")
        assert await following() is None


async def test_a_watch_can_be_of_metadata(api: ApiServer, call: Client) -> None:
    make(api, "one")
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    async with call.watch(WATCH, headers={"Accept": accept}) as following:
        event = await following()
        assert event["object"]["kind"] == "PartialObjectMetadata" and "data" not in event["object"]


async def test_a_client_that_leaves_is_forgotten(api: ApiServer, call: Client) -> None:
    async with call.watch(WATCH) as following:
        make(api, "one")
        await following()
        assert len(api.services.closers) == 1
    async with asyncio.timeout(SECONDS):
        while api.services.closers:
            await asyncio.sleep(0)


async def test_a_client_that_does_not_read_is_cut_off(
    api: ApiServer, call: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MOST_WAITING", 3)
    async with call.watch(WATCH) as following:
        for n in range(5):  # in one step of the loop: the stream cannot keep up
            make(api, f"m{n}")
        with pytest.raises(Exception, match=r"(?i)payload|disconnected|closed|reset"):
            while await following() is not None:
                pass
    async with asyncio.timeout(SECONDS):
        while api.services.closers:
            await asyncio.sleep(0)


async def test_stopping_the_server_ends_the_watches(tmp_path: Path) -> None:
    async with running(tmp_path) as api, api.client.session.get(api.url + WATCH) as response:
        assert response.status == 200
        for close in tuple(api.services.closers):
            close()
        async with asyncio.timeout(SECONDS):
            assert await response.content.read() == b""


async def test_many_watchers_share_the_encoded_event(api: ApiServer, call: Client) -> None:
    async with call.watch(WATCH) as one, call.watch(WATCH) as two:
        made = make(api, "x")
        assert await one() == await two() == {"type": "ADDED", "object": made}
        assert len([key for key in api.services.event_lines if key[0] == api.registry.revision]) == 1
