"""The Python client's dynamic client, its asyncio half and its leader election, on the running cluster."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import aio, client, config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, ResourceNotFoundError, UnprocessibleEntityError
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

from tests.manifests import shell, workload
from tests.running_lab import SECONDS, Namespace

JSON = dict[str, Any]


def config_map(name: str, **data: str) -> JSON:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@pytest.fixture
def dynamic(namespace: Namespace, tmp_path: Path) -> DynamicClient:
    return DynamicClient(namespace.lab.client, cache_file=str(tmp_path / "discovery.json"))


def test_discovery_finds_kinds_and_is_remembered(dynamic: DynamicClient, namespace: Namespace, tmp_path: Path) -> None:
    stateful_sets = dynamic.resources.get(api_version="apps/v1", kind="StatefulSet")
    assert (stateful_sets.name, stateful_sets.namespaced, "watch" in stateful_sets.verbs) == (
        "statefulsets",
        True,
        True,
    )
    assert "status" in stateful_sets.subresources and "scale" in stateful_sets.subresources
    assert dynamic.resources.get(api_version="v1", kind="Pod").short_names == ["po"]
    assert dynamic.resources.get(api_version="v1", kind="PodList").base_kind == "Pod"
    with pytest.raises(ResourceNotFoundError):
        dynamic.resources.get(api_version="example.com/v1", kind="Nothing")
    assert dynamic.version["kubernetes"]["gitVersion"].startswith("v1.")
    assert json.loads((tmp_path / "discovery.json").read_text())["resources"]
    again = DynamicClient(namespace.lab.client, cache_file=str(tmp_path / "discovery.json"))
    assert again.resources.get(api_version="v1", kind="Pod").name == "pods"


def test_objects_are_made_applied_patched_and_deleted(dynamic: DynamicClient, namespace: Namespace) -> None:
    maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
    made = maps.create(body=config_map("one", a="1"), namespace=namespace.name)
    assert (made.metadata.name, made.data.a, made.kind) == ("one", "1", "ConfigMap")
    merged = maps.patch(
        body={"data": {"a": None, "b": "2"}}, name="one", namespace=namespace.name,
        content_type="application/merge-patch+json",
    )  # fmt: skip
    assert merged.data.to_dict() == {"b": "2"}
    strategic = maps.patch(body={"data": {"c": "3"}}, name="one", namespace=namespace.name)
    assert strategic.data.to_dict() == {"b": "2", "c": "3"}
    replaced = maps.replace(body={**strategic.to_dict(), "data": {"d": "4"}}, namespace=namespace.name)
    assert replaced.data.to_dict() == {"d": "4"}
    with pytest.raises(ConflictError):
        maps.replace(body=strategic.to_dict(), namespace=namespace.name)
    applied = maps.server_side_apply(body=config_map("two", a="1"), namespace=namespace.name, field_manager="me")
    assert applied.metadata.managedFields[0].manager == "me"
    with pytest.raises(ConflictError, match="conflict with"):
        maps.server_side_apply(body=config_map("two", a="2"), namespace=namespace.name, field_manager="other")
    forced = maps.server_side_apply(
        body=config_map("two", a="2"), namespace=namespace.name, field_manager="other", force_conflicts=True
    )
    assert forced.data.a == "2"
    found = maps.get(namespace=namespace.name, field_selector="metadata.name!=kube-root-ca.crt")
    assert [o.metadata.name for o in found.items] == ["one", "two"]
    assert maps.delete(name="one", namespace=namespace.name).status == "Success"
    with pytest.raises(NotFoundError):
        maps.get(name="one", namespace=namespace.name)
    maps.delete(namespace=namespace.name, field_selector="metadata.name=two")
    with pytest.raises(UnprocessibleEntityError):
        maps.create(body=config_map("Bad_Name"), namespace=namespace.name)


def test_subresources_and_lists_of_kinds(dynamic: DynamicClient, namespace: Namespace) -> None:
    namespace.apply(workload("Deployment", "web", 0, shell()))
    deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    scaled = deployments.scale.patch(body={"spec": {"replicas": 1}}, name="web", namespace=namespace.name)
    assert (scaled.kind, scaled.spec.replicas) == ("Scale", 1)
    assert deployments.status.get(name="web", namespace=namespace.name).status.observedGeneration
    both = dynamic.resources.get(api_version="v1", kind="ConfigMapList")
    items = [config_map("a"), config_map("b")]
    both.create(body={"apiVersion": "v1", "kind": "ConfigMapList", "items": items}, namespace=namespace.name)
    assert namespace.lab.core.read_namespaced_config_map("b", namespace.name).metadata.name == "b"


def test_changes_are_watched(dynamic: DynamicClient, namespace: Namespace) -> None:
    maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
    start = maps.get(namespace=namespace.name).metadata.resourceVersion
    maps.create(body=config_map("one"), namespace=namespace.name)
    maps.delete(name="one", namespace=namespace.name)
    told = maps.watch(namespace=namespace.name, resource_version=start, timeout=1, name="one")
    assert [(event["type"], event["object"].metadata.name) for event in told] == [("ADDED", "one"), ("DELETED", "one")]
    events = maps.watch(
        namespace=namespace.name, timeout=1, allow_watch_bookmarks=True, send_initial_events=True,
        resource_version_match="NotOlderThan",
    )  # fmt: skip
    assert [event["type"] for event in events][-1] == "BOOKMARK"


@pytest.fixture
def default_client(namespace: Namespace) -> Iterator[Namespace]:
    """The locks of the leader election take the default configuration."""
    before = client.Configuration.get_default_copy()
    config.load_kube_config(config_file=str(namespace.lab.kubeconfig))
    yield namespace
    client.Configuration.set_default(before)


@pytest.mark.parametrize("lock", [LeaseLock, ConfigMapLock])
def test_one_of_two_candidates_leads_and_the_other_takes_over(default_client: Namespace, lock: Any) -> None:
    name, leads = default_client.name, {"one": threading.Event(), "two": threading.Event()}
    stops = threading.Event()

    class Stopped(Exception):
        pass

    def candidate(who: str) -> leaderelection.LeaderElection:
        chosen = lock("lock", name, who)
        update = chosen.update

        def stoppable(*arguments: Any) -> Any:
            if who == "one" and stops.is_set():
                raise Stopped  # as if the process had died
            return update(*arguments)

        chosen.update = stoppable
        election = electionconfig.Config(
            chosen, lease_duration=3, renew_deadline=2, retry_period=1, onstarted_leading=leads[who].set,
            onstopped_leading=lambda: None,
        )  # fmt: skip
        return leaderelection.LeaderElection(election)

    def run(who: str) -> None:
        try:
            candidate(who).run()
        except Stopped:
            return

    threads = {who: threading.Thread(target=run, args=(who,), daemon=True) for who in leads}
    threads["one"].start()
    assert leads["one"].wait(SECONDS)
    threads["two"].start()
    assert not leads["two"].wait(1.5)
    stops.set()
    assert leads["two"].wait(SECONDS)


async def test_the_asyncio_half_reads_and_watches(namespace: Namespace) -> None:
    await aio.config.load_kube_config(config_file=str(namespace.lab.kubeconfig))
    async with aio.client.ApiClient() as api:
        core = aio.client.CoreV1Api(api)
        start = (await core.list_namespaced_config_map(namespace.name)).metadata.resource_version
        await core.create_namespaced_config_map(namespace.name, {"metadata": {"name": "one"}})
        await core.delete_namespaced_config_map("one", namespace.name)
        told = []
        async with aio.watch.Watch() as watch:
            changes = watch.stream(
                core.list_namespaced_config_map, namespace.name, resource_version=start, timeout_seconds=1,
                field_selector="metadata.name=one",
            )  # fmt: skip
            async for event in changes:
                told.append(event["type"])
    assert told == ["ADDED", "DELETED"]
