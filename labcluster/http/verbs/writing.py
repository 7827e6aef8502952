"""POST, PUT and PATCH of objects (upstream: apiserver pkg/endpoints/handlers/{create,update,patch}.go).

Between reading an object and writing it back nothing else runs, so a patch without a resourceVersion never
meets a conflict and needs no retry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from labcluster.api import errors, field
from labcluster.api.errors import ApiError, bad_request, unsupported_media_type
from labcluster.api.json_values import check_depth
from labcluster.api.objects import JSON, name_of
from labcluster.api.resources import Resource
from labcluster.auth.rbac import escalation
from labcluster.http.call import Call
from labcluster.http.messages import body
from labcluster.http.messages.options import WriteOptions
from labcluster.http.verbs import applying, terminating, tracking
from labcluster.http.verbs.reading import answer, namespace
from labcluster.schema import patches, schemas

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_APPLY_PATCH = "application/apply-patch"


async def create(call: Call) -> web.Response:
    """A new object."""
    options = WriteOptions.parse(call.request.query, "CreateOptions")
    resource = call.resource
    data = await body.read(call.request)
    terminating.refuse_creation(call)  # nothing else runs from here on
    obj, warnings = _decoded(data, body.content_type(call.request), resource, options)
    metadata = obj["metadata"]
    body.set_namespace(metadata, namespace(call))
    escalation.check(call.services.authorizer, call.user, resource, obj, None)
    track = tracking.of_creation(call)
    made = call.registry.create(resource, obj, dry_run=options.dry_run, track=track)
    return answer(call, made, 201, [*warnings, *call.kind.warnings(made)])


async def update(call: Call) -> web.Response:
    """A new state of an object, or of its status."""
    options = WriteOptions.parse(call.request.query, "UpdateOptions")
    resource = call.resource
    obj, warnings = _decoded(await body.read(call.request), body.content_type(call.request), resource, options)
    if call.target.subresource == "status" and "status" not in obj and body.content_type(call.request) == body.PROTOBUF:
        raise body.not_read(f"the status of {resource.kind}")  # or the write would be lost without a word
    metadata = obj["metadata"]
    body.check_name(metadata, call.target.name, namespace(call))
    body.set_namespace(metadata, namespace(call))
    old = call.registry.get(resource, namespace(call), call.target.name)
    return _replaced(call, old, obj, options, warnings, "UpdateOptions")


async def patch(call: Call) -> web.Response:
    """A change of an object, or of its status."""
    if body.content_type(call.request) == applying.MEDIA_TYPE:
        return await applying.apply_configuration(call)
    options = WriteOptions.parse(call.request.query, "PatchOptions")
    resource = call.resource
    apply = await read_patch(call, resource)
    old = call.registry.get(resource, namespace(call), call.target.name)
    new, warnings = check_patched(apply(old), old, resource, options)
    return _replaced(call, old, new, options, warnings, "PatchOptions")


def _replaced(
    call: Call, old: JSON, new: JSON, options: WriteOptions, warnings: list[str], type_name: str
) -> web.Response:
    """Store the new state, with what its writer manages now, and answer with it."""
    escalation.check(call.services.authorizer, call.user, call.resource, new, old)
    track = tracking.of_update(call, new["metadata"].get("managedFields"), type_name)
    made = call.registry.update(
        call.resource, new, subresource=call.target.subresource, dry_run=options.dry_run, track=track
    )
    return answer(call, made, 200, [*warnings, *call.kind.warnings(made, old)])


async def read_patch(call: Call, resource: Resource) -> Callable[[JSON], JSON]:
    """The patch in the request's body, as a function of the object. Raises ApiError 400 and 415."""
    media_type = body.content_type(call.request)
    data = await body.read(call.request)
    if media_type.startswith(_APPLY_PATCH):
        raise unsupported_media_type(
            f"the embedded cluster does not serve {media_type} for {resource.plural}: use {MERGE_PATCH}"
        )
    accepted = (JSON_PATCH, MERGE_PATCH) if call.resource.custom else (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)
    if media_type not in accepted:
        raise unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join((*accepted, applying.MEDIA_TYPE))
        )
    try:
        value: Any = orjson.loads(data)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"error decoding patch: {error}") from error
    check_depth(value)
    if media_type == JSON_PATCH:
        return lambda obj: patches.apply_json_patch(obj, value)
    if not isinstance(value, dict):
        raise bad_request("error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}")
    if media_type == MERGE_PATCH:
        return lambda obj: patches.apply_merge_patch(obj, value)
    return lambda obj: patches.apply_strategic_patch(obj, value, resource)


def _decoded(data: bytes, media_type: str, resource: Resource, options: WriteOptions) -> tuple[JSON, list[str]]:
    """The object of a body in its normal form, and warnings. Raises ApiError 400 and 415."""
    obj = body.decode(data, media_type, resource.kind)
    body.check_kind(obj, resource)
    raw = data if media_type in body.JSON_TYPES else None
    normal, unknown = schemas.decode(obj, resource, options.field_validation, raw)
    normal.setdefault("metadata", {})
    return schemas.without_empty(normal, resource), unknown


def check_patched(new: JSON, old: JSON, resource: Resource, options: WriteOptions) -> tuple[JSON, list[str]]:
    """The same for the result of a patch, whose errors upstream words differently. Raises ApiError 400 and 422."""
    check_depth(new)
    body.check_kind(new, resource)
    wrong = schemas.type_errors(new, resource)
    if wrong:
        raise _patch_invalid(new, wrong[0])
    normal, unknown = schemas.decode(
        new, resource, "Warn" if options.field_validation == "Strict" else options.field_validation
    )
    if unknown and options.field_validation == "Strict":
        raise _patch_invalid(new, "strict decoding error: " + ", ".join(unknown))
    metadata = normal.setdefault("metadata", {})
    for key in ("name", "namespace"):
        if metadata.get(key) != old["metadata"].get(key):
            problem = field.invalid(f"metadata.{key}", metadata.get(key, ""), "field is immutable")
            raise errors.invalid(resource, name_of(old), [problem])
    return schemas.without_empty(normal, resource), unknown


def _patch_invalid(new: JSON, why: str) -> ApiError:
    """422 without a kind: kubectl prints it as "The request is invalid: patch: Invalid value ..."."""
    problem = field.invalid("patch", orjson.dumps(new).decode(), why)
    cause = {"reason": problem.reason, "message": problem.text, "field": problem.path}
    return ApiError(422, "Invalid", f' "" is invalid: {problem}', {"causes": [cause]})
