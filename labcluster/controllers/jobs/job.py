"""The Job controller (pkg/controller/job/job_controller.go).

A finished pod is counted exactly once, even if the cluster is killed meanwhile: its uid is written to
status.uncountedTerminatedPods, then its finalizer is removed, then the counters grow and the uid goes. Pods are not
adopted: a job owns those that it has created.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.conditions import condition, is_condition_true
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, is_terminating, name_of, namespace_of, split_key, uid_of
from labcluster.api.owners import controller_of, is_controlled_by
from labcluster.api.resources import JOBS, PODS, Resource
from labcluster.api.times import age_seconds, now
from labcluster.controllers.controller import Controller
from labcluster.controllers.jobs.job_status import TRACKING, PodCounts, count, is_finished, set_job_condition
from labcluster.controllers.workload_pods import (
    BURST_REPLICAS,
    PodControl,
    bounded,
    pod_from_template,
    slow_start_batch,
)
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Change, Registry

FIRST_BACKOFF, LONGEST_BACKOFF = 10.0, 600.0  # seconds between a failed pod and the next one


class JobController(Controller):
    """Keys: the job's."""

    name: ClassVar[str] = "job-controller"

    def __init__(self, registry: Registry) -> None:
        """Prepare to run on the registry."""
        super().__init__(registry)
        self._events = EventRecorder(registry, self.name)
        self._pod_control = PodControl(registry, self._events)
        self._failures: dict[str, tuple[int, float]] = {}  # job uid -> failures in a row, the loop's time of the last

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Jobs and their pods."""
        return {JOBS: self.own_key, PODS: self._on_pod}

    @staticmethod
    def _on_pod(change: Change) -> list[str]:
        owner = controller_of(change.object)
        is_ours = owner is not None and owner["kind"] == JOBS.kind
        return [f"{namespace_of(change.object)}/{owner['name']}"] if owner and is_ours else []

    def reconcile(self, key: str) -> float | None:
        """Count the pods that have ended, create those that are missing, and write the status (syncJob)."""
        job = self.registry.find(JOBS, *split_key(key))
        self._release_orphans(key, job)
        if job is None or is_finished(job):
            if job is not None:
                self._failures.pop(uid_of(job), None)
            return None
        pods = self._pods(job)
        counts = count(job, pods)
        new = clone(job)
        status = new["status"]
        suspended = job["spec"]["suspend"] and not is_terminating(job)
        if not suspended and "startTime" not in status:
            status["startTime"] = now()
        self._update_backoff(job, counts)
        ending = self._ending(new, counts)
        wait: float | None = None
        if ending:
            kind, reason, message = ending
            set_job_condition(new, kind, "True", reason, message)
            self._pod_control.delete(job, counts.active)
        elif suspended:
            self._pod_control.delete(job, counts.active)
        elif not is_terminating(job):
            wait = self._manage(job, counts)
        counts = count(job, pods := self._pods(job))
        if not ending:
            self._set_suspended(new, suspended)
        self._store(new, pods, counts)
        return wait if ending else _earlier(wait, self._until_deadline(new))

    def _pods(self, job: JSON) -> list[JSON]:
        owned = [obj for resource, obj in self.registry.dependents(uid_of(job)) if resource == PODS]
        return sorted((pod for pod in owned if is_controlled_by(pod, job)), key=name_of)

    def _release_orphans(self, key: str, job: JSON | None) -> None:
        """Remove the finalizer from pods whose job is gone or has finished, which nobody will count (syncOrphanPod)."""
        namespace, name = split_key(key)
        keeper = uid_of(job) if job is not None and not is_finished(job) else None
        for pod in self.registry.list(PODS, namespace):
            owner = controller_of(pod)
            if owner and owner["kind"] == JOBS.kind and owner["name"] == name and owner["uid"] != keeper:
                self._release(pod)

    def _release(self, pod: JSON) -> None:
        if TRACKING not in (pod["metadata"].get("finalizers") or ()):
            return

        def change(new: JSON) -> None:
            new["metadata"]["finalizers"].remove(TRACKING)

        self.registry.modify(PODS, namespace_of(pod), name_of(pod), change)

    def _ending(self, job: JSON, counts: PodCounts) -> tuple[str, str, str] | None:
        """The condition that ends the job, its reason and message; None while it goes on."""
        for kind in ("FailureTarget", "SuccessCriteriaMet"):
            if is_condition_true(job, kind):
                known = condition(job, kind) or {}
                return kind, known.get("reason", ""), known.get("message", "")
        spec = job["spec"]
        if counts.failed > spec["backoffLimit"] or _restarts_exceed(spec, counts.active):
            return "FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        if self._until_deadline(job) == 0:
            return "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline"
        completions = spec.get("completions")
        if completions is None:
            complete = counts.succeeded > 0 and not counts.active
        else:
            complete = counts.succeeded >= completions
        if complete:
            return "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"
        return None

    def _until_deadline(self, job: JSON) -> float | None:
        limit, start = job["spec"].get("activeDeadlineSeconds"), job["status"].get("startTime")
        if limit is None or start is None or job["spec"]["suspend"]:
            return None
        return max(float(limit) - age_seconds(start), 0.0)

    def _manage(self, job: JSON, counts: PodCounts) -> float | None:
        """Bring the number of active pods to what is wanted; returns the seconds until pods may be made again."""
        spec = job["spec"]
        wanted: int = spec["parallelism"]
        if spec.get("completions") is None:
            wanted = len(counts.active) if counts.succeeded else wanted
        else:
            wanted = max(min(wanted, spec["completions"] - counts.succeeded), 0)
        surplus = len(counts.active) - bounded(wanted)
        if surplus > 0:
            self._pod_control.delete(job, sorted(counts.active, key=_readiness)[:surplus])
        # A pod that is being deleted counts as failed already, and its place is free.
        if surplus >= 0:
            return None
        if wait := self._backoff(job):
            return wait
        slow_start_batch(min(-surplus, BURST_REPLICAS), lambda _: self._create(job))
        return None

    def _create(self, job: JSON) -> None:
        pod = pod_from_template(job["spec"]["template"], job)
        pod["metadata"].setdefault("finalizers", []).append(TRACKING)
        self._pod_control.create(job, pod)

    def _update_backoff(self, job: JSON, counts: PodCounts) -> None:
        if counts.new_failed:
            failures = self._failures.get(uid_of(job), (0, 0.0))[0]
            self._failures[uid_of(job)] = (failures + len(counts.new_failed), asyncio.get_running_loop().time())
        elif counts.new_succeeded:
            self._failures.pop(uid_of(job), None)

    def _backoff(self, job: JSON) -> float:
        failures, last = self._failures.get(uid_of(job), (0, 0.0))
        if not failures:
            return 0.0
        delay = min(FIRST_BACKOFF * 2.0 ** min(failures - 1, 10), LONGEST_BACKOFF)
        return max(last + delay - asyncio.get_running_loop().time(), 0.0)

    def _set_suspended(self, job: JSON, suspended: bool) -> None:
        if suspended and not is_condition_true(job, "Suspended"):
            set_job_condition(job, "Suspended", "True", "JobSuspended", "Job suspended")
            job["status"].pop("startTime", None)
            self._events.event(job, "Normal", "Suspended", "Job suspended")
        elif not suspended and is_condition_true(job, "Suspended"):
            set_job_condition(job, "Suspended", "False", "JobResumed", "Job resumed")
            job["status"]["startTime"] = now()
            self._events.event(job, "Normal", "Resumed", "Job resumed")

    def _store(self, new: JSON, pods: list[JSON], counts: PodCounts) -> None:
        """Write the counts, first by uid, then as numbers (trackJobStatusAndRemoveFinalizers), and the job's end."""
        status = new["status"]
        status["active"], status["ready"] = len(counts.active), counts.ready
        status["terminating"] = counts.terminating
        if not status["active"]:
            del status["active"]
        succeeded, failed = counts.new_succeeded, counts.new_failed
        status["uncountedTerminatedPods"] = {
            **({"succeeded": succeeded} if succeeded else {}),
            **({"failed": failed} if failed else {}),
        }
        if succeeded or failed:
            new = clone(self.registry.update(JOBS, new, subresource="status"))
            for pod in pods:
                if uid_of(pod) in succeeded or uid_of(pod) in failed:
                    self._release(pod)
            status = new["status"]
        for key, number in (("succeeded", counts.succeeded), ("failed", counts.failed)):
            if number:
                status[key] = number
        status["uncountedTerminatedPods"] = {}
        if not counts.active and not counts.terminating:
            self._finish(new)
        self.registry.update(JOBS, new, subresource="status")

    def _finish(self, job: JSON) -> None:
        for target, end, event in (
            ("SuccessCriteriaMet", "Complete", "Normal"),
            ("FailureTarget", "Failed", "Warning"),
        ):
            known = condition(job, target)
            if known is None or known["status"] != "True":
                continue
            set_job_condition(job, end, "True", known["reason"], known["message"])
            if end == "Complete":
                job["status"]["completionTime"] = now()
                self._events.event(job, event, "Completed", "Job completed")
            else:
                self._events.event(job, event, known["reason"], known["message"])


def _readiness(pod: JSON) -> tuple[bool, bool]:
    """Pods without a node go first, then those that do not run yet."""
    return bool(pod["spec"].get("nodeName")), pod["status"].get("phase") == "Running"


def _restarts_exceed(spec: JSON, active: list[JSON]) -> bool:
    """Whether the containers of pods that restart in place have failed too often (pastBackoffLimitOnFailure)."""
    if spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts: int = sum(
        c.get("restartCount", 0)
        for pod in active
        for key in ("initContainerStatuses", "containerStatuses")
        for c in pod["status"].get(key) or ()
    )
    limit: int = spec["backoffLimit"]
    return restarts > 0 if limit == 0 else restarts >= limit


def _earlier(first: float | None, second: float | None) -> float | None:
    return min((wait for wait in (first, second) if wait is not None), default=None)
