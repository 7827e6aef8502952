"""The scale subresource: a workload seen as a number of replicas (upstream: the ScaleREST types in
pkg/registry/apps/{deployment,replicaset,statefulset}/storage/storage.go and of custom resources in
apiextensions-apiserver pkg/registry/customresource/etcd.go)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labcluster.api import errors, field
from labcluster.api.errors import ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, name_of
from labcluster.api.resources import Resource
from labcluster.kinds.printing import NONE, format_selector
from labcluster.kinds.values import not_negative
from labcluster.schema.structural import jsonpath

SCALES = Resource("autoscaling", "v1", "scales", "Scale")

_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


@dataclass(frozen=True)
class ScalePaths:
    """Where in an object its Scale is, as simple JSONPaths. The selector of a custom resource is a text."""

    wanted: str
    actual: str
    selector: str
    custom: bool = False

    @property
    def numbers(self) -> tuple[str, str]:
        """The paths of the replicas that are wanted, and that are there."""
        return self.wanted, self.actual


WORKLOAD = ScalePaths(".spec.replicas", ".status.replicas", ".spec.selector")


def scale_of(obj: JSON, paths: ScalePaths = WORKLOAD) -> JSON:
    """The autoscaling/v1 Scale of a workload.

    Raises ApiError 500 for a custom resource without wanted replicas, or with something else where its paths lead.
    """
    wanted, actual = (_value_at(path, obj, int) if paths.custom else jsonpath.at(path, obj) for path in paths.numbers)
    if wanted is None and paths.custom:
        raise _internal(f'the spec replicas field "{paths.wanted}" does not exist')
    if paths.custom:
        text = _value_at(paths.selector, obj, str) if paths.selector else ""
    else:
        text = format_selector(jsonpath.at(paths.selector, obj))
    status: JSON = {"replicas": actual or 0}
    return {
        "kind": SCALES.kind,
        "apiVersion": SCALES.api_version,
        "metadata": {key: obj["metadata"][key] for key in _METADATA if key in obj["metadata"]},
        "spec": {"replicas": wanted or 0},
        "status": status if text in (NONE, "", None) else {**status, "selector": text},
    }


def _value_at(path: str, obj: JSON, wanted: type) -> Any:
    value = jsonpath.at(path, obj)
    if value is None or type(value) is wanted:
        return value
    names = {int: "int64", float: "float64", str: "string", bool: "bool", list: "[]interface {}"}
    actual = names.get(type(value), "map[string]interface {}")
    raise _internal(f"{path} accessor error: {jsonpath.shown(value)} is of the type {actual}, expected {names[wanted]}")


def _internal(what: str) -> ApiError:
    message = f"Internal error occurred: {what}"
    return ApiError(500, "InternalError", message, {"causes": [{"message": message}]})


def apply_scale(obj: JSON, scale: JSON, paths: ScalePaths = WORKLOAD) -> JSON:
    """A copy of the workload with the replicas that the Scale asks for.

    Raises ApiError 422 when the number is negative, or cannot be set where the path leads.
    """
    spec = scale.get("spec") or {}
    wrong = not_negative(spec, ("replicas",), "spec")
    if wrong:
        raise errors.invalid(SCALES, name_of(obj), wrong)
    scaled: JSON = clone(obj)
    try:
        jsonpath.put(paths.wanted, scaled, spec.get("replicas") or 0)
    except ValueError as error:
        wrong = [field.invalid("spec.replicas", spec.get("replicas") or 0, str(error))]
        raise errors.invalid(SCALES, name_of(obj), wrong) from error
    return scaled
