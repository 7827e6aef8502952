"""The scale subresource: a workload seen as a number of replicas (upstream: the ScaleREST types in
pkg/registry/apps/{deployment,replicaset,statefulset}/storage/storage.go and of custom resources in
apiextensions-apiserver pkg/registry/customresource/etcd.go)."""

from __future__ import annotations

from dataclasses import dataclass

from labsupport.embedded import errors
from labsupport.embedded.errors import ApiError
from labsupport.embedded.kinds.printing import NONE, format_selector
from labsupport.embedded.kinds.values import not_negative
from labsupport.embedded.objects import JSON, clone, name_of
from labsupport.embedded.resources import Resource
from labsupport.embedded.structural import jsonpath

SCALES = Resource("autoscaling", "v1", "scales", "Scale")

_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


@dataclass(frozen=True)
class ScalePaths:
    """Where in an object its Scale is, as simple JSONPaths. The selector of a custom resource is a text."""

    wanted: str
    actual: str
    selector: str
    custom: bool = False


WORKLOAD = ScalePaths(".spec.replicas", ".status.replicas", ".spec.selector")


def scale_of(obj: JSON, paths: ScalePaths = WORKLOAD) -> JSON:
    """The autoscaling/v1 Scale of a workload. Raises ApiError 500 for a custom resource without wanted replicas."""
    wanted = jsonpath.at(paths.wanted, obj)
    if wanted is None and paths.custom:
        message = f'Internal error occurred: the spec replicas field "{paths.wanted}" does not exist'
        raise ApiError(500, "InternalError", message, {"causes": [{"message": message}]})
    selector = jsonpath.at(paths.selector, obj) if paths.selector else ""
    text = selector if isinstance(selector, str) else format_selector(selector)
    status: JSON = {"replicas": jsonpath.at(paths.actual, obj) or 0}
    return {
        "kind": SCALES.kind,
        "apiVersion": SCALES.api_version,
        "metadata": {key: obj["metadata"][key] for key in _METADATA if key in obj["metadata"]},
        "spec": {"replicas": wanted or 0},
        "status": status if text in (NONE, "", None) else {**status, "selector": text},
    }


def apply_scale(obj: JSON, scale: JSON, paths: ScalePaths = WORKLOAD) -> JSON:
    """A copy of the workload with the replicas that the Scale asks for, to be given to Registry.update.

    The Scale's uid and resourceVersion, where it has them, go along, so that the update conflicts when the
    workload has changed meanwhile. Raises ApiError 422 when the number is negative.
    """
    spec = scale.get("spec") or {}
    wrong = not_negative(spec, ("replicas",), "spec")
    if wrong:
        raise errors.invalid(SCALES, name_of(obj), wrong)
    scaled: JSON = clone(obj)
    jsonpath.put(paths.wanted, scaled, spec.get("replicas") or 0)
    given = scale.get("metadata") or {}
    for key in ("uid", "resourceVersion"):
        scaled["metadata"].pop(key, None)
        if given.get(key):
            scaled["metadata"][key] = given[key]
    return scaled
