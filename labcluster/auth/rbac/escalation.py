"""Privilege escalation prevention: nobody grants rights in a role or binding that they do not have.

Upstream: the policybased storages below pkg/registry/rbac, with escalation_check.go and validation/rule.go.
"""

from __future__ import annotations

from labcluster.api.errors import forbidden, not_found
from labcluster.api.objects import JSON, namespace_of
from labcluster.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, RBAC_GROUP, ROLE_BINDINGS, ROLES, Resource
from labcluster.auth.rbac.attributes import MASTERS, Attributes, User
from labcluster.auth.rbac.authorizer import Authorizer
from labcluster.auth.rbac.rules import ALL, Rule, compact, quoted, rules_of, uncovered

_ROLES, _BINDINGS = (ROLES, CLUSTER_ROLES), (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS)
_EVERYTHING = (Rule((ALL,), (ALL,), (ALL,)), Rule((ALL,), paths=(ALL,)))


def check(authorizer: Authorizer, user: User, resource: Resource, new: JSON, old: JSON | None) -> None:
    """Raises ApiError 403 when the write would give rights that the user does not have, 404 without such a role.

    `old` is None for a new object. Other resources pass.
    """
    if resource not in (*_ROLES, *_BINDINGS) or MASTERS in user.groups:
        return
    if old is not None and _without_garbage_fields(new) == _without_garbage_fields(old):
        return
    if resource in _ROLES:
        _check_role(authorizer, user, resource, new, old)
    else:
        _check_binding(authorizer, user, resource, new)


def _check_role(authorizer: Authorizer, user: User, resource: Resource, new: JSON, old: JSON | None) -> None:
    namespace, name = namespace_of(new), new["metadata"].get("name", "")
    # A create names no object yet, so a rule with resourceNames does not allow it.
    escalate = Attributes(
        "escalate", RBAC_GROUP, resource.plural, namespace=namespace, name=name if old is not None else ""
    )
    if authorizer.authorize(user, escalate).allowed:
        return
    _confirm(authorizer, user, namespace, rules_of(new), resource, name)
    if any(((role or {}).get("aggregationRule") or {}).get("clusterRoleSelectors") for role in (new, old)):
        owned, _ = authorizer.rules_for(user, namespace)
        if uncovered(owned, _EVERYTHING):
            raise forbidden(resource, name, "must have cluster-admin privileges to use the aggregationRule")


def _check_binding(authorizer: Authorizer, user: User, resource: Resource, new: JSON) -> None:
    namespace, reference = namespace_of(new), new.get("roleRef") or {}
    roles = {"Role": ROLES, "ClusterRole": CLUSTER_ROLES}.get(reference.get("kind", ""))
    if roles is None or not reference.get("name") or (roles == ROLES and not namespace):
        return  # refused by its validation
    bind = Attributes("bind", RBAC_GROUP, roles.plural, namespace=namespace, name=reference["name"])
    if authorizer.authorize(user, bind).allowed:
        return
    rules = authorizer.role_rules(reference, namespace, not_found)
    _confirm(authorizer, user, namespace, rules, resource, new["metadata"].get("name", ""))


def _confirm(
    authorizer: Authorizer, user: User, namespace: str, rules: tuple[Rule, ...], resource: Resource, name: str
) -> None:
    """Raises ApiError 403 unless the user's own rules there cover these (ConfirmNoEscalation)."""
    owned, errors = authorizer.rules_for(user, namespace)
    missing = uncovered(owned, rules)
    if not missing:
        return
    lines = "\n".join(sorted({str(rule) for rule in compact(missing)}))
    why = (
        f'user "{user.name}" (groups={quoted(user.groups)}) is attempting to grant RBAC permissions '
        f"not currently held:\n{lines}"
    )
    raise forbidden(resource, name, f"{why}; resolution errors: [{errors}]" if errors else why)


def _without_garbage_fields(obj: JSON) -> JSON:
    """The object without the fields that garbage collection changes (IsOnlyMutatingGCFields)."""
    dropped = ("ownerReferences", "finalizers", "resourceVersion", "managedFields")
    metadata = {key: value for key, value in obj["metadata"].items() if key not in dropped}
    return {**obj, "metadata": metadata}
