"""The filters of default-scheduler, in its order, with its texts (pkg/scheduler/framework/plugins).

A filter returns None when the pod fits the node, else a Rejection. The first rejection of a node is the one that is
reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from labcluster.api.objects import JSON, name_of
from labcluster.controllers import node_selector
from labcluster.controllers.scheduling.nodes import NodeInfo, host_ports, requests

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


@dataclass(frozen=True)
class Rejection:
    """Why a pod does not fit a node (framework.Status)."""

    reasons: tuple[str, ...]
    requeue_on: frozenset[int]  # the events, of those below, that may make the pod fit (EventsToRegister)
    resolvable: bool = False  # whether removing pods could help (Unschedulable, not UnschedulableAndUnresolvable)


# What may make an unschedulable pod schedulable (framework.ClusterEvent): a node was added or changed, a pod left its
# node, a pod got its node or other labels, a claim, a volume or a storage class was added or changed.
NODE, ASSIGNED_POD_DELETE, ASSIGNED_POD_ADD, CLAIM, VOLUME, STORAGE_CLASS = range(6)
NODE_EVENTS = frozenset({NODE})
RESOURCE_EVENTS = frozenset({NODE, ASSIGNED_POD_DELETE})
PLACEMENT_EVENTS = frozenset({NODE, ASSIGNED_POD_DELETE, ASSIGNED_POD_ADD})
VOLUME_EVENTS = frozenset({NODE, CLAIM, VOLUME, STORAGE_CLASS})

Filter = Callable[[JSON, NodeInfo], Rejection | None]


def tolerates(toleration: JSON, taint: JSON) -> bool:
    """Whether a toleration tolerates a taint (api core/v1 toleration.go)."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    return operator == "Exists" or bool(
        operator == "Equal" and (toleration.get("value") or "") == (taint.get("value") or "")
    )


def untolerated(pod: JSON, taints: list[JSON], effects: tuple[str, ...]) -> list[JSON]:
    """The taints of these effects that the pod does not tolerate."""
    tolerations = pod["spec"].get("tolerations") or ()
    return [t for t in taints if t.get("effect") in effects and not any(tolerates(each, t) for each in tolerations)]


def affinity_prefilter(pod: JSON, info: NodeInfo) -> Rejection | None:
    """A pod whose affinity names its nodes is not tried on the others (NodeAffinity's PreFilter)."""
    names = node_selector.named_nodes(pod)
    if names is None or name_of(info.node) in names:
        return None
    return Rejection(("node(s) didn't satisfy plugin(s) [NodeAffinity]",), NODE_EVENTS)


def node_unschedulable(pod: JSON, info: NodeInfo) -> Rejection | None:
    """A cordoned node takes only pods that tolerate it."""
    if info.node.get("spec", {}).get("unschedulable") and untolerated(pod, [UNSCHEDULABLE_TAINT], ("NoSchedule",)):
        return Rejection(("node(s) were unschedulable",), NODE_EVENTS)
    return None


def taints(pod: JSON, info: NodeInfo) -> Rejection | None:
    """Every NoSchedule and NoExecute taint must be tolerated."""
    if untolerated(pod, info.node.get("spec", {}).get("taints") or [], ("NoSchedule", "NoExecute")):
        return Rejection(("node(s) had untolerated taint(s)",), NODE_EVENTS)
    return None


def node_affinity(pod: JSON, info: NodeInfo) -> Rejection | None:
    """The pod's nodeSelector and required node affinity."""
    if node_selector.pod_selects(pod, info.node):
        return None
    return Rejection(("node(s) didn't match Pod's node affinity/selector",), NODE_EVENTS)


def node_ports(pod: JSON, info: NodeInfo) -> Rejection | None:
    """No two pods of a node can have the same host port; the address 0.0.0.0 clashes with all."""
    wanted = host_ports(pod)
    if not wanted:
        return None
    for address, protocol, port in {taken for other in info.pods for taken in host_ports(other)}:
        for other_address, other_protocol, other_port in wanted:
            same = (protocol, port) == (other_protocol, other_port)
            if same and (address == other_address or "0.0.0.0" in (address, other_address)):
                return Rejection(("node(s) didn't have free ports for the requested pod ports",), RESOURCE_EVENTS, True)
    return None


def resources_fit(pod: JSON, info: NodeInfo) -> Rejection | None:
    """The requests must fit into what is left on the node (NodeResourcesFit)."""
    reasons: list[str] = []
    resolvable = True
    max_pods = info.allocatable.get("pods")
    if max_pods is not None and len(info.pods) + 1 > max_pods:
        reasons.append("Too many pods")
    for name, wanted in requests(pod).items():
        if wanted and wanted > info.allocatable.get(name, 0) - info.requested.get(name, 0):
            reasons.append(f"Insufficient {name}")
            resolvable = resolvable and wanted <= info.allocatable.get(name, 0)
    return Rejection(tuple(reasons), RESOURCE_EVENTS, resolvable) if reasons else None


NODE_FILTERS: tuple[Filter, ...] = (
    affinity_prefilter,
    node_unschedulable,
    taints,
    node_affinity,
    node_ports,
    resources_fit,
)
"""The filters that look at one node only; volumes, spreading and affinity between pods follow them."""
