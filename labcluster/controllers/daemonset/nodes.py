"""Which nodes a DaemonSet's pods belong on, and how a pod is tied to its node (daemon/util/daemonset_util.go).

The controller says where; the scheduler places each pod there, because its node affinity names one node.
"""

from __future__ import annotations

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, annotations_of, labels_of, name_of
from labcluster.controllers import node_selector
from labcluster.controllers.scheduling.filters import untolerated
from labcluster.controllers.workload_pods import pod_from_template
from labcluster.kinds.daemonsets import TEMPLATE_GENERATION

REVISION_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"
_NAME_FIELD = "metadata.name"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
# A daemon stays on a node that is in trouble, and comes to one that is cordoned.
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_TOLERATED_ON_HOST_NETWORK = (("node.kubernetes.io/network-unavailable", "NoSchedule"),)


def should_run(daemon_set: JSON, node: JSON) -> tuple[bool, bool]:
    """(whether a pod should run on the node, whether one that is there may stay); NodeShouldRunDaemonPod."""
    spec = daemon_set["spec"]["template"]["spec"]
    if spec.get("nodeName") not in (None, "", name_of(node)):
        return False, False
    pod = {"spec": {**spec, "tolerations": _tolerations(spec)}}
    if not node_selector.pod_selects(pod, node):
        return False, False
    taints = node.get("spec", {}).get("taints") or []
    if untolerated(pod, taints, ("NoSchedule", "NoExecute")):
        return False, not untolerated(pod, taints, ("NoExecute",))
    return True, True


def new_pod(daemon_set: JSON, node: str, revision_hash: str) -> JSON:
    """A pod for the node, not yet stored and without a name."""
    pod = pod_from_template(daemon_set["spec"]["template"], daemon_set)
    labels = pod["metadata"].setdefault("labels", {})
    if generation := annotations_of(daemon_set).get(TEMPLATE_GENERATION):
        labels[GENERATION_LABEL] = generation
    labels[REVISION_LABEL] = revision_hash
    spec = pod["spec"]
    spec["tolerations"] = _tolerations(spec)
    term = {"matchFields": [{"key": _NAME_FIELD, "operator": "In", "values": [node]}]}
    affinity = spec["affinity"] = clone(spec.get("affinity") or {})
    by_node = affinity["nodeAffinity"] = affinity.get("nodeAffinity") or {}
    # What was required before is in the choice of the node already.
    by_node[_REQUIRED] = {"nodeSelectorTerms": [term]}
    return pod


def node_of(pod: JSON) -> str | None:
    """The node that the pod is on or meant for, None when it says neither (GetTargetNodeName)."""
    if name := pod["spec"].get("nodeName"):
        return str(name)
    required = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED) or {}
    for term in required.get("nodeSelectorTerms") or ():
        for requirement in term.get("matchFields") or ():
            if (requirement.get("key"), requirement.get("operator")) == (_NAME_FIELD, "In"):
                values = requirement.get("values") or []
                return str(values[0]) if len(values) == 1 else None
    return None


def is_updated(pod: JSON, revision_hash: str) -> bool:
    """Whether the pod is of that revision."""
    return labels_of(pod).get(REVISION_LABEL) == revision_hash


def _tolerations(spec: JSON) -> list[JSON]:
    """The tolerations of a pod spec, with those that every daemon has; one of them with an end loses it."""
    tolerations: list[JSON] = list(spec.get("tolerations") or ())
    for key, effect in (*_TOLERATED, *(_TOLERATED_ON_HOST_NETWORK if spec.get("hostNetwork") else ())):
        own = {"key": key, "operator": "Exists", "effect": effect}
        alike = [{k: v for k, v in each.items() if v and k != "tolerationSeconds"} == own for each in tolerations]
        if any(alike):
            tolerations[alike.index(True)] = own
        else:
            tolerations.append(own)
    return tolerations
