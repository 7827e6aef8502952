"""A Deployment's status and conditions (deployment/sync.go, progress.go and util/deployment_util.go)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, name_of
from labcluster.api.times import now, parse_time
from labcluster.controllers.deployment.sizes import max_unavailable, replica_count, replicas_of, status_count

PROGRESSING, AVAILABLE, REPLICA_FAILURE = "Progressing", "Available", "ReplicaFailure"
NO_DEADLINE = 2**31 - 1  # math.MaxInt32 means "no progress deadline" as well as "no history limit"
_OMITTED_WHEN_ZERO = (
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
)


def get_condition(status: JSON, kind: str) -> JSON | None:
    """The condition of that type, or None."""
    return next((c for c in status.get("conditions") or () if c["type"] == kind), None)


def set_condition(status: JSON, kind: str, value: str, reason: str, message: str, *, renew: bool = False) -> None:
    """Set a condition in place. The same status and reason change nothing, unless `renew` moves lastUpdateTime."""
    old = get_condition(status, kind)
    if old is not None and not renew and (old["status"], old["reason"]) == (value, reason):
        return
    time = now()
    entry = {
        "type": kind,
        "status": value,
        "lastUpdateTime": time,
        "lastTransitionTime": old["lastTransitionTime"] if old is not None and old["status"] == value else time,
        "reason": reason,
        "message": message,
    }
    remove_condition(status, kind)
    status.setdefault("conditions", []).append(entry)


def remove_condition(status: JSON, kind: str) -> None:
    """Remove a condition in place."""
    kept = [c for c in status.get("conditions") or () if c["type"] != kind]
    if kept:
        status["conditions"] = kept
    else:
        status.pop("conditions", None)


def progress_deadline(deployment: JSON) -> int | None:
    """spec.progressDeadlineSeconds, or None when progress is not watched."""
    seconds = deployment["spec"].get("progressDeadlineSeconds", 600)
    return None if seconds is None or seconds == NO_DEADLINE else int(seconds)


def calculate(deployment: JSON, replica_sets: Sequence[JSON], newest: JSON | None) -> JSON:
    """The status that follows from the statuses of all ReplicaSets (calculateStatus)."""
    old: JSON = deployment.get("status") or {}
    available = status_count(replica_sets, "availableReplicas")
    status: JSON = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": status_count(replica_sets, "replicas"),
        "updatedReplicas": status_count([newest], "replicas") if newest else 0,
        "readyReplicas": status_count(replica_sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(replica_count(replica_sets) - available, 0),
    }
    status = {k: v for k, v in status.items() if v or k not in _OMITTED_WHEN_ZERO}
    if all("terminatingReplicas" in rs.get("status", {}) for rs in replica_sets):
        status["terminatingReplicas"] = status_count(replica_sets, "terminatingReplicas")
    if old.get("collisionCount") is not None:
        status["collisionCount"] = old["collisionCount"]
    if old.get("conditions"):
        status["conditions"] = clone(old["conditions"])
    if available >= replicas_of(deployment) - max_unavailable(deployment):
        text = "Deployment has minimum availability."
        set_condition(status, AVAILABLE, "True", "MinimumReplicasAvailable", text)
    else:
        text = "Deployment does not have minimum availability."
        set_condition(status, AVAILABLE, "False", "MinimumReplicasUnavailable", text)
    return status


def is_complete(deployment: JSON, status: JSON) -> bool:
    """Whether all pods are updated and available, and no others are left."""
    total = replicas_of(deployment)
    counters = ("updatedReplicas", "replicas", "availableReplicas")
    observed = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return observed and all(status.get(c, 0) == total for c in counters)


def is_progressing(old: JSON, new: JSON) -> bool:
    """Whether there are more updated, fewer outdated, more ready or more available pods than before."""

    def outdated(status: JSON) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    growing = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return outdated(new) < outdated(old) or any(new.get(c, 0) > old.get(c, 0) for c in growing)


def has_timed_out(deployment: JSON, status: JSON) -> bool:
    """Whether the last progress is longer ago than the deadline."""
    deadline, progress = progress_deadline(deployment), get_condition(status, PROGRESSING)
    if deadline is None or progress is None or progress["reason"] == "NewReplicaSetAvailable":
        return False
    return progress["reason"] == "ProgressDeadlineExceeded" or _deadline_in(progress, deadline) < 0


def calculate_rollout(deployment: JSON, replica_sets: Sequence[JSON], newest: JSON | None) -> JSON:
    """The status in the course of a rollout, its progress and failures included (syncRolloutStatus)."""
    status = calculate(deployment, replica_sets, newest)
    old: JSON = deployment.get("status") or {}
    progress = get_condition(old, PROGRESSING)
    if progress_deadline(deployment) is None:
        remove_condition(status, PROGRESSING)
    else:
        finished = progress is not None and progress["reason"] == "NewReplicaSetAvailable"
        if not (finished and status.get("replicas", 0) == status.get("updatedReplicas", 0)):
            _estimate_progress(deployment, old, status, newest)
    failures = [c for rs in (newest, *replica_sets) if rs for c in rs.get("status", {}).get("conditions") or ()]
    failure = next((c for c in failures if c["type"] == REPLICA_FAILURE), None)
    if failure is None:
        remove_condition(status, REPLICA_FAILURE)
    else:
        set_condition(status, REPLICA_FAILURE, failure["status"], failure["reason"], failure["message"])
    return status


def _estimate_progress(deployment: JSON, old: JSON, status: JSON, newest: JSON | None) -> None:
    who = f'ReplicaSet "{name_of(newest)}"' if newest else f'Deployment "{name_of(deployment)}"'
    if is_complete(deployment, status):
        set_condition(status, PROGRESSING, "True", "NewReplicaSetAvailable", f"{who} has successfully progressed.")
    elif is_progressing(old, status):
        set_condition(status, PROGRESSING, "True", "ReplicaSetUpdated", f"{who} is progressing.", renew=True)
    elif has_timed_out(deployment, status):
        set_condition(status, PROGRESSING, "False", "ProgressDeadlineExceeded", f"{who} has timed out progressing.")


def seconds_to_progress_check(deployment: JSON, status: JSON) -> float | None:
    """When to look whether the deadline has passed (requeueStuckDeployment); None when there is no need."""
    deadline = progress_deadline(deployment)
    progress = get_condition(deployment.get("status") or {}, PROGRESSING)
    if deadline is None or progress is None or progress["reason"] == "ProgressDeadlineExceeded":
        return None
    if is_complete(deployment, status):
        return None
    return max(_deadline_in(progress, deadline), 0.0) + 1.0  # a second later, as times have whole seconds


def _deadline_in(progress: JSON, deadline: int) -> float:
    return (parse_time(progress["lastUpdateTime"]) - dt.datetime.now(dt.UTC)).total_seconds() + deadline
