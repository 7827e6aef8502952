"""The agent: pods across restarts of the daemon, logs, exec, volumes' data."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from labcluster.api.conditions import condition
from labcluster.api.errors import ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import uid_of
from labcluster.api.pod_runtime import LogOptions
from labcluster.api.resources import NODES, PERSISTENT_VOLUMES, PODS
from tests.labcluster.fake_runtime import FakeSession
from tests.labcluster.node_cluster import NodeCluster, container, new_registry, pod_object


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[NodeCluster]:
    cluster = NodeCluster(tmp_path)
    await cluster.agent.start()
    yield cluster
    await cluster.agent.stop()


def write_log(cluster: NodeCluster, name: str, count: int, text: str) -> None:
    context = cluster.agent._contexts["lab-worker"]
    path = context.log_path(cluster.pod(name), "c", count)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"2026-01-01T00:00:00.000000000Z stdout F {text}\n")


async def logs(cluster: NodeCluster, name: str = "web", **options: object) -> str:
    chunks = [c async for c in cluster.agent.logs(cluster.pod(name), "c", LogOptions(**options))]  # type: ignore[arg-type]
    return b"".join(chunks).decode()


async def refusal_of_logs(cluster: NodeCluster, **options: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await logs(cluster, **options)
    return caught.value


async def test_three_nodes_are_ready_and_the_control_plane_is_tainted(cluster: NodeCluster) -> None:
    nodes = cluster.registry.list(NODES)
    assert [n["metadata"]["name"] for n in nodes] == ["lab-control-plane", "lab-worker", "lab-worker2"]
    assert all(condition(n, "Ready")["status"] == "True" for n in nodes)  # type: ignore[index]
    assert [len(n["spec"].get("taints", [])) for n in nodes] == [1, 0, 0]


async def test_pods_of_other_nodes_are_left_alone(cluster: NodeCluster) -> None:
    cluster.create(pod_object("elsewhere", nodeName="other"))
    cluster.create(pod_object("nowhere", nodeName=""))
    await cluster.running(pod_object())
    assert len(cluster.runtime.sandboxes) == 1


async def test_after_a_restart_of_the_daemon_pods_run_again_in_place(tmp_path: Path) -> None:
    before = NodeCluster(tmp_path, new_registry())
    await before.agent.start()
    pod = await before.running(pod_object(initContainers=[]))
    kept = tmp_path / "nodes/lab-worker/pods" / uid_of(pod) / "volumes/kubernetes.io~empty-dir/data/file"
    kept.parent.mkdir(parents=True)
    kept.write_text("still here")
    left = tmp_path / "nodes/lab-worker/pods/some-pod-that-is-gone"
    left.mkdir()
    await before.agent.stop()
    stored = before.pod()
    assert stored["status"]["phase"] == "Running" and before.ready()  # as after kill -9: nobody wrote a word

    after = NodeCluster(tmp_path, before.registry)
    await after.agent.start()
    await after.until(lambda: after.ready() and after.entry()["restartCount"] == 1)
    entry = after.entry()
    assert entry["lastState"]["terminated"]["exitCode"] == 137
    assert entry["lastState"]["terminated"]["reason"] == "Error"
    assert uid_of(after.pod()) == uid_of(pod)
    assert after.events("SandboxChanged") == ["Pod sandbox changed, it will be killed and re-created."]
    assert kept.read_text() == "still here"
    assert not left.exists()
    await after.agent.stop()


async def test_after_a_restart_terminating_pods_are_finished(tmp_path: Path) -> None:
    before = NodeCluster(tmp_path)
    await before.agent.start()
    before.runtime.stubborn = {"c"}
    await before.running(pod_object())
    before.registry.delete(PODS, "default", "web")
    await before.until(lambda: before.events("Killing"))
    before.runtime.stubborn = set()
    await before.agent.stop()
    after = NodeCluster(tmp_path, before.registry)
    await after.agent.start()
    await after.until(lambda: after.find() is None)
    assert not after.runtime.containers
    await after.agent.stop()


async def test_after_a_restart_never_means_never(tmp_path: Path) -> None:
    before = NodeCluster(tmp_path)
    await before.agent.start()
    await before.running(pod_object(restartPolicy="Never"))
    await before.agent.stop()
    after = NodeCluster(tmp_path, before.registry)
    await after.agent.start()
    await after.until(lambda: after.phase() == "Failed")
    assert not after.runtime.containers
    await after.agent.stop()


async def test_a_replacement_of_the_same_name_gets_a_worker_of_its_own(cluster: NodeCluster) -> None:
    first = await cluster.running(pod_object())
    cluster.registry.delete(PODS, "default", "web")
    await cluster.until(lambda: cluster.find() is None)
    second = await cluster.running(pod_object())
    assert uid_of(first) != uid_of(second)
    assert cluster.entry()["restartCount"] == 0


async def test_logs_are_those_of_the_running_instance(cluster: NodeCluster) -> None:
    await cluster.running(pod_object())
    write_log(cluster, "web", 0, "first")
    assert await logs(cluster) == "first\n"
    error = await refusal_of_logs(cluster, previous=True)
    assert (error.code, error.message) == (400, 'previous terminated container "c" in pod "web" not found')
    cluster.runtime.containers[0].end(1)
    await cluster.until(lambda: cluster.entry()["restartCount"] == 1 and cluster.ready())
    write_log(cluster, "web", 1, "second")
    assert await logs(cluster) == "second\n"
    assert await logs(cluster, previous=True) == "first\n"
    cluster.runtime.containers[1].end(1)
    await cluster.until(lambda: cluster.waiting() == "CrashLoopBackOff")
    assert await logs(cluster) == "second\n"
    assert await logs(cluster, previous=True) == "second\n"


async def test_logs_of_a_container_that_waits_are_refused(cluster: NodeCluster) -> None:
    cluster.create(pod_object(containers=[container(image="missing:1")]))
    await cluster.until(lambda: cluster.waiting() == "ImagePullBackOff")
    error = await refusal_of_logs(cluster)
    expected = 'container "c" in pod "web" is waiting to start: trying and failing to pull image'
    assert (error.code, error.message) == (400, expected)


async def test_exec_runs_in_the_container(cluster: NodeCluster) -> None:
    cluster.runtime.exec_result = (3, b"hello")
    pod = await cluster.running(pod_object())
    session = await cluster.agent.exec(pod, "c", ["echo"], stdin=False, tty=False)
    assert isinstance(session, FakeSession) and await session.wait() == 3


async def test_exec_is_refused_where_nothing_runs(cluster: NodeCluster) -> None:
    pod = await cluster.running(pod_object(restartPolicy="Never"))
    with pytest.raises(ApiError, match=r'container not found \("nosuch"\)'):
        await cluster.agent.exec(pod, "nosuch", ["sh"], stdin=False, tty=False)
    cluster.runtime.containers[0].end(0)
    await cluster.until(lambda: cluster.phase() == "Succeeded")
    with pytest.raises(ApiError) as caught:
        await cluster.agent.exec(cluster.pod(), "c", ["sh"], stdin=False, tty=False)
    assert caught.value.message == "cannot exec into a container in a completed pod; current phase is Succeeded"


async def test_attach_reaches_the_container_that_runs_now(cluster: NodeCluster) -> None:
    pod = await cluster.running(pod_object())
    session = await cluster.agent.attach(pod, "c", stdin=True, stderr=True)
    assert isinstance(session, FakeSession) and [data async for _, data in session.output()] == [b"live c"]


async def test_attach_is_refused_as_the_kubelet_does(cluster: NodeCluster) -> None:
    pod = await cluster.running(pod_object(containers=[{**container(), "tty": True}], restartPolicy="Never"))
    await cluster.agent.attach(pod, "c", stdin=True, stderr=False)
    with pytest.raises(ApiError) as caught:
        await cluster.agent.attach(pod, "c", stdin=True, stderr=True)
    start = "Internal error occurred: unable to upgrade connection: "
    why = "rpc error: code = InvalidArgument desc = tty and stderr cannot both be true"
    assert (caught.value.code, caught.value.message) == (500, start + why)
    cluster.runtime.containers[0].end(0)
    await cluster.until(lambda: cluster.phase() == "Succeeded")
    with pytest.raises(ApiError) as caught:
        await cluster.agent.attach(cluster.pod(), "c", stdin=False, stderr=False)
    assert caught.value.message == f"{start}container c not found in pod web_default"


async def test_a_container_gets_the_streams_of_its_spec(cluster: NodeCluster) -> None:
    streams = {"stdin": True, "stdinOnce": True, "tty": True}
    await cluster.running(pod_object(containers=[container("a"), {**container("b"), **streams}]))
    given = {c.spec.name: (c.spec.stdin, c.spec.stdin_once, c.spec.tty) for c in cluster.runtime.containers}
    assert given == {"a": (False, False, False), "b": (True, True, True)}


async def test_the_data_of_a_provisioned_volume_goes_with_it(cluster: NodeCluster) -> None:
    data = cluster.state / "nodes/lab-worker/rootfs/var/data/pvc-1/file"
    data.parent.mkdir(parents=True)
    data.write_text("x")
    cluster.agent.remove_volume("lab-worker", "/var/data/pvc-1")
    assert not data.parent.exists() and data.parent.parent.exists()
    cluster.agent.remove_volume("lab-worker", "/var/data/pvc-1")  # already gone: nothing to do
    assert cluster.registry.list(PERSISTENT_VOLUMES) == []


async def test_a_nodes_taints_and_cordon_survive_a_restart(cluster: NodeCluster) -> None:
    cluster.registry.modify(NODES, "", "lab-worker", lambda n: n["spec"].update(unschedulable=True))
    before = clone(cluster.registry.get(NODES, "", "lab-worker"))
    again = NodeCluster(cluster.state, cluster.registry)
    await again.agent.start()
    after = cluster.registry.get(NODES, "", "lab-worker")
    assert after["spec"] == before["spec"] and uid_of(after) == uid_of(before)
    await again.agent.stop()
