"""The subresource scale: the replicas of a workload."""

from __future__ import annotations

from aiohttp import web

from labcluster.api.objects import JSON
from labcluster.http.call import Call
from labcluster.http.messages import body, representation
from labcluster.http.messages.negotiation import negotiate
from labcluster.http.messages.options import WriteOptions
from labcluster.http.messages.responses import json_response
from labcluster.http.verbs import tracking, writing
from labcluster.http.verbs.reading import namespace
from labcluster.kinds.scale_kind import ScaleKind
from labcluster.kinds.scale_subresource import SCALES, scale_of
from labcluster.schema import schemas

_SCALE_KIND = ScaleKind()


async def read(call: Call) -> web.Response:
    """The replicas of a workload."""
    return _answer(call, call.registry.get(call.resource, namespace(call), call.target.name))


async def update(call: Call) -> web.Response:
    """Set the replicas of a workload."""
    options = WriteOptions.parse(call.request.query, "UpdateOptions")
    obj = body.decode(await body.read(call.request), body.content_type(call.request), SCALES.kind)
    body.check_kind(obj, SCALES)
    scale, _ = schemas.decode(obj, SCALES, options.field_validation)
    metadata = scale.setdefault("metadata", {})
    body.check_name(metadata, call.target.name, namespace(call))
    body.set_namespace(metadata, namespace(call))
    return _write(call, scale, options, "UpdateOptions")


async def patch(call: Call) -> web.Response:
    """Change the replicas of a workload."""
    options = WriteOptions.parse(call.request.query, "PatchOptions")
    apply = await writing.read_patch(call, SCALES)
    old = scale_of(call.registry.get(call.resource, namespace(call), call.target.name), call.kind.scale_paths)
    scale, _ = writing.check_patched(apply(old), old, SCALES, options)
    return _write(call, scale, options, "PatchOptions")


def _write(call: Call, scale: JSON, options: WriteOptions, type_name: str) -> web.Response:
    track = tracking.of_update(call, None, type_name)
    made = call.registry.update(call.resource, scale, subresource="scale", dry_run=options.dry_run, track=track)
    return _answer(call, made)


def _answer(call: Call, obj: JSON) -> web.Response:
    form = negotiate(call.request.headers.get("Accept", ""))
    scale = scale_of(obj, call.kind.scale_paths)
    if form.shown_as:
        include = representation.include_object_of(call.request.query.get("includeObject"))
        scale = representation.show(scale, _SCALE_KIND, form, include)
    return json_response(scale, yaml_form=form.is_yaml)
