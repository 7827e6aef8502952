"""The scale subresource: a workload seen as a number of replicas (upstream: the ScaleREST types in
pkg/registry/apps/{deployment,replicaset,statefulset}/storage/storage.go)."""

from __future__ import annotations

from labsupport.embedded import errors
from labsupport.embedded.kinds.printing import NONE, format_selector
from labsupport.embedded.kinds.values import not_negative
from labsupport.embedded.objects import JSON, clone, name_of
from labsupport.embedded.resources import Resource

SCALES = Resource("autoscaling", "v1", "scales", "Scale")

_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(obj: JSON) -> JSON:
    """The autoscaling/v1 Scale of a Deployment, ReplicaSet or StatefulSet."""
    selector = format_selector(obj["spec"].get("selector"))
    status = {"replicas": obj.get("status", {}).get("replicas") or 0}
    return {
        "kind": SCALES.kind,
        "apiVersion": SCALES.api_version,
        "metadata": {key: obj["metadata"][key] for key in _METADATA if key in obj["metadata"]},
        "spec": {"replicas": obj["spec"].get("replicas") or 0},
        "status": status if selector == NONE else {**status, "selector": selector},
    }


def apply_scale(obj: JSON, scale: JSON) -> JSON:
    """A copy of the workload with the replicas that the Scale asks for, to be given to Registry.update.

    The Scale's uid and resourceVersion, where it has them, go along, so that the update conflicts when the
    workload has changed meanwhile. Raises ApiError 422 when the number is negative.
    """
    spec = scale.get("spec") or {}
    wrong = not_negative(spec, ("replicas",), "spec")
    if wrong:
        raise errors.invalid(SCALES, name_of(obj), wrong)
    scaled: JSON = clone(obj)
    scaled["spec"]["replicas"] = spec.get("replicas") or 0
    given = scale.get("metadata") or {}
    for key in ("uid", "resourceVersion"):
        scaled["metadata"].pop(key, None)
        if given.get(key):
            scaled["metadata"][key] = given[key]
    return scaled
