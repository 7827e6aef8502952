"""GET of componentstatuses: whether the components of the control plane are healthy. They are computed, never stored.

Upstream: pkg/registry/core/componentstatus and printComponentStatus of pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from typing import Any, ClassVar

from aiohttp import web

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON
from labcluster.api.resources import COMPONENT_STATUSES, Resource
from labcluster.http.call import Services, Target, no_such_method, no_such_resource
from labcluster.http.messages import representation
from labcluster.http.messages.negotiation import negotiate
from labcluster.http.messages.options import ListOptions
from labcluster.http.messages.responses import deprecations, json_response
from labcluster.http.messages.selection import matcher
from labcluster.kinds.kind import Column, Kind

_STORE = "etcd-0"


class ComponentStatusKind(Kind):
    """A component of the control plane."""

    resource: ClassVar[Resource] = COMPONENT_STATUSES
    columns = (Column("Name", format="name"), Column("Status"), Column("Message"), Column("Error"))

    def cells(self, obj: JSON) -> list[Any]:
        """Name, status, message, error."""
        (healthy,) = obj["conditions"]
        status = "Healthy" if healthy["status"] == "True" else "Unhealthy"
        return [obj["metadata"]["name"], status, healthy.get("message", ""), healthy.get("error", "")]


def is_asked_for(target: Target) -> bool:
    """Whether a request is about component statuses."""
    return (target.group, target.version, target.plural) == ("", "v1", COMPONENT_STATUSES.plural)


def answer(services: Services, request: web.Request, target: Target) -> web.Response:
    """One of them or all. Raises ApiError 404, 405, and 400 for a selector that makes no sense."""
    if target.namespace or target.subresource:
        raise no_such_resource()
    if target.verb not in COMPONENT_STATUSES.verbs:
        raise no_such_method()
    kind = ComponentStatusKind()
    form = negotiate(request.headers.get("Accept", ""))
    include = representation.include_object_of(request.query.get("includeObject"))
    statuses = _statuses(services)
    if target.verb == "get":
        if target.name not in statuses:
            raise ApiError(500, "", f"Component not found: {target.name}")
        shown = statuses[target.name]
        shown = representation.show(shown, kind, form, include) if form.shown_as else shown
    else:
        selected = matcher(kind, ListOptions.parse(request.query, watching=False))
        items = [status for status in statuses.values() if selected is None or selected(status)]
        shown = representation.show_list(items, kind, {}, form, include)
    return json_response(shown, warnings=deprecations(COMPONENT_STATUSES), yaml_form=form.is_yaml)


def _statuses(services: Services) -> dict[str, JSON]:
    problems = {name: "" if runs() else "has stopped" for name, runs in services.components.items()}
    problems[_STORE] = services.registry.store_problem()
    return {name: _status(name, problem) for name, problem in sorted(problems.items())}


def _status(name: str, problem: str) -> JSON:
    healthy: JSON = {"type": "Healthy", "status": "False" if problem else "True"}
    healthy |= {"error": problem} if problem else {"message": "ok"}
    return {
        "apiVersion": COMPONENT_STATUSES.api_version,
        "kind": COMPONENT_STATUSES.kind,
        "metadata": {"name": name},
        "conditions": [healthy],
    }
