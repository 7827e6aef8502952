"""The subresource binding: a pod gets its node (upstream: pkg/registry/core/pod/storage BindingREST)."""

from __future__ import annotations

from aiohttp import web

from labcluster.api import errors, field
from labcluster.api.json_values import clone
from labcluster.api.objects import name_of
from labcluster.api.resources import PODS, Resource
from labcluster.api.times import now
from labcluster.http.call import Call
from labcluster.http.messages import body
from labcluster.http.messages.options import WriteOptions
from labcluster.http.messages.responses import json_response, success
from labcluster.http.verbs.reading import namespace


async def bind(call: Call) -> web.Response:
    """Assign a pod to a node. Raises ApiError 409 and 422."""
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
