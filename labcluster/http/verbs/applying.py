"""PATCH with a configuration: server-side apply (upstream: the applyPatcher of apiserver pkg/endpoints/handlers)."""

from __future__ import annotations

import orjson
import yaml
from aiohttp import web

from labcluster.api.errors import ApiError, bad_request, conflict, not_found
from labcluster.api.json_values import check_depth, clone
from labcluster.api.objects import JSON, annotations_of
from labcluster.auth.rbac import escalation
from labcluster.auth.rbac.attributes import Attributes
from labcluster.http.access import authorization
from labcluster.http.call import Call
from labcluster.http.messages import body, yaml_body
from labcluster.http.messages.options import WriteOptions, boolean
from labcluster.http.verbs import terminating
from labcluster.http.verbs.reading import answer, namespace
from labcluster.http.verbs.tracking import manager_of
from labcluster.schema import schemas
from labcluster.schema.managedfields.apply import LAST_APPLIED, apply
from labcluster.schema.managedfields.managers import Manager, decode, encode

MEDIA_TYPE = "application/apply-patch+yaml"
_KUBECTL = "kubectl"


async def apply_configuration(call: Call) -> web.Response:
    """Apply a configuration to an object or its status; an object that is not there is created.

    Raises ApiError 400, 404 (no object to have that status), 409 (conflicts between managers, preconditions) and 422.
    """
    options = WriteOptions.parse(call.request.query, "PatchOptions")
    manager = manager_of(call, "PatchOptions", applies=True)
    config = _decoded(call, await body.read(call.request))
    where, name, subresource = namespace(call), call.target.name, call.target.subresource
    live = call.registry.find(call.resource, where, name)
    known = decode(live["metadata"].get("managedFields")) if live is not None else {}
    if live is None:
        if subresource:
            raise not_found(call.resource, name)
        if uid := config["metadata"].get("uid"):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise conflict(call.resource, name, why)
        _check_create(call)
        terminating.refuse_creation(call)
    force = boolean(call.request.query, "force")
    merged, managers = apply(live, config, known, manager, call.resource, force=force)
    merged = schemas.without_empty(merged, call.resource)
    escalation.check(call.services.authorizer, call.user, call.resource, merged, live)

    def track(old: JSON, new: JSON) -> list[JSON]:  # who applies owns what it applied, whatever else is filled in
        return encode(managers)

    if live is None:
        made = call.registry.create(call.resource, merged, dry_run=options.dry_run, track=track)
        return answer(call, made, 201, call.kind.warnings(made))
    _renew_last_applied(merged, config, manager)
    made = call.registry.update(call.resource, merged, subresource=subresource, dry_run=options.dry_run, track=track)
    return answer(call, made, 200, call.kind.warnings(made, live))


def _check_create(call: Call) -> None:
    """Raises ApiError 403: the verb that was asked for is `patch`, but it is a `create` (withAuthorization)."""
    target = call.target
    wanted = Attributes("create", target.group, target.plural, namespace=target.namespace, name=target.name)
    authorization.check(call.services.authorizer, call.user, wanted)


def _decoded(call: Call, data: bytes) -> JSON:
    """The configuration in its normal form. Raises ApiError 400."""
    resource = call.resource
    try:
        obj = yaml_body.load(data)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise bad_request(f"error decoding YAML: {' '.join(str(error).split())}") from error
    if not isinstance(obj, dict):
        raise bad_request("error decoding YAML: the configuration must be an object")
    check_depth(obj)
    version = obj.get("apiVersion")
    if version != resource.api_version:
        raise bad_request(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {version or ''}, expected: {resource.api_version}"
        )
    body.check_kind(obj, resource)
    config, unknown = schemas.decode(obj, resource, "Warn")
    metadata = config.setdefault("metadata", {})
    if metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    if metadata.setdefault("name", call.target.name) != call.target.name:
        body.check_name(metadata, call.target.name, namespace(call))
    body.set_namespace(metadata, namespace(call))
    if unknown:
        subject = f"{namespace(call)}/{call.target.name}; {resource.api_version}, Kind={resource.kind}"
        fields = [text.removeprefix("unknown field ").strip('"') for text in unknown]
        problems = [f".{path}: field not declared in schema" for path in fields]
        listed = problems[0] if len(problems) == 1 else "errors:\n" + "\n".join(f"  {p}" for p in problems)
        raise ApiError(400, "BadRequest", f"failed to create typed patch object ({subject}): {listed}")
    return config


def _renew_last_applied(merged: JSON, config: JSON, manager: Manager) -> None:
    """Keep the annotation of client-side apply true where there is one (upstream: lastappliedupdater.go)."""
    if manager.name != _KUBECTL or LAST_APPLIED not in annotations_of(merged):
        return
    applied: JSON = clone(config)
    (applied["metadata"].get("annotations") or {}).pop(LAST_APPLIED, None)
    merged["metadata"]["annotations"][LAST_APPLIED] = orjson.dumps(applied, option=orjson.OPT_APPEND_NEWLINE).decode()
