"""GET of componentstatuses: whether the components of the control plane are healthy. They are computed, never stored.

Upstream: pkg/registry/core/componentstatus and printComponentStatus of pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from typing import Any, ClassVar

from aiohttp import web

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON
from labcluster.api.resources import COMPONENT_STATUSES, Resource
from labcluster.http.call import Call, Services
from labcluster.http.messages import representation
from labcluster.http.messages.negotiation import Form, negotiate
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


_KIND = ComponentStatusKind()


async def get(call: Call) -> web.Response:
    """One of them. Raises ApiError 500, as upstream does, for one that is not there."""
    form, include = _wanted(call)
    status = _statuses(call.services).get(call.target.name)
    if status is None:
        raise ApiError(500, "", f"Component not found: {call.target.name}")
    return _answer(representation.show(status, _KIND, form, include) if form.shown_as else status, form)


async def list_all(call: Call) -> web.Response:
    """All of them, selected. Raises ApiError 400 for a selector that makes no sense."""
    form, include = _wanted(call)
    statuses = _statuses(call.services).values()
    selected = matcher(_KIND, ListOptions.parse(call.request.query, watching=False))
    items = [status for status in statuses if selected is None or selected(status)]
    return _answer(representation.show_list(items, _KIND, {}, form, include), form)


def _wanted(call: Call) -> tuple[Form, str]:
    """The form of the answer, and what of the objects a Table includes."""
    include = representation.include_object_of(call.request.query.get("includeObject"))
    return negotiate(call.request.headers.get("Accept", "")), include


def _answer(shown: JSON, form: Form) -> web.Response:
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
