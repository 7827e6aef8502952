"""The counts of a job's pods, and its conditions (getNewFinishedPods, isPodFailed, IsJobFinished)."""

from __future__ import annotations

from dataclasses import dataclass

from labcluster.api.conditions import condition, is_condition_true, is_pod_finished, is_pod_ready
from labcluster.api.objects import JSON, is_terminating, uid_of
from labcluster.api.times import now

TRACKING = "batch.kubernetes.io/job-tracking"  # the finalizer of a pod that has not been counted yet


@dataclass(frozen=True)
class PodCounts:
    """The pods of a job: those that are active, and how many have ended."""

    active: list[JSON]
    ready: int
    terminating: int  # being deleted and not ended yet
    succeeded: int
    failed: int
    new_succeeded: list[str]  # uids that are in the two numbers above and not yet in those of the status
    new_failed: list[str]


def count(job: JSON, pods: list[JSON]) -> PodCounts:
    """Count the pods, on top of what the status has counted already."""
    status = job.get("status") or {}
    uncounted = status.get("uncountedTerminatedPods") or {}
    succeeded, failed = list(uncounted.get("succeeded") or ()), list(uncounted.get("failed") or ())
    active = []
    for pod in pods:
        tracked = TRACKING in (pod["metadata"].get("finalizers") or ())
        if pod["status"].get("phase") == "Succeeded":
            target = succeeded
        elif is_failed_pod(pod):
            target = failed
        else:
            active.append(pod)
            continue
        if tracked and uid_of(pod) not in target:
            target.append(uid_of(pod))
    return PodCounts(
        active=active,
        ready=sum(1 for pod in active if is_pod_ready(pod)),
        terminating=sum(1 for pod in pods if is_terminating(pod) and not is_pod_finished(pod)),
        succeeded=(status.get("succeeded") or 0) + len(succeeded),
        failed=(status.get("failed") or 0) + len(failed),
        new_succeeded=succeeded,
        new_failed=failed,
    )


def is_failed_pod(pod: JSON) -> bool:
    """Whether the pod has failed; one that is being deleted before it succeeded has."""
    phase = pod["status"].get("phase")
    return phase == "Failed" or (is_terminating(pod) and phase != "Succeeded")


def is_finished(job: JSON) -> bool:
    """Whether the job has ended, one way or the other."""
    return is_condition_true(job, "Complete") or is_condition_true(job, "Failed")


def set_job_condition(job: JSON, kind: str, status: str, reason: str, message: str) -> None:
    """Set a condition in place, with the times that jobs keep."""
    entry = condition(job, kind)
    if entry is not None and (entry["status"], entry.get("reason")) == (status, reason):
        return
    if entry is None:
        entry = {"type": kind}
        job["status"].setdefault("conditions", []).append(entry)
    entry.update(status=status, reason=reason, message=message, lastProbeTime=now(), lastTransitionTime=now())
