"""The subresource finalize of namespaces: PUT replaces spec.finalizers."""

from __future__ import annotations

from aiohttp import web

from labcluster.api.resources import NAMESPACES
from labcluster.http.call import Call
from labcluster.http.messages import body
from labcluster.http.messages.options import WriteOptions
from labcluster.http.verbs.reading import answer
from labcluster.schema import schemas


async def update(call: Call) -> web.Response:
    """Replace spec.finalizers of a namespace."""
    options = WriteOptions.parse(call.request.query, "UpdateOptions")
    obj = body.decode(await body.read(call.request), body.content_type(call.request), NAMESPACES.kind)
    body.check_kind(obj, NAMESPACES)
    given, _ = schemas.decode(obj, NAMESPACES, options.field_validation)
    body.check_name(given.setdefault("metadata", {}), call.target.name, "")
    body.set_namespace(given["metadata"], "")
    return answer(call, call.registry.update(NAMESPACES, given, subresource="finalize", dry_run=options.dry_run))
