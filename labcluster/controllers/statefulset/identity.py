"""Who a StatefulSet's pods are: ordinals, names, labels and volumes (statefulset/stateful_set_utils.go)."""

from __future__ import annotations

import re

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, labels_of, name_of, namespace_of
from labcluster.controllers.workload_pods import bounded, pod_from_template

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"
REVISION_LABEL = "controller-revision-hash"
_NAME = re.compile(r"(.*)-([0-9]+)$")


def parent_and_ordinal(pod: JSON) -> tuple[str, int]:
    """The set's name and the ordinal in a pod's name; ("", -1) when it has none."""
    match = _NAME.fullmatch(name_of(pod))
    return (match[1], int(match[2])) if match else ("", -1)


def ordinal_of(pod: JSON) -> int:
    """The ordinal in a pod's name, or -1."""
    return parent_and_ordinal(pod)[1]


def is_member(stateful_set: JSON, pod: JSON) -> bool:
    """Whether the pod is called like one of the set."""
    return parent_and_ordinal(pod)[0] == name_of(stateful_set)


def replicas_of(stateful_set: JSON) -> int:
    """spec.replicas."""
    return int(stateful_set["spec"].get("replicas", 1))


def ordinals_of(stateful_set: JSON) -> range:
    """The ordinals the set wants: spec.ordinals.start, and spec.replicas of them, as far as they are ever made."""
    start = int((stateful_set["spec"].get("ordinals") or {}).get("start", 0))
    return range(start, start + bounded(replicas_of(stateful_set)))


def revision_of(pod: JSON) -> str:
    """The name of the revision that the pod was made from."""
    return labels_of(pod).get(REVISION_LABEL, "")


def claim_templates(stateful_set: JSON) -> list[JSON]:
    """spec.volumeClaimTemplates."""
    return stateful_set["spec"].get("volumeClaimTemplates") or []


def claim_name(stateful_set: JSON, template: JSON, ordinal: int) -> str:
    """The name of the claim that a template makes for the pod of that ordinal."""
    return f"{name_of(template)}-{name_of(stateful_set)}-{ordinal}"


def claims_for(stateful_set: JSON, pod: JSON) -> list[JSON]:
    """The claims that the pod needs, as they are created: one for each template."""
    claims: list[JSON] = []
    for template in claim_templates(stateful_set):
        claim: JSON = clone(template)
        claim.pop("status", None)
        labels = {**labels_of(template), **(stateful_set["spec"].get("selector", {}).get("matchLabels") or {})}
        claim["apiVersion"], claim["kind"] = "v1", "PersistentVolumeClaim"
        claim["metadata"]["name"] = claim_name(stateful_set, template, ordinal_of(pod))
        claim["metadata"]["namespace"] = namespace_of(stateful_set)
        if labels:
            claim["metadata"]["labels"] = labels
        claims.append(claim)
    return claims


def new_pod(stateful_set: JSON, template: JSON, revision: str, ordinal: int) -> JSON:
    """The set's pod of that ordinal, not yet stored, from the template of a revision."""
    pod = pod_from_template(template, stateful_set)
    pod["metadata"]["name"] = f"{name_of(stateful_set)}-{ordinal}"
    set_identity(stateful_set, pod)
    pod["metadata"]["labels"][REVISION_LABEL] = revision
    # hostname and subdomain are immutable: they are set on creation only.
    pod["spec"]["hostname"] = name_of(pod)
    if service := stateful_set["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = service
    set_storage(stateful_set, pod)
    return pod


def identity_matches(stateful_set: JSON, pod: JSON) -> bool:
    """Whether the pod's name and labels are those of a member of the set."""
    labels = labels_of(pod)
    return (
        is_member(stateful_set, pod)
        and namespace_of(pod) == namespace_of(stateful_set)
        and labels.get(POD_NAME_LABEL) == name_of(pod)
        and labels.get(POD_INDEX_LABEL) == str(ordinal_of(pod))
    )


def set_identity(stateful_set: JSON, pod: JSON) -> None:
    """Give the pod, in place, the labels of its identity."""
    metadata = pod["metadata"]
    metadata["namespace"] = namespace_of(stateful_set)
    labels = metadata.setdefault("labels", {})
    labels[POD_NAME_LABEL] = name_of(pod)
    labels[POD_INDEX_LABEL] = str(ordinal_of(pod))


def storage_matches(stateful_set: JSON, pod: JSON) -> bool:
    """Whether each claim template is a volume of the pod, with the pod's own claim."""
    ordinal = ordinal_of(pod)
    claims = {
        volume["name"]: (volume.get("persistentVolumeClaim") or {}).get("claimName")
        for volume in pod["spec"].get("volumes") or ()
    }
    return ordinal >= 0 and all(
        claims.get(name_of(template)) == claim_name(stateful_set, template, ordinal)
        for template in claim_templates(stateful_set)
    )


def set_storage(stateful_set: JSON, pod: JSON) -> None:
    """Make the claim templates volumes of the pod, in place; they win over volumes of the same name."""
    templates = claim_templates(stateful_set)
    ordinal = ordinal_of(pod)
    volumes = [
        {"name": name_of(t), "persistentVolumeClaim": {"claimName": claim_name(stateful_set, t, ordinal)}}
        for t in templates
    ]
    names = {name_of(t) for t in templates}
    volumes += [v for v in pod["spec"].get("volumes") or () if v["name"] not in names]
    if volumes:
        pod["spec"]["volumes"] = volumes
