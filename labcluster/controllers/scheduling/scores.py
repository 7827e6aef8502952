"""Choosing among the feasible nodes: the scores of default-scheduler, simplified, without chance.

Each score is between 0 and 100 and is weighted as upstream weights it. Upstream picks at random among the best
nodes; here the one with fewer pods wins, then the first by name, so that a course shows the same thing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from labcluster.api.objects import JSON, is_terminating, labels_of, namespace_of
from labcluster.api.owners import controller_of
from labcluster.controllers import node_selector
from labcluster.controllers.scheduling.filters import untolerated
from labcluster.controllers.scheduling.nodes import NodeInfo
from labcluster.controllers.scheduling.topology import PREFERRED, NamespaceLabels, spread_counts, term_matches, terms

Score = Callable[[JSON, NodeInfo], float]
HIGHEST = 100.0


def choose(
    pod: JSON, feasible: Sequence[NodeInfo], nodes: Sequence[NodeInfo], namespace_labels: NamespaceLabels
) -> NodeInfo:
    """The best of the feasible nodes (at least one); `nodes` are all of them."""
    total = dict.fromkeys((info.name for info in feasible), 0.0)
    for weight, raw, reverse in (
        (3, _preferred_taints, True),
        (2, _preferred_nodes, False),
        (2, _spread(pod, nodes), True),
        (2, _pods_of_owner, True),
        (2, _preferred_pods(pod, nodes, namespace_labels), False),
    ):
        values = _normalized({info.name: raw(pod, info) for info in feasible}, reverse=reverse)
        for name, value in values.items():
            total[name] += weight * value
    for info in feasible:
        total[info.name] += _least_allocated(pod, info)
    return min(feasible, key=lambda info: (-round(total[info.name], 6), len(info.pods), info.name))


def _normalized(values: dict[str, float], *, reverse: bool) -> dict[str, float]:
    """Stretch to 0 ... 100; all the same is 100 where less is better, else 0."""
    low, high = min(values.values()), max(values.values())
    if high == low:
        return dict.fromkeys(values, HIGHEST if reverse else 0.0)
    return {n: HIGHEST * ((high - v) if reverse else (v - low)) / (high - low) for n, v in values.items()}


def _preferred_taints(pod: JSON, info: NodeInfo) -> float:
    return len(untolerated(pod, info.node.get("spec", {}).get("taints") or [], ("PreferNoSchedule",)))


def _preferred_nodes(pod: JSON, info: NodeInfo) -> float:
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    preferred = affinity.get(PREFERRED) or ()
    return float(sum(p["weight"] for p in preferred if node_selector.matches_term(p["preference"], info.node)))


def _pods_of_owner(pod: JSON, info: NodeInfo) -> float:
    """Pods of the same owner on the node: stands in for the default constraints of podtopologyspread."""
    owner = controller_of(pod)
    if owner is None:
        return 0.0
    living = [p for p in info.pods if not is_terminating(p) and namespace_of(p) == namespace_of(pod)]
    return float(sum(1 for p in living if (controller_of(p) or {}).get("uid") == owner["uid"]))


def _spread(pod: JSON, nodes: Sequence[NodeInfo]) -> Score:
    """The soft topologySpreadConstraints (ScheduleAnyway)."""
    soft = [
        (constraint["topologyKey"], spread_counts(pod, constraint, nodes))
        for constraint in pod["spec"].get("topologySpreadConstraints") or ()
        if constraint.get("whenUnsatisfiable") == "ScheduleAnyway"
    ]
    return lambda _, info: float(sum(counts[info.labels.get(key, "")] for key, counts in soft))


def _preferred_pods(pod: JSON, nodes: Sequence[NodeInfo], namespace_labels: NamespaceLabels) -> Score:
    """Preferred affinity (adds) and anti-affinity (subtracts) to pods in the node's topology domain."""
    preferred = [(1, p) for p in terms(pod, "podAffinity", PREFERRED)]
    preferred += [(-1, p) for p in terms(pod, "podAntiAffinity", PREFERRED)]
    sums: dict[tuple[str, str], float] = {}
    for sign, weighted in preferred:
        term = weighted["podAffinityTerm"]
        key = term["topologyKey"]
        for info in nodes:
            value = labels_of(info.node).get(key)
            if value is not None:
                matching = sum(1 for other in info.pods if term_matches(term, pod, other, namespace_labels))
                sums[key, value] = sums.get((key, value), 0.0) + sign * weighted["weight"] * matching
    return lambda _, info: sum(v for (key, value), v in sums.items() if info.labels.get(key) == value)


def _least_allocated(pod: JSON, info: NodeInfo) -> float:
    cpu, memory = info.used_with(pod)
    shares = [
        max(0.0, 1 - used / info.allocatable[name])
        for name, used in (("cpu", cpu), ("memory", memory))
        if info.allocatable.get(name)
    ]
    return HIGHEST * sum(shares) / len(shares) if shares else 0.0
