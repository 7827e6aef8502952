"""Jobs: pods that run to their end, counted once."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.conditions import condition, is_condition_true
from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, name_of
from labcluster.api.resources import JOBS, PODS
from labcluster.controllers.garbage_collector import GarbageCollector
from labcluster.controllers.jobs import job as job_module
from labcluster.controllers.jobs.job import JobController
from labcluster.controllers.jobs.job_status import TRACKING
from labcluster.controllers.jobs.ttl_after_finished import TTLAfterFinishedController
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.control_plane import NAMESPACE, WORKER, ControlPlane


def make(plane: ControlPlane, *, policy: str = "Never", **spec: Any) -> JSON:
    template = {"spec": {"containers": [{"name": "c", "image": "valkey/valkey"}], "restartPolicy": policy}}
    made = {"metadata": {"name": "work", "namespace": NAMESPACE}, "spec": {"template": template, **spec}}
    job = plane.registry.create(JOBS, made)
    plane.settle()
    return job


def job(plane: ControlPlane) -> JSON:
    plane.settle()
    return plane.registry.get(JOBS, NAMESPACE, "work")


def active(plane: ControlPlane) -> list[JSON]:
    found = plane.registry.list(PODS, NAMESPACE)
    return [p for p in found if p["status"].get("phase") in ("Pending", "Running")]


def end(plane: ControlPlane, phase: str = "Succeeded", number: int = 1) -> None:
    for pod in active(plane)[:number]:
        plane.registry.modify(
            PODS, NAMESPACE, name_of(pod), lambda new: new["status"].update(phase=phase), subresource="status"
        )
    plane.settle()


async def test_a_job_runs_its_pods_and_completes() -> None:
    plane = ControlPlane(JobController)
    make(plane, completions=3, parallelism=2)
    assert job(plane)["status"]["active"] == len(active(plane)) == 2
    end(plane, number=2)
    assert len(active(plane)) == 1
    assert job(plane)["status"]["succeeded"] == 2
    end(plane)
    status = job(plane)["status"]
    assert (status["succeeded"], status.get("active"), status["uncountedTerminatedPods"]) == (3, None, {})
    assert [c["type"] for c in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert status["completionTime"]
    assert plane.events("work", "Completed") == ["Job completed"]
    assert all(TRACKING not in p["metadata"].get("finalizers", []) for p in plane.registry.list(PODS, NAMESPACE))
    row = plane.registry.kind(JOBS).cells(job(plane))
    assert row[:3] == ["work", "Complete", "3/3"]


async def test_a_failed_pod_is_replaced_after_a_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = ControlPlane(JobController)
    make(plane)
    end(plane, "Failed")
    assert job(plane)["status"]["failed"] == 1
    assert active(plane) == []
    assert 9 < plane.later[f"{NAMESPACE}/work"] <= 10
    monkeypatch.setattr(job_module, "FIRST_BACKOFF", 0.0)
    plane.controllers[0].reconcile(f"{NAMESPACE}/work")
    assert len(active(plane)) == 1


async def test_too_many_failures_fail_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "FIRST_BACKOFF", 0.0)
    plane = ControlPlane(JobController)
    make(plane, backoffLimit=1)
    end(plane, "Failed")
    end(plane, "Failed")
    failed = condition(job(plane), "Failed")
    assert failed is not None
    assert (failed["reason"], failed["message"]) == (
        "BackoffLimitExceeded",
        "Job has reached the specified backoff limit",
    )
    assert job(plane)["status"]["failed"] == 2
    assert active(plane) == []


async def test_containers_that_restart_in_place_count_too() -> None:
    plane = ControlPlane(JobController)
    make(plane, policy="OnFailure", backoffLimit=2)
    statuses = [{"name": "c", "image": "", "imageID": "", "ready": False, "restartCount": 2}]
    name = name_of(active(plane)[0])
    plane.run(name, "10.244.1.2")
    plane.registry.modify(
        PODS, NAMESPACE, name, lambda new: new["status"].update(containerStatuses=statuses), subresource="status"
    )
    plane.settle()
    assert is_condition_true(job(plane), "FailureTarget")
    assert not is_condition_true(job(plane), "Failed"), "the pod still runs"
    plane.registry.modify(PODS, NAMESPACE, name, lambda new: new["status"].update(phase="Failed"), subresource="status")
    assert is_condition_true(job(plane), "Failed")


async def test_a_deadline_ends_the_job() -> None:
    plane = ControlPlane(JobController)
    make(plane, activeDeadlineSeconds=100)
    assert 99 <= plane.later[f"{NAMESPACE}/work"] <= 100
    plane.registry.modify(
        JOBS,
        NAMESPACE,
        "work",
        lambda new: new["status"].update(startTime="2026-01-01T00:00:00Z"),
        subresource="status",
    )
    failed = condition(job(plane), "Failed")
    assert failed is not None and failed["reason"] == "DeadlineExceeded"


async def test_a_deleted_pod_counts_as_failed_and_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "FIRST_BACKOFF", 0.0)
    plane = ControlPlane(JobController)
    make(plane)
    first = name_of(active(plane)[0])
    plane.run(first, "10.244.1.2", node=WORKER)
    plane.registry.delete(PODS, NAMESPACE, first)
    status = job(plane)["status"]
    assert (status["failed"], status["active"], status["terminating"]) == (1, 1, 1)
    plane.registry.delete(PODS, NAMESPACE, first, DeleteOptions(grace_seconds=0))
    assert job(plane)["status"]["failed"] == 1
    assert plane.registry.find(PODS, NAMESPACE, first) is None


async def test_a_pod_that_was_noted_before_a_crash_is_counted_once() -> None:
    plane = ControlPlane(JobController)
    make(plane, completions=2)
    pod = active(plane)[0]
    noted = {"succeeded": [pod["metadata"]["uid"]]}
    plane.registry.modify(
        PODS, NAMESPACE, name_of(pod), lambda new: new["status"].update(phase="Succeeded"), subresource="status"
    )
    plane.registry.modify(
        JOBS, NAMESPACE, "work", lambda new: new["status"].update(uncountedTerminatedPods=noted), subresource="status"
    )
    assert job(plane)["status"]["succeeded"] == 1
    assert job(plane)["status"]["succeeded"] == 1


async def test_without_completions_the_first_success_stops_new_pods() -> None:
    plane = ControlPlane(JobController)
    make(plane, parallelism=2)
    assert len(active(plane)) == 2
    end(plane)
    assert len(active(plane)) == 1
    assert not is_condition_true(job(plane), "Complete")
    end(plane)
    assert is_condition_true(job(plane), "Complete")


async def test_a_suspended_job_has_no_pods_until_it_is_resumed() -> None:
    plane = ControlPlane(JobController)
    make(plane, suspend=True)
    assert active(plane) == []
    assert is_condition_true(job(plane), "Suspended")
    plane.registry.modify(JOBS, NAMESPACE, "work", lambda new: new["spec"].update(suspend=False))
    plane.settle()
    assert len(active(plane)) == 1
    assert not is_condition_true(job(plane), "Suspended")


async def test_a_finished_job_is_deleted_after_its_time_with_its_pods() -> None:
    plane = ControlPlane(JobController, TTLAfterFinishedController, GarbageCollector)
    make(plane, ttlSecondsAfterFinished=0)
    end(plane)
    plane.settle()
    assert plane.names(JOBS) == []
    assert all(p["metadata"].get("deletionTimestamp") for p in plane.registry.list(PODS, NAMESPACE))


async def test_deleting_a_job_leaves_its_pods_unless_told_otherwise() -> None:
    plane = ControlPlane(JobController, GarbageCollector)
    make(plane)
    plane.registry.delete(JOBS, NAMESPACE, "work")
    plane.settle()
    (left,) = plane.registry.list(PODS, NAMESPACE)
    assert not left["metadata"].get("deletionTimestamp")
    make(plane)
    plane.registry.delete(JOBS, NAMESPACE, "work", DeleteOptions(propagation="Background"))
    plane.settle()
    assert plane.names(PODS) == [name_of(left)]


def test_what_is_stored_has_a_selector_of_its_own_and_the_defaults() -> None:
    made = make(ControlPlane())
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/job-name"] == labels["job-name"] == "work"
    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert {k: made["spec"][k] for k in ("completions", "parallelism", "backoffLimit", "suspend")} == {
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": 6,
        "suspend": False,
    }


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"policy": "Always"}, 'restartPolicy: Required value: valid values: "OnFailure", "Never"'),
        ({"completionMode": "Indexed"}, 'spec.completionMode: Unsupported value: "Indexed"'),
        ({"backoffLimit": -1}, "spec.backoffLimit: Invalid value: -1"),
        ({"successPolicy": {"rules": []}}, "the embedded cluster does not serve it"),
    ],
)
def test_refused_jobs(spec: JSON, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        make(ControlPlane(), **spec)
    assert refused.value.code == 422 and message in refused.value.message


def test_what_a_job_does_cannot_be_changed() -> None:
    plane = ControlPlane()
    make(plane)
    with pytest.raises(ApiError, match="field is immutable"):
        plane.registry.modify(JOBS, NAMESPACE, "work", lambda new: new["spec"].update(completions=5))
    plane.registry.modify(JOBS, NAMESPACE, "work", lambda new: new["spec"].update(parallelism=5))
