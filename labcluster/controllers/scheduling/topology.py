"""Filters that look at all pods: topology spread, affinity between pods (podtopologyspread, interpodaffinity).

Not done: matchLabelKeys and mismatchLabelKeys (the API server turns the former into selector terms upstream).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from labcluster.api.conditions import is_pod_finished
from labcluster.api.objects import JSON, is_terminating, labels_of, namespace_of
from labcluster.api.selectors import LabelSelector
from labcluster.controllers import node_selector
from labcluster.controllers.scheduling.filters import PLACEMENT_EVENTS, Filter, Rejection, untolerated
from labcluster.controllers.scheduling.nodes import NodeInfo

NamespaceLabels = Callable[[str], dict[str, str]]
"""The labels of a namespace, for namespaceSelector."""

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def terms(pod: JSON, kind: str, strength: str = REQUIRED) -> list[JSON]:
    """The terms of a pod's podAffinity or podAntiAffinity."""
    return ((pod["spec"].get("affinity") or {}).get(kind) or {}).get(strength) or []


def term_matches(term: JSON, owner: JSON, other: JSON, namespace_labels: NamespaceLabels) -> bool:
    """Whether an affinity term of `owner` selects the pod `other`."""
    named, selector = term.get("namespaces") or [], term.get("namespaceSelector")
    there = namespace_of(other)
    if not named and selector is None:
        inside = there == namespace_of(owner)
    else:
        chosen = selector is not None and LabelSelector.from_object(selector).matches(namespace_labels(there))
        inside = there in named or chosen
    # A term without a labelSelector selects no pods; the empty one selects all.
    selects = term.get("labelSelector") is not None
    return inside and selects and LabelSelector.from_object(term["labelSelector"]).matches(labels_of(other))


def _domains(nodes: Iterable[NodeInfo], key: str, matches: Callable[[JSON], bool]) -> Counter[str]:
    """How many matching pods there are in each domain: for each value of a topology label."""
    counts: Counter[str] = Counter()
    for info in nodes:
        if key in info.labels:
            counts[info.labels[key]] += sum(1 for pod in info.pods if matches(pod))
    return counts


def affinity_filter(pod: JSON, nodes: Sequence[NodeInfo], namespace_labels: NamespaceLabels) -> Filter | None:
    """The filter for required affinity and anti-affinity of this pod, and anti-affinity against it."""
    affinity, anti = terms(pod, "podAffinity"), terms(pod, "podAntiAffinity")
    forbidden: set[tuple[str, str]] = set()  # domains with pods whose anti-affinity is against this one
    for info in nodes:
        for other in info.pods:
            for term in terms(other, "podAntiAffinity"):
                value = info.labels.get(term["topologyKey"])
                if value is not None and term_matches(term, other, pod, namespace_labels):
                    forbidden.add((term["topologyKey"], value))
    if not (affinity or anti or forbidden):
        return None

    def all_match(other: JSON) -> bool:
        return all(term_matches(term, pod, other, namespace_labels) for term in affinity)

    attracting = {term["topologyKey"]: _domains(nodes, term["topologyKey"], all_match) for term in affinity}
    # The first pod of a group with affinity among its own may go anywhere.
    is_first = not any(count for domain in attracting.values() for count in domain.values()) and all_match(pod)
    repelling = [
        (
            term["topologyKey"],
            _domains(nodes, term["topologyKey"], lambda p, t=term: term_matches(t, pod, p, namespace_labels)),  # type: ignore[misc]
        )
        for term in anti
    ]

    def check(_: JSON, info: NodeInfo) -> Rejection | None:
        for key, domain in attracting.items():
            if key not in info.labels or not (domain[info.labels[key]] or is_first):
                return Rejection(("node(s) didn't match pod affinity rules",), PLACEMENT_EVENTS)
        if any(key in info.labels and domain[info.labels[key]] for key, domain in repelling):
            return Rejection(("node(s) didn't match pod anti-affinity rules",), PLACEMENT_EVENTS, True)
        if any(info.labels.get(key) == value for key, value in forbidden):
            return Rejection(("node(s) didn't satisfy existing pods anti-affinity rules",), PLACEMENT_EVENTS, True)
        return None

    return check


def spread_counts(pod: JSON, constraint: JSON, nodes: Sequence[NodeInfo]) -> Counter[str]:
    """Matching pods for each domain of a constraint, over the nodes that count for this pod."""
    key = constraint["topologyKey"]
    selector = LabelSelector.from_object(constraint.get("labelSelector"))

    def counts(other: JSON) -> bool:
        alive = not is_terminating(other) and not is_pod_finished(other)
        return alive and namespace_of(other) == namespace_of(pod) and selector.matches(labels_of(other))

    return _domains([i for i in nodes if _is_eligible(pod, constraint, i)], key, counts)


def _is_eligible(pod: JSON, constraint: JSON, info: NodeInfo) -> bool:
    if constraint.get("nodeAffinityPolicy", "Honor") == "Honor" and not node_selector.pod_selects(pod, info.node):
        return False
    tainted = untolerated(pod, info.node.get("spec", {}).get("taints") or [], ("NoSchedule", "NoExecute"))
    return constraint.get("nodeTaintsPolicy", "Ignore") != "Honor" or not tainted


def spread_filter(pod: JSON, nodes: Sequence[NodeInfo]) -> Filter | None:
    """The filter for topologySpreadConstraints with whenUnsatisfiable DoNotSchedule."""
    hard: list[tuple[JSON, Counter[str], int, bool]] = []
    for constraint in pod["spec"].get("topologySpreadConstraints") or ():
        if constraint.get("whenUnsatisfiable", "DoNotSchedule") != "DoNotSchedule":
            continue
        domains = spread_counts(pod, constraint, nodes)
        fewest = min(domains.values(), default=0)
        if len(domains) < (constraint.get("minDomains") or 1):
            fewest = 0
        matches_itself = LabelSelector.from_object(constraint.get("labelSelector")).matches(labels_of(pod))
        hard.append((constraint, domains, fewest, matches_itself))
    if not hard:
        return None

    def check(_: JSON, info: NodeInfo) -> Rejection | None:
        text = "node(s) didn't match pod topology spread constraints"
        for constraint, domains, fewest, matches_itself in hard:
            value: Any = info.labels.get(constraint["topologyKey"])
            if value is None:
                return Rejection((f"{text} (missing required label)",), PLACEMENT_EVENTS)
            if domains[value] + matches_itself - fewest > constraint["maxSkew"]:
                return Rejection((text,), PLACEMENT_EVENTS, True)
        return None

    return check
