"""The sizes of a Deployment's ReplicaSets: surge, unavailability, proportions (deployment/util/deployment_util.go)."""

from __future__ import annotations

import math
from collections.abc import Iterable

from labcluster.api.objects import JSON, annotations_of
from labcluster.controllers.workload_pods import scaled_value

DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"


def replicas_of(obj: JSON) -> int:
    """spec.replicas of a Deployment or ReplicaSet."""
    return int(obj["spec"].get("replicas", 1))


def is_rolling(deployment: JSON) -> bool:
    """Whether the strategy is RollingUpdate."""
    return bool((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def _fenceposts(deployment: JSON) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods; where both would be 0, one may be unavailable (ResolveFenceposts)."""
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    total = replicas_of(deployment)
    surge = scaled_value(rolling.get("maxSurge", "25%"), total, round_up=True)
    unavailable = scaled_value(rolling.get("maxUnavailable", "25%"), total, round_up=False)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def max_surge(deployment: JSON) -> int:
    """The pods that may exist beyond spec.replicas."""
    return _fenceposts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: JSON) -> int:
    """The pods that may be missing from spec.replicas."""
    if not is_rolling(deployment) or replicas_of(deployment) == 0:
        return 0
    return min(_fenceposts(deployment)[1], replicas_of(deployment))


def replica_count(replica_sets: Iterable[JSON]) -> int:
    """The sum of spec.replicas (GetReplicaCountForReplicaSets)."""
    return sum(map(replicas_of, replica_sets))


def status_count(replica_sets: Iterable[JSON], counter: str) -> int:
    """The sum of a counter of the statuses."""
    return sum(int(rs.get("status", {}).get(counter) or 0) for rs in replica_sets)


def active(replica_sets: Iterable[JSON]) -> list[JSON]:
    """The ReplicaSets that are meant to have pods."""
    return [rs for rs in replica_sets if replicas_of(rs) > 0]


def new_replica_set_size(deployment: JSON, all_sets: Iterable[JSON], size: int) -> int:
    """What the new ReplicaSet, now of that size, may grow to among `all_sets` (NewRSNewReplicas)."""
    if not is_rolling(deployment):
        return replicas_of(deployment)
    room = replicas_of(deployment) + max_surge(deployment) - replica_count(all_sets)
    return size + min(room, replicas_of(deployment) - size) if room > 0 else size


def desired_annotation(replica_set: JSON) -> int | None:
    """The spec.replicas of the Deployment when it last sized this ReplicaSet."""
    return _number(replica_set, DESIRED_REPLICAS)


def size_annotations(deployment: JSON) -> dict[str, str]:
    """The Deployment's size as it is noted on a ReplicaSet, for proportional scaling."""
    total = replicas_of(deployment)
    return {DESIRED_REPLICAS: str(total), MAX_REPLICAS: str(total + max_surge(deployment))}


def is_saturated(deployment: JSON, replica_set: JSON | None) -> bool:
    """Whether the ReplicaSet has all the Deployment's pods, and they are available."""
    total = replicas_of(deployment)
    return (
        replica_set is not None
        and replicas_of(replica_set) == total
        and desired_annotation(replica_set) == total
        and status_count([replica_set], "availableReplicas") == total
    )


def proportional_sizes(deployment: JSON, replica_sets: list[JSON]) -> dict[str, int]:
    """New sizes of active ReplicaSets, by name, when a Deployment is scaled in the middle of a rollout.

    The difference is shared in proportion to the sizes; the largest one takes what rounding leaves over.
    """
    total = replicas_of(deployment)
    allowed = total + max_surge(deployment) if total > 0 else 0
    to_add = allowed - replica_count(replica_sets)
    # Of two of a size, scaling up prefers the newer and scaling down the older.
    by_age = sorted(replica_sets, key=lambda rs: rs["metadata"].get("creationTimestamp", ""), reverse=to_add > 0)
    ordered = sorted(by_age, key=replicas_of, reverse=True)
    sizes = {rs["metadata"]["name"]: replicas_of(rs) for rs in ordered}
    if to_add == 0:
        return sizes
    added = 0
    for rs in ordered:
        share = _share(deployment, rs, to_add, added)
        sizes[rs["metadata"]["name"]] += share
        added += share
    if ordered:
        largest = ordered[0]["metadata"]["name"]
        sizes[largest] = max(sizes[largest] + to_add - added, 0)
    return sizes


def _share(deployment: JSON, replica_set: JSON, to_add: int, added: int) -> int:
    if replicas_of(replica_set) == 0 or to_add == added:
        return 0
    limit = min if to_add > 0 else max
    return limit(_fraction(deployment, replica_set), to_add - added)


def _fraction(deployment: JSON, replica_set: JSON) -> int:
    size, total = replicas_of(replica_set), replicas_of(deployment)
    if total == 0:
        return -size
    before = _number(replica_set, MAX_REPLICAS) or status_count([deployment], "replicas")
    if not before:
        return 0
    return math.floor(size * (total + max_surge(deployment)) / before + 0.5) - size


def _number(replica_set: JSON, annotation: str) -> int | None:
    try:
        return int(annotations_of(replica_set)[annotation])
    except (KeyError, ValueError):
        return None
