"""What a service-account token is bound to: it is valid as long as that object exists.

Upstream: pkg/registry/core/serviceaccount/storage/token.go (issuing) and pkg/serviceaccount/claims.go (validation).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from labcluster.api import errors
from labcluster.api.errors import bad_request
from labcluster.api.objects import JSON, is_terminating, name_of, uid_of
from labcluster.api.resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS, Resource
from labcluster.api.times import parse_time
from labcluster.storage.registry import Registry

Binding = Mapping[str, tuple[str, str]]  # claim (pod, secret, node) -> name and uid

_LEEWAY = dt.timedelta(minutes=1)  # how long a token is valid after the object's deletionTimestamp (jwt.DefaultLeeway)
_BOUND = {"Pod": PODS, "Secret": SECRETS, "Node": NODES}
_DIFFERS = (
    "the UID in the bound object reference ({}) does not match the UID in record. "
    "The object might have been deleted and then recreated"
)


def to_pod(registry: Registry, pod: JSON) -> Binding:
    """The binding to a pod; it names the pod's node as well, which may go before the token."""
    bound = {"pod": (name_of(pod), uid_of(pod))}
    if node := pod["spec"].get("nodeName"):
        bound_node = registry.find(NODES, "", node)
        bound["node"] = (node, uid_of(bound_node) if bound_node else "")
    return bound


def to_object(registry: Registry, namespace: str, account: str, reference: JSON) -> Binding:
    """The binding that a TokenRequest's spec.boundObjectRef asks for. Raises ApiError 400, 404 and 409."""
    version, kind = str(reference.get("apiVersion") or ""), str(reference.get("kind") or "")
    resource = _BOUND.get(kind) if "/" not in version else None
    if resource is None:
        shown = version if "/" in version else f"/{version}"
        raise bad_request(f"cannot bind token to object of type {shown}, Kind={kind}")
    target = registry.get(resource, namespace if resource.namespaced else "", str(reference.get("name") or ""))
    if resource == PODS and target["spec"].get("serviceAccountName") != account:
        what = f'serviceaccount "{account}"'
        raise bad_request(f"cannot bind token for {what} to pod running with different serviceaccount name.")
    if reference.get("uid") not in (None, "", uid_of(target)):
        raise errors.conflict(Resource("", "v1", kind, kind), name_of(target), _DIFFERS.format(reference["uid"]))
    return to_pod(registry, target) if resource == PODS else {kind.lower(): (name_of(target), uid_of(target))}


def missing_kind(registry: Registry, claims: JSON) -> str:
    """The kind of an object that a token of these claims (`kubernetes.io`) is bound to and that is gone, or ""."""
    namespace = claims["namespace"]
    holders = {"serviceaccount": SERVICE_ACCOUNTS, "pod": PODS, "secret": SECRETS}
    if "pod" not in claims:
        holders["node"] = NODES
    for claim, resource in holders.items():
        if bound := claims.get(claim):
            obj = registry.find(resource, namespace if resource.namespaced else "", bound["name"])
            if obj is None or uid_of(obj) != bound["uid"] or _is_past_leeway(obj):
                return resource.kind
    return ""


def user_extra(claims: JSON) -> dict[str, list[str]]:
    """The binding in a user's `extra`."""
    return {
        f"authentication.kubernetes.io/{claim}-{key}": [claims[claim][key]]
        for claim in ("pod", "node")
        for key in ("name", "uid")
        if claims.get(claim, {}).get(key)
    }


def _is_past_leeway(obj: JSON) -> bool:
    """Whether the deletionTimestamp is longer ago than the leeway: only finalizers keep the object."""
    return is_terminating(obj) and parse_time(obj["metadata"]["deletionTimestamp"]) < dt.datetime.now(dt.UTC) - _LEEWAY
