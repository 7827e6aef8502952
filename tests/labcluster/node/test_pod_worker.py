"""The life of a pod on its node, on a runtime without processes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from labcluster.api.conditions import condition
from labcluster.api.objects import JSON, uid_of
from labcluster.api.resources import CONFIG_MAPS, PODS
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.node_cluster import NodeCluster, container, pod_object


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[NodeCluster]:
    cluster = NodeCluster(tmp_path)
    await cluster.agent.start()
    yield cluster
    cluster.runtime.stubborn.clear()
    await cluster.agent.stop()


def steps(cluster: NodeCluster) -> list[tuple[str, str, str]]:
    """(phase, what the container does, Ready) of each status the pod had, repeats left out."""
    found: list[tuple[str, str, str]] = []
    for status in cluster.statuses():
        entries = status.get("containerStatuses") or [{}]
        state: JSON = entries[0].get("state") or {}
        kind = next(iter(state), "")
        what = (state.get(kind) or {}).get("reason") or kind
        ready = next((c["status"] for c in status.get("conditions") or () if c["type"] == "Ready"), "")
        step = (status["phase"], what, ready)
        if not found or found[-1] != step:
            found.append(step)
    return found


async def test_a_pod_without_probes_becomes_ready_with_two_writes(cluster: NodeCluster) -> None:
    await cluster.running(pod_object())
    assert steps(cluster) == [
        ("Pending", "", ""),
        ("Pending", "ContainerCreating", "False"),
        ("Running", "running", "True"),
    ]
    assert len(cluster.statuses()) == 3
    status = cluster.pod()["status"]
    assert status["podIP"] == "10.244.1.2" and status["hostIP"] == "172.18.0.3"
    kinds = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    assert [c["type"] for c in status["conditions"]] == kinds
    assert {c["observedGeneration"] for c in status["conditions"]} == {1}


async def test_the_events_of_a_start_are_upstreams(cluster: NodeCluster) -> None:
    await cluster.running(pod_object())
    assert cluster.events() == [
        'Pulled: Container image "app:1" already present on machine and can be accessed by the pod',
        "Created: Container created",
        "Started: Container started",
    ]


async def test_containers_without_readiness_probe_of_a_pod_with_two_are_published_together(
    cluster: NodeCluster,
) -> None:
    await cluster.running(pod_object(containers=[container("a"), container("b")]))
    assert [s["phase"] for s in cluster.statuses()] == ["Pending", "Pending", "Running"]


async def test_a_readiness_probe_decides_ready(cluster: NodeCluster) -> None:
    cluster.runtime.exec_result = (1, b"not yet")
    probe = {"exec": {"command": ["check"]}, "periodSeconds": 1, "initialDelaySeconds": 0}
    cluster.create(pod_object(containers=[container(readinessProbe=probe)]))
    await cluster.until(lambda: cluster.phase() == "Running")
    assert not cluster.ready() and cluster.entry()["started"] is True
    cluster.runtime.exec_result = (0, b"")
    await cluster.until(cluster.ready)
    assert condition(cluster.pod(), "ContainersReady")["status"] == "True"  # type: ignore[index]
    assert cluster.events("Unhealthy") == []  # what failed in the first moments does not count


async def test_init_containers_run_one_after_the_other_before_the_others(cluster: NodeCluster) -> None:
    cluster.create(pod_object(initContainers=[container("first"), container("second")]))
    await cluster.until(lambda: cluster.runtime.named("first"))
    assert cluster.waiting() == "PodInitializing"
    assert not cluster.runtime.named("second")
    cluster.runtime.named("first")[0].end(0)
    await cluster.until(lambda: cluster.runtime.named("second"))
    initialized = condition(cluster.pod(), "Initialized")
    assert initialized is not None and initialized["status"] == "False"
    cluster.runtime.named("second")[0].end(0)
    await cluster.until(cluster.ready)
    assert [c.spec.name for c in cluster.runtime.containers] == ["first", "second", "c"]
    assert [s["ready"] for s in cluster.pod()["status"]["initContainerStatuses"]] == [True, True]


async def test_a_sidecar_starts_first_and_ends_last(cluster: NodeCluster) -> None:
    await cluster.running(pod_object(initContainers=[container("side", restartPolicy="Always")]))
    assert [c.spec.name for c in cluster.runtime.containers] == ["side", "c"]
    ended: list[str] = []
    for each in cluster.runtime.containers:
        asyncio.ensure_future(each.wait()).add_done_callback(lambda _, n=each.spec.name: ended.append(n))  # type: ignore[misc]
    cluster.registry.delete(PODS, "default", "web")
    await cluster.until(lambda: cluster.find() is None)
    assert ended == ["c", "side"]


async def test_a_crash_restarts_at_once_and_the_next_one_backs_off(cluster: NodeCluster) -> None:
    pod = await cluster.running(pod_object())
    cluster.runtime.containers[-1].end(1)
    await cluster.until(lambda: len(cluster.runtime.containers) == 2 and cluster.ready())
    entry = cluster.entry()
    assert entry["restartCount"] == 1
    assert entry["lastState"]["terminated"]["reason"] == "Error"
    assert entry["lastState"]["terminated"]["exitCode"] == 1
    cluster.runtime.containers[-1].end(3)
    await cluster.until(lambda: cluster.waiting() == "CrashLoopBackOff")
    where = f"web_default({uid_of(pod)})"
    message = cluster.entry()["state"]["waiting"]["message"]
    assert message == f"back-off 10s restarting failed container=c pod={where}"
    assert cluster.events("BackOff") == [f"Back-off restarting failed container c in pod {where}"]
    assert cluster.phase() == "Running" and not cluster.ready()
    assert ("Running", "Error", "False") in steps(cluster)  # shown before the back-off is


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (2, "Failed")])
async def test_restart_policy_never_ends_in_a_phase(cluster: NodeCluster, code: int, phase: str) -> None:
    await cluster.running(pod_object(restartPolicy="Never"))
    cluster.runtime.containers[0].end(code)
    await cluster.until(lambda: cluster.phase() == phase)
    assert len(cluster.runtime.containers) == 1
    ready = condition(cluster.pod(), "Ready")
    assert ready is not None and ready["reason"] == {"Succeeded": "PodCompleted", "Failed": "PodFailed"}[phase]
    assert cluster.runtime.sandboxes[0].stopped


async def test_a_quick_command_with_stdin_is_never_said_to_run(cluster: NodeCluster) -> None:
    cluster.create(pod_object(containers=[container(stdin=True)], restartPolicy="Never"))
    await cluster.until(lambda: cluster.events("Started"))
    cluster.runtime.containers[0].end(0)
    await cluster.until(lambda: cluster.phase() == "Succeeded")
    assert [step[:2] for step in steps(cluster)[-2:]] == [
        ("Pending", "ContainerCreating"),
        ("Succeeded", "Completed"),
    ]


async def test_on_failure_restarts_failures_only(cluster: NodeCluster) -> None:
    await cluster.running(pod_object(restartPolicy="OnFailure"))
    cluster.runtime.containers[0].end(1)
    await cluster.until(lambda: len(cluster.runtime.containers) == 2 and cluster.ready())
    cluster.runtime.containers[1].end(0)
    await cluster.until(lambda: cluster.phase() == "Succeeded")


async def test_a_missing_image_is_err_image_pull_and_then_backs_off(cluster: NodeCluster) -> None:
    cluster.create(pod_object(containers=[container(image="missing:1")]))
    await cluster.until(lambda: cluster.waiting() == "ErrImagePull")
    await cluster.until(lambda: cluster.waiting() == "ImagePullBackOff")
    problem = 'failed to resolve reference "docker.io/library/missing:1": not found'
    assert cluster.events() == [
        'Pulling: Pulling image "missing:1"',
        f'Failed: Failed to pull image "missing:1": {problem}',
        "Failed: Error: ErrImagePull",
        'BackOff: Back-off pulling image "missing:1"',
        "Failed: Error: ImagePullBackOff",
    ]
    message = cluster.entry()["state"]["waiting"]["message"]
    assert message == f'Back-off pulling image "missing:1": ErrImagePull: {problem}'
    assert cluster.phase() == "Pending"


async def test_deletion_stops_the_containers_and_removes_the_pod(cluster: NodeCluster) -> None:
    pod = await cluster.running(pod_object())
    cluster.registry.delete(PODS, "default", "web")
    await cluster.until(lambda: cluster.find() is None)
    assert cluster.runtime.containers[0].signals == [signal.SIGTERM]
    assert steps(cluster)[-2:] == [("Running", "running", "True"), ("Succeeded", "Completed", "False")]
    last = cluster.statuses()[-1]
    reasons = {c["type"]: (c["status"], c.get("reason")) for c in last["conditions"]}
    assert reasons["Ready"] == ("False", "PodCompleted")
    assert reasons["Initialized"] == ("True", "PodCompleted")
    assert reasons["PodReadyToStartContainers"] == ("False", None)
    assert cluster.events("Killing") == ["Stopping container c"]
    assert cluster.runtime.sandboxes[0].stopped
    assert not (cluster.state / "nodes/lab-worker/pods" / uid_of(pod)).exists()


async def test_a_stubborn_container_is_killed_after_its_grace_and_the_pod_failed(cluster: NodeCluster) -> None:
    cluster.runtime.stubborn = {"c"}
    await cluster.running(pod_object(terminationGracePeriodSeconds=1))
    cluster.registry.delete(PODS, "default", "web")
    await cluster.until(lambda: cluster.find() is None)
    assert cluster.runtime.containers[0].signals == [signal.SIGTERM, signal.SIGKILL]
    assert cluster.statuses()[-1]["phase"] == "Failed"
    assert cluster.statuses()[-1]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


async def test_a_second_delete_shortens_the_grace(cluster: NodeCluster) -> None:
    cluster.runtime.stubborn = {"c"}
    await cluster.running(pod_object(terminationGracePeriodSeconds=600))
    cluster.registry.delete(PODS, "default", "web")
    await cluster.until(lambda: cluster.events("Killing"))
    cluster.registry.delete(PODS, "default", "web", DeleteOptions(grace_seconds=1))
    await cluster.until(lambda: cluster.find() is None)
    assert cluster.runtime.containers[0].signals == [signal.SIGTERM, signal.SIGKILL]


async def test_force_deletion_kills_at_once(cluster: NodeCluster) -> None:
    cluster.runtime.stubborn = {"c"}
    await cluster.running(pod_object())
    cluster.registry.delete(PODS, "default", "web", DeleteOptions(grace_seconds=0))
    assert cluster.find() is None
    await cluster.runtime.containers[0].wait()
    assert cluster.runtime.containers[0].signals == [signal.SIGKILL]


async def test_pre_stop_runs_before_term(cluster: NodeCluster) -> None:
    seen: list[list[int]] = []

    async def hook(target: object, argv: list[str]) -> tuple[int, bytes]:
        seen.append(list(cluster.runtime.containers[0].signals))
        return 0, b""

    cluster.runtime.exec_hook = hook
    await cluster.running(pod_object(containers=[container(lifecycle={"preStop": {"exec": {"command": ["bye"]}}})]))
    cluster.registry.delete(PODS, "default", "web")
    await cluster.until(lambda: cluster.find() is None)
    assert seen == [[]]
    assert cluster.runtime.containers[0].signals == [signal.SIGTERM]


async def test_a_failing_post_start_hook_restarts_the_container(cluster: NodeCluster) -> None:
    cluster.runtime.exec_result = (1, b"no")
    cluster.create(pod_object(containers=[container(lifecycle={"postStart": {"exec": {"command": ["hello"]}}})]))
    await cluster.until(lambda: cluster.events("FailedPostStartHook"))
    await cluster.until(lambda: cluster.waiting() == "CrashLoopBackOff")
    assert len(cluster.runtime.containers) >= 2


async def test_a_failed_liveness_probe_restarts_the_container(cluster: NodeCluster) -> None:
    async def fail_first(target: object, argv: list[str]) -> tuple[int, bytes]:
        return (1, b"dead") if target is cluster.runtime.containers[0] else (0, b"")

    cluster.runtime.exec_hook = fail_first
    probe = {"exec": {"command": ["alive"]}, "failureThreshold": 1, "periodSeconds": 1}
    await cluster.running(pod_object(containers=[container(livenessProbe=probe)]))
    await cluster.until(lambda: cluster.entry()["restartCount"] == 1 and cluster.ready())
    assert cluster.events("Unhealthy") == ["Liveness probe failed: dead"]
    assert cluster.events("Killing") == ["Container c failed liveness probe, will be restarted"]


async def test_a_wrong_reference_waits_until_the_object_appears(cluster: NodeCluster) -> None:
    cluster.create(pod_object(containers=[container(envFrom=[{"configMapRef": {"name": "settings"}}])]))
    await cluster.until(lambda: cluster.waiting() == "CreateContainerConfigError")
    assert cluster.entry()["state"]["waiting"]["message"] == 'configmap "settings" not found'
    assert cluster.events("Failed") == ['Error: configmap "settings" not found']
    settings = {"metadata": {"name": "settings", "namespace": "default"}, "data": {"A": "1"}}
    cluster.registry.create(CONFIG_MAPS, settings)
    await cluster.until(cluster.ready)
    assert cluster.runtime.containers[0].spec.env["A"] == "1"


async def test_a_program_that_cannot_be_started_is_a_start_error(cluster: NodeCluster) -> None:
    cluster.runtime.start_error = 'exec: "nosuch": executable file not found in $PATH'
    cluster.create(pod_object(restartPolicy="Never"))
    await cluster.until(lambda: cluster.phase() == "Failed")
    ended = cluster.entry()["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    assert "executable file not found" in ended["message"]


async def test_what_cannot_be_honoured_is_refused_in_words(cluster: NodeCluster) -> None:
    cluster.create(pod_object(hostPID=True))
    await cluster.until(lambda: cluster.waiting() == "CreateContainerConfigError")
    assert cluster.events("Failed") == ["Error: the embedded cluster does not serve hostPID"]
    assert not cluster.runtime.containers


async def test_an_active_deadline_ends_the_pod(cluster: NodeCluster) -> None:
    await cluster.running(pod_object(activeDeadlineSeconds=1))
    await cluster.until(lambda: cluster.phase() == "Failed")
    assert cluster.pod()["status"]["reason"] == "DeadlineExceeded"


async def test_a_new_image_replaces_the_container_in_place(cluster: NodeCluster) -> None:
    await cluster.running(pod_object())
    cluster.registry.modify(PODS, "default", "web", lambda p: p["spec"]["containers"][0].update(image="app:2"))
    await cluster.until(lambda: cluster.entry()["image"].endswith("app:2") and cluster.ready())
    assert cluster.events("Killing") == ["Container c definition changed, will be restarted"]
    assert cluster.entry()["restartCount"] == 1
