"""Whether a request may be served: what it wants, put to the authorizer; a refusal in upstream's words.

Upstream: apiserver pkg/endpoints/filters/authorization.go and handlers/responsewriters/errors.go.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from labcluster.api.errors import ApiError
from labcluster.api.selectors import FieldSelector
from labcluster.auth.rbac.attributes import Attributes, User
from labcluster.auth.rbac.authorizer import Authorizer
from labcluster.http.call import Target
from labcluster.kinds import formats

_HEALTH = frozenset(("healthz", "livez", "readyz"))
_PUBLIC_PATHS = _HEALTH | {"version"}
_STREAMS = frozenset(("exec", "attach", "portforward"))
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def is_public(path_parts: list[str]) -> bool:
    """Whether the path can be asked for without credentials."""
    return bool(path_parts) and path_parts[0] in _PUBLIC_PATHS


def check_target(authorizer: Authorizer, user: User, target: Target, query: Mapping[str, str]) -> None:
    """Raises ApiError 403 when the user may not do that to a resource."""
    name = target.name or _selected_name(target, query)
    wanted = Attributes(target.verb, target.group, target.plural, target.subresource, target.namespace, name)
    check(authorizer, user, wanted)
    if target.verb == "get" and target.plural == "pods" and target.subresource in _STREAMS:
        # A WebSocket begins with a GET; who may only read must not run commands by it all the same.
        check(authorizer, user, dataclasses.replace(wanted, verb="create"))


def check_path(authorizer: Authorizer, user: User, verb: str, path: str) -> None:
    """Raises ApiError 403 when the user may not read a path outside the resources. Health is for everyone."""
    if path.strip("/") not in _HEALTH:
        check(authorizer, user, Attributes(verb, path=path))


def check(authorizer: Authorizer, user: User, wanted: Attributes) -> None:
    """Raises ApiError 403 when the user may not do what these attributes say."""
    decision = authorizer.authorize(user, wanted)
    if decision.allowed:
        return
    why = _refusal(user, wanted).translate(_ESCAPED)
    if decision.reason:
        why = f"{why}: {decision.reason}"
    if wanted.path:
        raise ApiError(403, "Forbidden", f"forbidden: {why}")
    details = {"kind": wanted.resource}
    if wanted.group:
        details["group"] = wanted.group
    if wanted.name:
        details["name"] = wanted.name
    qualified = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    subject = f'{qualified} "{wanted.name}"' if wanted.name else qualified
    raise ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", details)


def _refusal(user: User, wanted: Attributes) -> str:
    if wanted.path:
        return f'User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
    resource = f"{wanted.resource}/{wanted.subresource}" if wanted.subresource else wanted.resource
    where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    return f'User "{user.name}" cannot {wanted.verb} resource "{resource}" in API group "{wanted.group}" {where}'


def _selected_name(target: Target, query: Mapping[str, str]) -> str:
    """The one name that a list or watch selects by metadata.name, so that a rule with resourceNames can allow it."""
    if target.verb not in ("list", "watch") or "fieldSelector" not in query:
        return ""
    try:
        terms = FieldSelector.parse(query["fieldSelector"]).terms
    except ApiError:
        return ""  # the list itself refuses it
    for key, equal, value in terms:
        if key == "metadata.name" and equal and not formats.path_segment(value):
            return value
    return ""
