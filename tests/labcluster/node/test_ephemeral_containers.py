"""Ephemeral containers: what the API takes, and what the node makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from labcluster.api.objects import JSON
from labcluster.api.pod_runtime import LogOptions
from labcluster.api.resources import PODS
from tests.labcluster.http_server import ApiServer, Client, pod
from tests.labcluster.node_cluster import NodeCluster, container, pod_object

ONE = "/api/v1/namespaces/default/pods/one"
EPHEMERAL = f"{ONE}/ephemeralcontainers"
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
MERGE = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
DEBUGGER = {"name": "debugger", "image": "busybox"}


@pytest.fixture
async def call(api: ApiServer) -> Client:
    await api.client("POST", "/api/v1/namespaces/default/pods", pod("one"))
    return api.client


async def add(call: Client, *containers: JSON) -> tuple[int, JSON]:
    """As kubectl debug does."""
    return await call("PATCH", EPHEMERAL, {"spec": {"ephemeralContainers": list(containers)}}, headers=STRATEGIC)


async def causes(call: Client, *containers: JSON) -> list[str]:
    code, status = await add(call, *containers)
    assert (code, status["reason"]) == (422, "Invalid"), status
    return [f"{c['field']}: {c['message']}" for c in status["details"]["causes"]]


# ------------------------------------------------------------------- the API


async def test_one_is_added_with_its_defaults_and_the_generation_moves(call: Client) -> None:
    code, made = await add(call, {**DEBUGGER, "targetContainerName": "main"})
    assert code == 200
    assert made["spec"]["ephemeralContainers"] == [
        {
            "name": "debugger",
            "image": "busybox",
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "imagePullPolicy": "Always",
            "targetContainerName": "main",
        }
    ]
    assert made["metadata"]["generation"] == 2
    assert await call("GET", EPHEMERAL) == (200, made)
    assert await call("GET", ONE) == (200, made)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (STRATEGIC, {"spec": {"ephemeralContainers": [{"name": "two", "image": "b"}]}}),
        (MERGE, {"spec": {"ephemeralContainers": [DEBUGGER, {"name": "two", "image": "b"}]}}),
        (JSON_PATCH, [{"op": "add", "path": "/spec/ephemeralContainers/-", "value": {"name": "two", "image": "b"}}]),
        (
            APPLY,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "one"},
                "spec": {"ephemeralContainers": [{"name": "two", "image": "b"}]},
            },
        ),
    ],
    ids=["strategic", "merge", "json", "apply"],
)
async def test_patches_of_all_kinds_add_another(call: Client, headers: dict[str, str], body: Any) -> None:
    await add(call, DEBUGGER)
    if headers is MERGE:  # which replaces the list: what is there has to be given as it is
        _, found = await call("GET", ONE)
        body["spec"]["ephemeralContainers"][0] = found["spec"]["ephemeralContainers"][0]
    path = f"{EPHEMERAL}?fieldManager=me" if headers is APPLY else EPHEMERAL
    code, made = await call("PATCH", path, body, headers=headers)
    assert code == 200, made
    assert sorted(c["name"] for c in made["spec"]["ephemeralContainers"]) == ["debugger", "two"]


async def test_put_changes_nothing_but_the_ephemeral_containers(call: Client) -> None:
    _, old = await call("GET", ONE)
    old["spec"]["ephemeralContainers"] = [DEBUGGER]
    old["spec"]["containers"][0]["image"] = "other:1"
    old["metadata"]["labels"] = {"a": "b"}
    old["status"] = {"phase": "Failed"}
    code, made = await call("PUT", EPHEMERAL, old)
    assert code == 200
    assert [c["name"] for c in made["spec"]["ephemeralContainers"]] == ["debugger"]
    assert made["spec"]["containers"][0]["image"] != "other:1"
    assert "labels" not in made["metadata"] and made["status"]["phase"] == "Pending"
    old["metadata"]["resourceVersion"] = "1"
    assert (await call("PUT", EPHEMERAL, old))[0] == 409


async def test_who_added_one_manages_it_and_nothing_else(call: Client) -> None:
    path = f"{EPHEMERAL}?fieldManager=me"
    body = {"spec": {"ephemeralContainers": [DEBUGGER]}, "metadata": {"labels": {"a": "b"}}}
    code, made = await call("PATCH", path, body, headers=STRATEGIC)
    assert code == 200
    (entry,) = (e for e in made["metadata"]["managedFields"] if e["manager"] == "me")
    assert entry["subresource"] == "ephemeralcontainers"
    assert list(entry["fieldsV1"]) == ["f:spec"] and list(entry["fieldsV1"]["f:spec"]) == ["f:ephemeralContainers"]


async def test_a_body_without_a_spec_adds_nothing_and_harms_nothing(call: Client) -> None:
    _, old = await call("GET", ONE)
    bare = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}}
    assert await call("PUT", EPHEMERAL, bare) == (200, old)


async def test_none_may_be_removed_or_changed(call: Client) -> None:
    await add(call, DEBUGGER)
    code, status = await call("PATCH", EPHEMERAL, {"spec": {"ephemeralContainers": None}}, headers=MERGE)
    removed = 'Forbidden: existing ephemeral containers "debugger" may not be removed\n'
    assert (code, status["message"]) == (422, f'Pod "one" is invalid: spec.ephemeralContainers: {removed}')
    (changed,) = await causes(call, {"name": "debugger", "image": "other"})
    assert changed.startswith(
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debugger" may not be changed\n'
    )
    assert '"image": "other"' in changed


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"name": "main"}, 'spec.ephemeralContainers[0].name: Duplicate value: "main"'),
        ({"image": ""}, "spec.ephemeralContainers[0].image: Required value"),
        (
            {"targetContainerName": "no"},
            'spec.ephemeralContainers[0].targetContainerName: Not found: "no"',
        ),
        ({"ports": [{"containerPort": 80}]}, "ports"),
        ({"resources": {"requests": {"cpu": "1"}}}, "resources"),
        ({"livenessProbe": {"exec": {"command": ["true"]}}}, "livenessProbe"),
        ({"readinessProbe": {"exec": {"command": ["true"]}}}, "readinessProbe"),
        ({"startupProbe": {"exec": {"command": ["true"]}}}, "startupProbe"),
        ({"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}, "lifecycle"),
        ({"restartPolicy": "Always"}, "restartPolicy"),
    ],
)
async def test_what_may_not_be_set_is_named(call: Client, more: JSON, text: str) -> None:
    if ":" not in text:
        text = f"spec.ephemeralContainers[0].{text}: Forbidden: cannot be set for an Ephemeral Container"
    assert await causes(call, {**DEBUGGER, **more}) == [text]


async def test_a_volume_is_mounted_whole(call: Client) -> None:
    _, one = await call("GET", ONE)
    volume = one["spec"]["volumes"][0]["name"]
    mount = {"name": volume, "mountPath": "/x", "subPath": "y"}
    (text,) = await causes(call, {**DEBUGGER, "volumeMounts": [mount]})
    assert text == (
        "spec.ephemeralContainers[0].volumeMounts[0].subPath: Forbidden: cannot be set for an Ephemeral Container"
    )
    del mount["subPath"]
    assert (await add(call, {**DEBUGGER, "volumeMounts": [mount]}))[0] == 200


async def test_they_come_through_their_subresource_only(call: Client) -> None:
    body = pod("two")
    body["spec"]["ephemeralContainers"] = [DEBUGGER]
    code, status = await call("POST", "/api/v1/namespaces/default/pods", body)
    assert (code, status["message"]) == (
        422,
        'Pod "two" is invalid: spec.ephemeralContainers: Forbidden: cannot be set on create',
    )
    code, status = await call("PATCH", ONE, {"spec": {"ephemeralContainers": [DEBUGGER]}}, headers=STRATEGIC)
    assert code == 422
    assert "pod updates may not change fields other than" in status["message"]


async def test_the_subresource_is_in_discovery(call: Client) -> None:
    _, found = await call("GET", "/api/v1")
    (row,) = (r for r in found["resources"] if r["name"] == "pods/ephemeralcontainers")
    assert (row["kind"], row["verbs"]) == ("Pod", ["get", "patch", "update"])


# ------------------------------------------------------------------- the node


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[NodeCluster]:
    cluster = NodeCluster(tmp_path)
    await cluster.agent.start()
    yield cluster
    await cluster.agent.stop()


def debug(cluster: NodeCluster, *containers: JSON) -> None:
    def change(new: JSON) -> None:
        new["spec"].setdefault("ephemeralContainers", []).extend(containers)

    cluster.registry.modify(PODS, "default", "web", change, subresource="ephemeralcontainers")


def entry(cluster: NodeCluster, index: int = 0) -> JSON:
    entries: list[JSON] = cluster.pod()["status"].get("ephemeralContainerStatuses") or []
    return entries[index] if index < len(entries) else {}


async def started(cluster: NodeCluster, name: str = "debugger") -> None:
    await cluster.until(lambda: "running" in (entry(cluster).get("state") or {}))
    assert cluster.runtime.named(name)


async def test_a_debugger_starts_in_a_pod_that_runs(cluster: NodeCluster) -> None:
    await cluster.running(pod_object())
    debug(cluster, {**DEBUGGER, "targetContainerName": "c"})
    await started(cluster)
    (target,), (debugger,) = cluster.runtime.named("c"), cluster.runtime.named("debugger")
    assert debugger.target is target and target.target is None
    assert len(cluster.runtime.sandboxes) == 1
    found = entry(cluster)
    assert {k: found[k] for k in ("name", "ready", "restartCount", "lastState", "image")} == {
        "name": "debugger",
        "ready": False,
        "restartCount": 0,
        "lastState": {},
        "image": "docker.io/library/busybox",
    }
    assert "started" not in found
    assert cluster.ready() and cluster.phase() == "Running"


async def test_a_debugger_without_a_target_has_processes_of_its_own(cluster: NodeCluster) -> None:
    await cluster.running(pod_object())
    debug(cluster, DEBUGGER)
    await started(cluster)
    assert cluster.runtime.named("debugger")[0].target is None


async def test_a_debugger_is_never_started_again(cluster: NodeCluster) -> None:
    await cluster.running(pod_object())
    debug(cluster, DEBUGGER)
    await started(cluster)
    cluster.runtime.named("debugger")[0].end(3)
    await cluster.until(lambda: "terminated" in entry(cluster)["state"])
    assert entry(cluster)["state"]["terminated"]["exitCode"] == 3
    cluster.runtime.named("c")[0].end(0)  # something else has to be done for the pod
    await cluster.until(lambda: len(cluster.runtime.named("c")) == 2 and cluster.ready())
    assert len(cluster.runtime.named("debugger")) == 1
    debug(cluster, {"name": "second", "image": "busybox"})
    await cluster.until(lambda: "running" in (entry(cluster, 1).get("state") or {}))
    assert cluster.phase() == "Running"


async def test_a_debugger_waits_for_its_target(cluster: NodeCluster) -> None:
    cluster.create(pod_object(containers=[container(image="missing:1")]))
    await cluster.until(lambda: cluster.waiting() == "ErrImagePull")
    debug(cluster, {**DEBUGGER, "targetContainerName": "c"})
    await cluster.until(lambda: "CreateContainerError" in str(entry(cluster)))
    assert entry(cluster)["state"]["waiting"]["message"].endswith('container "c" is not running')
    cluster.registry.modify(PODS, "default", "web", lambda new: new["spec"]["containers"][0].update(image="app:1"))
    await started(cluster)
    assert cluster.runtime.named("debugger")[0].target is cluster.runtime.named("c")[0]


async def test_what_a_debugger_cannot_have_is_said_and_the_pod_runs_on(cluster: NodeCluster) -> None:
    await cluster.running(pod_object())
    debug(cluster, {**DEBUGGER, "securityContext": {"privileged": True}})
    await cluster.until(lambda: "waiting" in (entry(cluster).get("state") or {}))
    await cluster.until(lambda: "privileged" in str(entry(cluster)))
    assert entry(cluster)["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    assert cluster.ready()
    debug(cluster, {**DEBUGGER, "name": "tracer", "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}})
    await cluster.until(lambda: "running" in (entry(cluster, 1).get("state") or {}))
    assert cluster.runtime.named("tracer")[0].spec.capabilities == ("SYS_PTRACE",)


async def test_logs_exec_and_attach_reach_it(cluster: NodeCluster) -> None:
    pod = await cluster.running(pod_object())
    debug(cluster, DEBUGGER)
    await started(cluster)
    pod = cluster.pod()
    await cluster.agent.exec(pod, "debugger", ["ls"], stdin=False, tty=False)
    debugger = cluster.runtime.named("debugger")[0]
    assert debugger.commands == [["ls"]]
    session = await cluster.agent.attach(pod, "debugger", stdin=True, stderr=False)
    assert [data async for _, data in session.output()] == [b"live debugger"]
    debugger.spec.log_path.write_text("2026-01-01T00:00:00.000000000Z stdout F hello\n")
    assert b"".join([c async for c in cluster.agent.logs(pod, "debugger", LogOptions())]) == b"hello\n"


async def test_it_ends_with_the_pod(cluster: NodeCluster) -> None:
    await cluster.running(pod_object(restartPolicy="Never"))
    debug(cluster, DEBUGGER)
    await started(cluster)
    cluster.runtime.named("c")[0].end(0)
    await cluster.until(lambda: cluster.phase() == "Succeeded")
    assert "terminated" in entry(cluster)["state"]
    assert cluster.runtime.sandboxes[0].stopped


async def test_it_is_not_started_again_on_a_node_that_was_stopped(cluster: NodeCluster, tmp_path: Path) -> None:
    await cluster.running(pod_object())
    debug(cluster, DEBUGGER)
    await started(cluster)
    await cluster.agent.stop()
    later = NodeCluster(tmp_path, cluster.registry)
    await later.agent.start()
    async with asyncio.timeout(10):
        await later.until(lambda: later.ready() and "terminated" in entry(later)["state"])
    assert [c.spec.name for c in later.runtime.containers] == ["c"]
    await later.agent.stop()
