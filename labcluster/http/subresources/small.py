"""The small subresources: scale, binding, finalize and token. (status is an update like any other.)"""

from __future__ import annotations

import datetime as dt

from aiohttp import web

from labcluster.api import errors, field
from labcluster.api.errors import bad_request
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, name_of, uid_of
from labcluster.api.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS, Resource
from labcluster.api.times import now
from labcluster.auth import token_binding
from labcluster.http.call import Call
from labcluster.http.messages import body, representation
from labcluster.http.messages.negotiation import negotiate
from labcluster.http.messages.options import WriteOptions
from labcluster.http.messages.responses import json_response, success
from labcluster.http.verbs import tracking, writing
from labcluster.http.verbs.reading import answer, namespace
from labcluster.kinds.scales import ScaleKind
from labcluster.kinds.scaling import SCALES, scale_of
from labcluster.schema import schemas

_SCALE_KIND = ScaleKind()
_TOKEN_SECONDS = 3600
_SHORTEST_TOKEN = 600  # seconds, as upstream's validation of TokenRequestSpec
_LONGEST_TOKEN = 1 << 32


async def read_scale(call: Call) -> web.Response:
    """The replicas of a workload."""
    return _scale_answer(call, call.registry.get(call.resource, namespace(call), call.target.name))


async def update_scale(call: Call) -> web.Response:
    """Set the replicas of a workload."""
    options = WriteOptions.parse(call.request.query, "UpdateOptions")
    obj = body.decode(await body.read(call.request), body.content_type(call.request), SCALES.kind)
    body.check_kind(obj, SCALES)
    scale, _ = schemas.decode(obj, SCALES, options.field_validation)
    metadata = scale.setdefault("metadata", {})
    body.check_name(metadata, call.target.name, namespace(call))
    body.set_namespace(metadata, namespace(call))
    return _write_scale(call, scale, options, "UpdateOptions")


async def patch_scale(call: Call) -> web.Response:
    """Change the replicas of a workload."""
    options = WriteOptions.parse(call.request.query, "PatchOptions")
    apply = await writing.read_patch(call, SCALES)
    old = scale_of(call.registry.get(call.resource, namespace(call), call.target.name), call.kind.scale_paths)
    scale, _ = writing.check_patched(apply(old), old, SCALES, options)
    return _write_scale(call, scale, options, "PatchOptions")


def _write_scale(call: Call, scale: JSON, options: WriteOptions, type_name: str) -> web.Response:
    track = tracking.of_update(call, None, type_name)
    made = call.registry.update(call.resource, scale, subresource="scale", dry_run=options.dry_run, track=track)
    return _scale_answer(call, made)


def _scale_answer(call: Call, obj: JSON) -> web.Response:
    form = negotiate(call.request.headers.get("Accept", ""))
    scale = scale_of(obj, call.kind.scale_paths)
    if form.shown_as:
        include = representation.include_object_of(call.request.query.get("includeObject"))
        scale = representation.show(scale, _SCALE_KIND, form, include)
    return json_response(scale, yaml_form=form.is_yaml)


async def bind(call: Call) -> web.Response:
    """Assign a pod to a node (upstream: pkg/registry/core/pod/storage BindingREST)."""
    options = WriteOptions.parse(call.request.query, "CreateOptions")
    binding = body.decode(await body.read(call.request), body.content_type(call.request), "Binding")
    target = binding.get("target")
    node = target.get("name") if isinstance(target, dict) else None
    if not isinstance(node, str) or not node:
        raise errors.invalid(Resource("", "v1", "bindings", "Binding"), "", [field.required("target.name")])
    pod = call.registry.get(PODS, namespace(call), call.target.name)
    name = name_of(pod)
    if pod["metadata"].get("deletionTimestamp"):
        raise errors.conflict(PODS, name, f"pod {name} is being deleted, cannot be assigned to a host")
    bound = pod.get("spec", {}).get("nodeName")
    if bound:
        raise errors.conflict(PODS, name, f'pod {name} is already assigned to node "{bound}"')
    new = clone(pod)
    new["spec"]["nodeName"] = node
    status = new.setdefault("status", {})
    others = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now()}
    status["conditions"] = [*others, scheduled]
    call.registry.update(PODS, new, subresource="binding", dry_run=options.dry_run)
    return json_response(success(code=201), 201)


async def finalize(call: Call) -> web.Response:
    """Replace spec.finalizers of a namespace (PUT .../finalize)."""
    options = WriteOptions.parse(call.request.query, "UpdateOptions")
    obj = body.decode(await body.read(call.request), body.content_type(call.request), NAMESPACES.kind)
    body.check_kind(obj, NAMESPACES)
    given, _ = schemas.decode(obj, NAMESPACES, options.field_validation)
    body.check_name(given.setdefault("metadata", {}), call.target.name, "")
    body.set_namespace(given["metadata"], "")
    return answer(call, call.registry.update(NAMESPACES, given, subresource="finalize", dry_run=options.dry_run))


async def token(call: Call) -> web.Response:
    """Issue a token for a service account (authentication.k8s.io/v1 TokenRequest)."""
    account = call.registry.get(SERVICE_ACCOUNTS, namespace(call), call.target.name)
    request = body.decode(await body.read(call.request), body.content_type(call.request), "TokenRequest")
    spec = request.get("spec") or {}
    if not isinstance(spec, dict) or not isinstance(spec.get("boundObjectRef") or {}, dict):
        raise bad_request("TokenRequest: spec and spec.boundObjectRef must be objects")
    audiences, seconds = spec.get("audiences") or [], spec.get("expirationSeconds", _TOKEN_SECONDS)
    if not isinstance(audiences, list) or not isinstance(seconds, int):
        raise bad_request("TokenRequest: spec.audiences must be an array and spec.expirationSeconds an integer")
    if not _SHORTEST_TOKEN <= seconds <= _LONGEST_TOKEN:
        limit = "less than 10 minutes" if seconds < _SHORTEST_TOKEN else "larger than 2^32 seconds"
        why = f"may not specify a duration {limit}"
        tokens = Resource("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest")
        raise errors.invalid(tokens, "", [field.invalid("spec.expirationSeconds", seconds, why)])
    reference = spec.get("boundObjectRef")
    where, name = namespace(call), call.target.name
    bound = token_binding.to_object(call.registry, where, name, reference) if reference else None
    issued = call.services.pki.issue_token(where, name, uid_of(account), [str(a) for a in audiences], seconds, bound)
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    reply = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": name, "namespace": where, "creationTimestamp": now()},
        "spec": {**spec, "audiences": audiences, "expirationSeconds": seconds},
        "status": {"token": issued, "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ")},
    }
    return json_response(reply, 201)
