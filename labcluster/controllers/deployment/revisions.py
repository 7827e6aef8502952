"""Which ReplicaSet is a Deployment's new one, and the numbers of revisions (deployment/util/deployment_util.go)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, annotations_of, name_of, namespace_of
from labcluster.api.owners import controller_reference
from labcluster.controllers.deployment.sizes import size_annotations
from labcluster.controllers.history import template_hash

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
}


def revision_of(obj: JSON) -> int:
    """The revision annotation, 0 without one."""
    try:
        return int(annotations_of(obj).get(REVISION, "0"))
    except ValueError:
        return 0


def _without_hash(template: JSON) -> JSON:
    metadata: JSON = dict(template.get("metadata") or {})
    metadata.pop("creationTimestamp", None)
    labels = {k: v for k, v in (metadata.pop("labels", None) or {}).items() if k != HASH_LABEL}
    return {**template, "metadata": {**metadata, "labels": labels}}


def equal_ignoring_hash(one: JSON, two: JSON) -> bool:
    """Whether two templates are equal but for the pod-template-hash label (EqualIgnoreHash)."""
    return _without_hash(one) == _without_hash(two)


def by_age(replica_sets: Iterable[JSON]) -> list[JSON]:
    """Oldest first, the name deciding between equal times."""
    return sorted(replica_sets, key=lambda rs: (rs["metadata"].get("creationTimestamp", ""), name_of(rs)))


def find_new(deployment: JSON, replica_sets: Iterable[JSON]) -> JSON | None:
    """The ReplicaSet with the Deployment's template; of several (which old bugs could make) the oldest."""
    template = deployment["spec"]["template"]
    return next((rs for rs in by_age(replica_sets) if equal_ignoring_hash(rs["spec"]["template"], template)), None)


def build(deployment: JSON, collisions: int | None) -> JSON:
    """A new ReplicaSet for the Deployment's template, not yet stored, of size 0."""
    template: JSON = clone(deployment["spec"]["template"])
    digest = template_hash(deployment["spec"]["template"], collisions)
    template.setdefault("metadata", {}).setdefault("labels", {})[HASH_LABEL] = digest
    selector: JSON = clone(deployment["spec"]["selector"])
    selector.setdefault("matchLabels", {})[HASH_LABEL] = digest
    spec: JSON = {"replicas": 0, "selector": selector, "template": template}
    if min_ready := deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = min_ready
    return {
        "apiVersion": deployment["apiVersion"],
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name_of(deployment)}-{digest}",
            "namespace": namespace_of(deployment),
            "labels": dict(template["metadata"]["labels"]),
            "ownerReferences": [controller_reference(deployment)],
        },
        "spec": spec,
    }


def annotate(deployment: JSON, replica_set: JSON, revision: int, *, exists: bool) -> None:
    """Give the new ReplicaSet, in place, the Deployment's annotations and its revision (SetNewReplicaSetAnnotations).

    An old ReplicaSet that becomes the new one again, by a rollback, keeps its former numbers as history.
    """
    annotations: dict[str, str] = replica_set["metadata"].setdefault("annotations", {})
    annotations.update({k: v for k, v in annotations_of(deployment).items() if k not in _NOT_COPIED})
    former = annotations.get(REVISION)
    if revision_of(replica_set) < revision:
        annotations[REVISION] = str(revision)
        if former:
            history = annotations.get(REVISION_HISTORY)
            annotations[REVISION_HISTORY] = f"{history},{former}" if history else former
    if not exists:
        annotations.update(size_annotations(deployment))


def latest(replica_sets: Sequence[JSON]) -> int:
    """The highest revision among ReplicaSets."""
    return max(map(revision_of, replica_sets), default=0)
