"""What a rolling update of a DaemonSet does next (pkg/controller/daemon/update.go, rollingUpdate)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from labcluster.api.objects import JSON, is_terminating
from labcluster.controllers.daemonset.nodes import is_updated
from labcluster.controllers.workload_pods import scaled_value


@dataclass
class Plan:
    """Pods to delete, and the names of the nodes that get a new one."""

    delete: list[JSON] = field(default_factory=list)
    create: list[str] = field(default_factory=list)


def rolling(daemon_set: JSON) -> JSON | None:
    """The numbers of a rolling update, None when pods are only replaced once somebody deletes them."""
    strategy = daemon_set["spec"]["updateStrategy"]
    return (strategy.get("rollingUpdate") or {}) if strategy["type"] == "RollingUpdate" else None


def surges(daemon_set: JSON) -> bool:
    """Whether a node may have the new pod beside the old one."""
    return scaled_value((rolling(daemon_set) or {}).get("maxSurge"), 1, round_up=True) > 0


def plan(
    daemon_set: JSON,
    pods: Mapping[str, Sequence[JSON]],
    wanted: Mapping[str, bool],
    revision_hash: str,
    is_available: Callable[[JSON], bool],
) -> Plan:
    """The next step, once every node has the pod that it should have.

    `pods` are those on each node, nodes without one included; `wanted` is whether a node should have one.
    """
    numbers = rolling(daemon_set)
    if numbers is None:
        return Plan()
    desired = sum(wanted.values())
    surge = scaled_value(numbers.get("maxSurge"), desired, round_up=True)
    unavailable = scaled_value(numbers.get("maxUnavailable"), desired, round_up=True)
    names = [*pods, *(node for node in wanted if wanted[node] and node not in pods)]
    nodes = {name: _old_and_new(pods.get(name, ()), revision_hash) for name in names}
    if surge:
        return _surging(nodes, wanted, surge, is_available)
    return _replacing(nodes, unavailable or 1, is_available)


_Pair = tuple[JSON | None, JSON | None]


def _old_and_new(pods: Sequence[JSON], revision_hash: str) -> _Pair | None:
    """The old and the new pod of a node; None when there are several of a kind, which are reduced first."""
    staying = [pod for pod in pods if not is_terminating(pod)]
    new = [pod for pod in staying if is_updated(pod, revision_hash)]
    old = [pod for pod in staying if not is_updated(pod, revision_hash)]
    if len(old) > 1 or len(new) > 1:
        return None
    return (old[0] if old else None), (new[0] if new else None)


def _replacing(nodes: Mapping[str, _Pair | None], limit: int, is_available: Callable[[JSON], bool]) -> Plan:
    """Delete old pods, so that no more than `limit` nodes are without an available one."""
    missing = 0
    broken: list[JSON] = []
    candidates: list[JSON] = []
    for pair in nodes.values():
        old, new = pair or (None, None)
        if old is not None and new is None:
            if is_available(old):
                candidates.append(old)
                continue
            broken.append(old)  # it counts as missing already
        elif old is None and new is not None and is_available(new):
            continue
        missing += 1
    return Plan(delete=broken + candidates[: max(limit - missing, 0)])


def _surging(
    nodes: Mapping[str, _Pair | None], wanted: Mapping[str, bool], limit: int, is_available: Callable[[JSON], bool]
) -> Plan:
    """Put new pods beside old ones, on `limit` nodes at a time; an old one goes once the new one is available."""
    result = Plan()
    surging = available = 0
    candidates: list[str] = []
    leaving: list[JSON] = []  # pods of nodes that should not have one any more
    for name, pair in nodes.items():
        if pair is None:
            surging += 1
            continue
        old, new = pair
        serving = old if old is not None else new
        available += serving is not None and is_available(serving)
        if old is None:
            continue  # a missing pod has been created before
        if new is not None:
            if is_available(new):
                result.delete.append(old)
            else:
                surging += 1
        elif not wanted.get(name):
            (leaving if is_available(old) else result.delete).append(old)
        elif is_available(old):
            candidates.append(name)
        else:
            result.create.append(name)
    # Where the nodes have moved, those that are left keep their pods until as many are available elsewhere.
    result.delete += leaving[: max(available - sum(wanted.values()), 0)]
    result.create += candidates[: max(limit - surging, 0)]
    return result
