"""Who may do what. Today: administrators everything, others what any authenticated user may. RBAC takes this place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labsupport.embedded.errors import ApiError
from labsupport.embedded.http.users import AUTHENTICATED, User

if TYPE_CHECKING:
    from labsupport.embedded.http.call import Target

ADMINISTRATORS = frozenset(("system:masters", "kubeadm:cluster-admins"))
_PUBLIC_PATHS = frozenset(("version", "healthz", "livez", "readyz"))
_DISCOVERY_PATHS = frozenset(("api", "apis", "openapi"))
_SELF_REVIEWS = frozenset(
    (("authentication.k8s.io", "selfsubjectreviews"), ("authorization.k8s.io", "selfsubjectaccessreviews"))
)


@dataclass(frozen=True)
class Attributes:
    """What a request wants to do, as an authorizer sees it. `path` is set for non-resource requests only."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


def authorize(user: User, attributes: Attributes) -> bool:
    """Whether the user may."""
    if not ADMINISTRATORS.isdisjoint(user.groups):
        return True
    if attributes.path:
        first = attributes.path.strip("/").partition("/")[0]
        return first in _PUBLIC_PATHS or (first in _DISCOVERY_PATHS and AUTHENTICATED in user.groups)
    return AUTHENTICATED in user.groups and (attributes.group, attributes.resource) in _SELF_REVIEWS


def is_public(path_parts: list[str]) -> bool:
    """Whether the path is served without credentials."""
    return bool(path_parts) and path_parts[0] in _PUBLIC_PATHS


def check_target(user: User, target: Target) -> None:
    """Raises ApiError 403 when the user may not do that to a resource."""
    attributes = Attributes(target.verb, target.group, target.plural, target.subresource, target.namespace, target.name)
    if authorize(user, attributes):
        return
    resource = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
    qualified = f"{target.plural}.{target.group}" if target.group else target.plural
    subject = f'{qualified} "{target.name}"' if target.name else qualified
    where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    message = (
        f'{subject} is forbidden: User "{user.name}" cannot {target.verb} resource "{resource}" '
        f'in API group "{target.group}" {where}'
    )
    details = {"kind": target.plural}
    if target.group:
        details["group"] = target.group
    if target.name:
        details["name"] = target.name
    raise ApiError(403, "Forbidden", message, details)


def check_path(user: User, verb: str, path: str) -> None:
    """Raises ApiError 403 when the user may not read a path outside the resources."""
    if not authorize(user, Attributes(verb, path=path)):
        raise ApiError(403, "Forbidden", f'forbidden: User "{user.name}" cannot {verb} path "{path}"')
