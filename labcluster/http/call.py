"""One request, understood: which verb on which resource, and who asks.

Upstream: apiserver pkg/endpoints/request/requestinfo.go.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from aiohttp import web

from labcluster.api import resources
from labcluster.api.errors import ApiError
from labcluster.api.pod_runtime import PodRuntime
from labcluster.api.resources import Resource, ServedResources
from labcluster.auth.pki import Pki
from labcluster.auth.rbac.attributes import User
from labcluster.auth.rbac.authorizer import Authorizer
from labcluster.kinds.kind import Kind
from labcluster.storage.registry import Registry

_COLLECTION_VERBS = {"GET": "list", "HEAD": "list", "POST": "create", "DELETE": "deletecollection"}
_OBJECT_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


@dataclass
class Services:
    """What the handlers work with."""

    registry: Registry
    runtime: PodRuntime
    pki: Pki
    authorizer: Authorizer
    is_ready: Callable[[], bool]
    # The other components of a control plane, by name, and whether each of them runs.
    components: Mapping[str, Callable[[], bool]]
    # Streams that last (watches, logs, exec): each is called when the server stops, to end in good order.
    closers: set[Callable[[], object]] = field(default_factory=set)
    # Encoded watch events by revision, type, API version and generation of what is served, the newest few: many
    # watchers see the same ones.
    event_lines: OrderedDict[tuple[int, str, str, int], bytes] = field(default_factory=OrderedDict)


@dataclass(frozen=True, slots=True)
class Target:
    """What a path and method name. `resource` is None when no such resource is served."""

    verb: str
    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    resource: Resource | None = None


@dataclass(slots=True)
class Call:
    """A request on a resource that is served, made by an authenticated user."""

    services: Services
    request: web.Request
    target: Target
    user: User
    resource: Resource

    @property
    def registry(self) -> Registry:
        """The objects."""
        return self.services.registry

    @property
    def kind(self) -> Kind:
        """The behaviour of the resource's kind."""
        return self.services.registry.kind(self.resource)


def no_such_resource() -> ApiError:
    """404: nothing is served at that path."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def no_such_method() -> ApiError:
    """405: the path is served, but not with that verb."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def segments(raw_path: str) -> list[str]:
    """The decoded segments of a raw path, without its query and without empty ends."""
    path = raw_path.partition("?")[0].strip("/")
    if not path:
        return []
    return [unquote(part) if "%" in part else part for part in path.split("/")]


def parse_target(method: str, parts: list[str], served: ServedResources, *, watching: bool) -> Target | None:
    """The target of a path below /api/<version>/ or /apis/<group>/<version>/; None for any other path."""
    match parts:
        case ["api", version, *rest] if rest:
            group = ""
        case ["apis", group, version, *rest] if rest:
            pass
        case _:
            return None
    namespace, within = "", False  # a namespace is itself what its own path names; other objects are within one
    if rest[0] == "namespaces" and not group and len(rest) >= 2:
        namespace = rest[1]
        within = len(rest) > 2 and rest[2] not in resources.NAMESPACES.subresources
        if within:
            rest = rest[2:]
    elif rest[0] == "namespaces" and len(rest) > 2:
        namespace, within, rest = rest[1], True, rest[2:]
    plural, name = rest[0], rest[1] if len(rest) > 1 else ""
    # Below a proxy everything is the other server's own path; elsewhere it makes a subresource that nobody serves.
    subresource = "proxy" if rest[2:3] == ["proxy"] else "/".join(rest[2:])
    verbs = _OBJECT_VERBS if name else _COLLECTION_VERBS
    verb = verbs.get(method, "")
    if watching and verb in ("get", "list") and not subresource:
        verb = "watch"
    resource = served.find(group, version, plural)
    if resource is not None and name and "get" not in resource.verbs:
        resource = None  # a review has no name
    if resource is not None and resource.namespaced != (within and bool(namespace)):
        if not resource.namespaced or name or "list" not in resource.verbs:
            resource = None
        elif verb not in ("list", "watch"):
            verb = ""  # a create or delete in all namespaces: the path is there, the verb is not
    return Target(verb, group, version, plural, namespace, name, subresource, resource)
