"""GET of one object and of lists, in chunks that belong to one moment."""

from __future__ import annotations

import base64
import bisect

import orjson
from aiohttp import web

from labcluster.api.errors import ApiError, bad_request, expired, too_large_resource_version
from labcluster.api.objects import JSON, name_of, namespace_of
from labcluster.http.call import Call
from labcluster.http.messages import representation
from labcluster.http.messages.negotiation import Form, negotiate
from labcluster.http.messages.options import EXACT, ListOptions, revision_of
from labcluster.http.messages.responses import deprecations, json_response
from labcluster.http.messages.selection import matcher

_TOKEN_VERSION = "meta.k8s.io/v1"
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You must start a new list without the continue parameter."
)


def answer(call: Call, obj: JSON, code: int = 200, warnings: list[str] | None = None) -> web.Response:
    """One object in the form that the client accepts."""
    query = call.request.query
    form = negotiate(call.request.headers.get("Accept", ""))
    if form.shown_as:
        include = representation.include_object_of(query.get("includeObject"))
        obj = representation.show(obj, call.kind, form, include)
    return _encoded(call, obj, form, code, [*deprecations(call.resource), *(warnings or ())])


async def get(call: Call) -> web.Response:
    """One object."""
    wanted = revision_of(call.request.query.get("resourceVersion", ""))
    if wanted > call.registry.revision:
        raise too_large_resource_version(wanted, call.registry.revision)
    return answer(call, call.registry.get(call.resource, namespace(call), call.target.name))


async def list_objects(call: Call) -> web.Response:
    """The objects of a namespace or of all, selected, perhaps a chunk of them."""
    query = call.request.query
    options = ListOptions.parse(query, watching=False)
    form = negotiate(call.request.headers.get("Accept", ""))
    include = representation.include_object_of(query.get("includeObject"))
    selected = matcher(call.kind, options)
    items, revision = _items(call, options)
    if selected is not None:
        items = [item for item in items if selected(item)]
    metadata: JSON = {"resourceVersion": str(revision)}
    if 0 < options.limit < len(items):
        remaining = len(items) - options.limit
        items = items[: options.limit]
        metadata["continue"] = _token(revision, items[-1])
        if selected is None:
            metadata["remainingItemCount"] = remaining
    shown = representation.show_list(items, call.kind, metadata, form, include)
    return _encoded(call, shown, form, 200, deprecations(call.resource))


def namespace(call: Call) -> str:
    """The namespace for the registry: "" for cluster-scoped resources (a Namespace too)."""
    return call.target.namespace if call.resource.namespaced else ""


def _items(call: Call, options: ListOptions) -> tuple[list[JSON], int]:
    """The objects before selection, and the resourceVersion that they are of."""
    registry, where = call.registry, namespace(call)
    if options.continue_token:
        revision, last = _read_token(options.continue_token)
        try:
            items = registry.list_at(call.resource, where, revision)
        except ApiError as error:
            raise expired(_TOO_OLD) if error.code == 410 else error from error
        return items[bisect.bisect_right(items, last, key=_position) :], revision
    wanted = options.revision
    if wanted > registry.revision:
        raise too_large_resource_version(wanted, registry.revision)
    if options.resource_version_match == EXACT and wanted < registry.revision:
        try:
            return registry.list_at(call.resource, where, wanted), wanted
        except ApiError as error:
            raise expired("The resourceVersion for the provided list is too old.") from error
    return registry.list(call.resource, where), registry.revision


def _position(obj: JSON) -> tuple[str, str]:
    return namespace_of(obj), name_of(obj)


def _token(revision: int, last: JSON) -> str:
    value = {"v": _TOKEN_VERSION, "rv": revision, "start": _position(last)}
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


def _read_token(token: str) -> tuple[int, tuple[str, str]]:
    """The resourceVersion and the last position of a continue token. Raises ApiError 400."""
    try:
        value = orjson.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        last_namespace, last_name = value["start"]
        if value["v"] != _TOKEN_VERSION:
            raise ValueError("unknown version")
        return int(value["rv"]), (str(last_namespace), str(last_name))
    except (ValueError, TypeError, KeyError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error


def _encoded(call: Call, value: JSON, form: Form, code: int, warnings: list[str]) -> web.Response:
    pretty = call.request.query.get("pretty", "") in ("1", "true")
    return json_response(value, code, warnings=warnings, pretty=pretty, yaml_form=form.is_yaml)
