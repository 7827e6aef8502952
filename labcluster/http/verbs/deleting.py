"""DELETE of one object and of a whole selection (upstream: apiserver pkg/endpoints/handlers/delete.go)."""

from __future__ import annotations

from aiohttp import web

from labcluster.api import resources
from labcluster.api.errors import ApiError, forbidden
from labcluster.api.objects import JSON, uid_of
from labcluster.http.call import Call
from labcluster.http.messages import body, representation
from labcluster.http.messages.negotiation import negotiate
from labcluster.http.messages.options import ListOptions, delete_options
from labcluster.http.messages.responses import deprecations, json_response, success
from labcluster.http.messages.selection import matcher
from labcluster.http.verbs.reading import answer, namespace
from labcluster.storage.registry import DeleteOptions

# Where upstream's storage has ReturnDeletedObject: the answer is the object even when it is gone.
_RETURNS_OBJECT = frozenset(
    (
        resources.PODS,
        resources.SERVICES,
        resources.SERVICE_ACCOUNTS,
        resources.PERSISTENT_VOLUMES,
        resources.PERSISTENT_VOLUME_CLAIMS,
        resources.STORAGE_CLASSES,
    )
)


_ORPHANS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them "
    "or set propagationPolicy=Orphan to suppress this warning"
)


async def delete(call: Call) -> web.Response:
    """Delete an object: the answer is the object while something holds it, else a Status. Raises ApiError 403."""
    options = await _options(call)
    where, name = namespace(call), call.target.name
    if why := call.kind.refuses_deletion(name):
        raise forbidden(call.resource, name, why)
    last = call.registry.delete(call.resource, where, name, options)
    held = call.registry.find(call.resource, where, name)
    still_there = held is not None and uid_of(held) == uid_of(last) and not options.dry_run
    warnings = [_ORPHANS] if call.kind.orphans_by_default and options.propagation is None else []
    if still_there or call.resource in _RETURNS_OBJECT:
        return answer(call, last, warnings=warnings)
    details: JSON = {"name": name, "kind": call.resource.plural, "uid": uid_of(last)}
    if call.resource.group:
        details["group"] = call.resource.group
    return json_response(success(details), warnings=[*deprecations(call.resource), *warnings])


async def delete_collection(call: Call) -> web.Response:
    """Delete every selected object; the answer is the list of them."""
    selection = ListOptions.parse(call.request.query, watching=False)
    options = await _options(call)
    selected = matcher(call.kind, selection)
    deleted = []
    for item in call.registry.list(call.resource, namespace(call)):
        if selected is not None and not selected(item):
            continue
        try:
            name = item["metadata"]["name"]
            last = call.registry.delete(call.resource, item["metadata"].get("namespace", ""), name, options)
        except ApiError as error:
            if error.code != 404:
                raise
            continue  # a deletion before it took this one along
        deleted.append(last)
    form = negotiate(call.request.headers.get("Accept", ""))
    include = representation.include_object_of(call.request.query.get("includeObject"))
    metadata = {"resourceVersion": str(call.registry.revision)}
    shown = representation.show_list(deleted, call.kind, metadata, form, include)
    return json_response(shown, warnings=deprecations(call.resource), yaml_form=form.is_yaml)


async def _options(call: Call) -> DeleteOptions:
    data = await body.read(call.request)
    given = body.decode(data, body.content_type(call.request), "DeleteOptions") if data.strip() else None
    return delete_options(call.request.query, given)
