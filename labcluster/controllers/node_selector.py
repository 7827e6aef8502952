"""Node selectors: the node affinity of pods and of volumes (component-helpers scheduling/corev1/nodeaffinity)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from labcluster.api.objects import JSON, labels_of, name_of
from labcluster.api.selectors import Requirement


def _holds(expressions: Iterable[JSON], values: Mapping[str, str]) -> bool:
    return all(Requirement(e["key"], e["operator"], tuple(e.get("values") or ())).matches(values) for e in expressions)


def matches_term(term: JSON, node: JSON) -> bool:
    """Whether a NodeSelectorTerm selects the node; a term without expressions and fields selects none."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return _holds(expressions, labels_of(node)) and _holds(fields, {"metadata.name": name_of(node)})


def matches(selector: JSON, node: JSON) -> bool:
    """Whether any term of a NodeSelector selects the node."""
    return any(matches_term(term, node) for term in selector.get("nodeSelectorTerms") or ())


def pod_selects(pod: JSON, node: JSON) -> bool:
    """Whether the pod's nodeSelector and required node affinity admit the node."""
    labels = labels_of(node)
    if any(labels.get(key) != value for key, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return False
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or matches(required, node)


def named_nodes(pod: JSON) -> set[str] | None:
    """The nodes that the required node affinity names, as that of a daemon does; None when any may match."""
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ()
    names: set[str] = set()
    for term in terms:
        by_name = [
            set(each.get("values") or ())
            for each in term.get("matchFields") or ()
            if (each.get("key"), each.get("operator")) == ("metadata.name", "In")
        ]
        if not by_name:
            return None
        names |= set.intersection(*by_name)
    return names or None


def volume_allows(volume: JSON, node: JSON) -> bool:
    """Whether a PersistentVolume can be reached from the node (volume/util CheckNodeAffinity)."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    return required is None or matches(required, node)
