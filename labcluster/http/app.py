"""The API server: every request comes in here, is understood, authenticated, authorised and handed on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from labcluster import settings
from labcluster.api.errors import ApiError, not_implemented, unauthorized
from labcluster.api.pod_runtime import PodRuntime
from labcluster.api.resources import COMPONENT_STATUSES, NODES, PODS, REVIEWS, Resource
from labcluster.auth.pki import Pki
from labcluster.auth.rbac.attributes import ANONYMOUS, User
from labcluster.auth.rbac.authorizer import Authorizer
from labcluster.http.about import component_statuses, discovery, documents, health, not_served
from labcluster.http.access import impersonation, reviews
from labcluster.http.access.authorization import check_path, check_target, is_public
from labcluster.http.access.users import authenticate
from labcluster.http.call import Call, Services, Target, no_such_method, no_such_resource, parse_target, segments
from labcluster.http.messages import body
from labcluster.http.messages.options import boolean
from labcluster.http.messages.responses import error_response, internal_error, json_response
from labcluster.http.streams import portforward, remotecommand
from labcluster.http.subresources import binding, eviction, finalize, logs, proxying, scale, token
from labcluster.http.verbs import deleting, reading, watching, writing
from labcluster.storage.registry import Registry

Handler = Callable[[Call], Awaitable[web.StreamResponse]]

SERVICES: web.AppKey[Services] = web.AppKey("services", Services)

log = logging.getLogger(__name__)

_VERBS: dict[str, Handler] = {
    "get": reading.get,
    "list": reading.list_objects,
    "watch": watching.watch,
    "create": writing.create,
    "update": writing.update,
    "patch": writing.patch,
    "delete": deleting.delete,
    "deletecollection": deleting.delete_collection,
}
# Resources that are questions: each of their verbs is answered by looking.
_NOT_STORED: dict[Resource, dict[str, Handler]] = {
    COMPONENT_STATUSES: {"get": component_statuses.get, "list": component_statuses.list_all},
    **{review: {"create": reviews.create} for review in REVIEWS},
}
_SUBRESOURCES: dict[str, dict[str, Handler]] = {
    "status": {"get": reading.get, "update": writing.update, "patch": writing.patch},
    "ephemeralcontainers": {"get": reading.get, "update": writing.update, "patch": writing.patch},
    "scale": {
        "get": scale.read,
        "update": scale.update,
        "patch": scale.patch,
    },
    "binding": {"create": binding.bind},
    "finalize": {"update": finalize.update},
    "eviction": {"create": eviction.evict},
    "token": {"create": token.create},
    "log": {"get": logs.logs},
    "exec": {"get": remotecommand.run, "create": remotecommand.run},
    "attach": {"get": remotecommand.attach, "create": remotecommand.attach},
    "portforward": {"get": portforward.forward, "create": portforward.forward},
    "proxy": dict.fromkeys(("get", "create", "update", "patch", "delete"), proxying.forward),
}
# What real clusters serve and this one does not, said by name instead of by a bare 404.
_NOT_SERVED = {
    (PODS, "resize"): "resizing pods in place",
    (NODES, "proxy"): "the API of the kubelets",
}


def create_app(
    registry: Registry,
    runtime: PodRuntime,
    pki: Pki,
    *,
    is_ready: Callable[[], bool] = lambda: True,
    components: Mapping[str, Callable[[], bool]] | None = None,
) -> web.Application:
    """The API server as an application.

    `is_ready` decides what /readyz answers, `components` (name and whether it runs) what componentstatuses does.
    """
    app = web.Application(client_max_size=body.LIMIT)
    app[SERVICES] = Services(registry, runtime, pki, Authorizer(registry), is_ready, components or {})
    app.router.add_route("*", "/{path:.*}", _handle)
    app.on_shutdown.append(_end_streams)
    return app


async def _end_streams(app: web.Application) -> None:
    for close in tuple(app[SERVICES].closers):
        close()


async def _handle(request: web.Request) -> web.StreamResponse:
    try:
        return await _dispatch(request, request.app[SERVICES])
    except ApiError as error:
        return error_response(error)
    except RecursionError:
        return error_response(ApiError(400, "BadRequest", "the object provided is nested too deeply"))
    except (asyncio.CancelledError, ConnectionError):
        raise
    except web.HTTPException as error:
        return error_response(ApiError(error.status, "BadRequest", error.reason))
    except Exception as error:
        log.exception("%s %s", request.method, request.path_qs)
        return error_response(internal_error(error))


async def _dispatch(request: web.Request, services: Services) -> web.StreamResponse:
    parts = segments(request.raw_path)
    authenticated = authenticate(request, services.registry, services.pki)
    if authenticated is None and not is_public(parts):
        raise unauthorized()
    user = impersonation.acting_user(request.headers, authenticated or ANONYMOUS, services.authorizer)
    query = request.query
    watching_wanted = bool(query) and boolean(query, "watch")
    target = parse_target(request.method, parts, services.registry.served, watching=watching_wanted)
    if target is None or authenticated is None:
        return _outside_resources(request, services, parts, user)
    check_target(services.authorizer, user, target, query)
    if target.resource is None:
        raise not_served.not_found(target.group, target.plural)
    return await _handler(target, target.resource)(Call(services, request, target, user, target.resource))


def _handler(target: Target, resource: Resource) -> Handler:
    """What answers a request on a resource. Raises ApiError 404, 405 and 501."""
    subresource = target.subresource
    if not subresource:
        if target.verb not in resource.verbs or (target.verb == "create" and target.name):
            raise no_such_method()
        return _NOT_STORED.get(resource, _VERBS)[target.verb]
    if what := _NOT_SERVED.get((resource, subresource.partition("/")[0])):
        raise not_implemented(what)
    if subresource not in resource.subresources:
        raise no_such_resource()
    handler = _SUBRESOURCES.get(subresource, {}).get(target.verb)
    if handler is None:
        raise no_such_method()
    return handler


def _outside_resources(request: web.Request, services: Services, parts: list[str], user: User) -> web.Response:
    """Answer what is no resource: discovery, documents, health, version."""
    if request.method not in ("GET", "HEAD"):
        raise no_such_method()
    check_path(services.authorizer, user, "get", "/" + "/".join(parts))
    match parts:
        case ["healthz" | "livez" | "readyz" as endpoint, *check]:
            return health.answer(services, request.query, endpoint, "/".join(check))
        case ["version"]:
            return json_response(documents.version(settings.KUBERNETES_VERSION))
        case ["openapi", "v3", *where]:
            return documents.openapi(where, services.registry.served)
        case ["openapi", "v2"]:
            return documents.openapi_v2()
        case ["api" | "apis", *_]:
            return discovery.discover(request, parts, services.registry.served)
        case []:
            return json_response(documents.paths(services.registry.served, health.paths(services)))
    raise no_such_resource()
