"""The authorizer: what the roles that a user is bound to allow (upstream: plugin/pkg/auth/authorizer/rbac/rbac.go).

Upstream goes through all bindings for each request. Here they are kept by their subjects, so that a request looks at
those of its user and its groups only; the subscription to the registry keeps them current.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, name_of, namespace_of
from labcluster.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, RBAC_GROUP, ROLE_BINDINGS, ROLES, Resource
from labcluster.auth.rbac.attributes import MASTERS, Attributes, User, account_user_name
from labcluster.auth.rbac.rules import Rule, rules_of
from labcluster.storage.registry import Change, Registry

_Subject = tuple[str, str]  # "User" or "Group", and the name; a service account is the user that it is


@dataclass(frozen=True)
class Decision:
    """Whether the request is allowed, and the reason in upstream's words."""

    allowed: bool
    reason: str = ""


class Authorizer:
    """Authorizes by the roles and bindings of one registry."""

    def __init__(self, registry: Registry) -> None:
        """Read all roles and bindings, and follow them from now on."""
        self._rules: dict[tuple[Resource, str, str], tuple[Rule, ...]] = {}
        # By namespace ("" for cluster role bindings), subject and name.
        self._bindings: dict[str, dict[_Subject, dict[str, JSON]]] = {}
        for resource in (ROLES, CLUSTER_ROLES):
            registry.subscribe(resource, self._role_changed)
        for resource in (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
            registry.subscribe(resource, self._binding_changed)

    def authorize(self, user: User, wanted: Attributes) -> Decision:
        """Whether the user may do what is wanted."""
        if MASTERS in user.groups:
            return Decision(True)
        errors: list[str] = []
        for binding in self._bindings_of(user, wanted.namespace):
            try:
                rules = self.role_rules(binding["roleRef"], namespace_of(binding), _not_listed)
            except ApiError as error:
                errors.append(error.message)
                continue
            if any(rule.allows(wanted) for rule in rules):
                return Decision(True, f"RBAC: allowed by {_description(binding, user)}")
        return Decision(False, f"RBAC: {_aggregate(errors)}" if errors else "")

    def rules_for(self, user: User, namespace: str) -> tuple[list[Rule], str]:
        """The user's rules in a namespace, and the errors in resolving them ("" for none)."""
        rules: list[Rule] = []
        errors: list[str] = []
        for binding in self._bindings_of(user, namespace):
            try:
                rules += self.role_rules(binding["roleRef"], namespace_of(binding), _not_listed)
            except ApiError as error:
                errors.append(error.message)
        return rules, _aggregate(errors) if errors else ""

    def role_rules(
        self, reference: JSON, namespace: str, missing: Callable[[Resource, str], ApiError]
    ) -> tuple[Rule, ...]:
        """The rules of the role that a binding refers to. Raises what `missing` makes when there is no such role."""
        resource = CLUSTER_ROLES if reference["kind"] == "ClusterRole" else ROLES
        rules = self._rules.get((resource, namespace if resource.namespaced else "", reference["name"]))
        if rules is None:
            raise missing(resource, reference["name"])
        return rules

    def _bindings_of(self, user: User, namespace: str) -> Iterator[JSON]:
        """The bindings of all namespaces, then those of the one, each in the order of their names."""
        subjects = (("User", user.name), *(("Group", group) for group in user.groups))
        for where in ("", namespace) if namespace else ("",):
            by_subject = self._bindings.get(where)
            if not by_subject:
                continue
            by_name: dict[str, JSON] = {}
            for subject in subjects:
                by_name.update(by_subject.get(subject, {}))
            yield from (by_name[name] for name in sorted(by_name))

    def _role_changed(self, change: Change) -> None:
        key = (change.resource, namespace_of(change.object), name_of(change.object))
        if change.type == "DELETED":
            self._rules.pop(key, None)
        else:
            self._rules[key] = rules_of(change.object)

    def _binding_changed(self, change: Change) -> None:
        namespace, name = namespace_of(change.object), name_of(change.object)
        by_subject = self._bindings.setdefault(namespace, {})
        for subject in _subjects(change.old or {}, namespace):
            by_subject.get(subject, {}).pop(name, None)
            if not by_subject.get(subject):
                by_subject.pop(subject, None)
        if change.type != "DELETED":
            for subject in _subjects(change.object, namespace):
                by_subject.setdefault(subject, {})[name] = change.object
        if not by_subject:
            del self._bindings[namespace]


def _subjects(binding: JSON, namespace: str) -> Iterator[_Subject]:
    for subject in binding.get("subjects") or ():
        if subject.get("kind") != "ServiceAccount":
            yield subject.get("kind", ""), subject.get("name", "")
        elif where := subject.get("namespace") or namespace:
            yield "User", account_user_name(where, subject.get("name", ""))


def _not_listed(resource: Resource, name: str) -> ApiError:
    """The text of an informer's lister, which has the kind in the singular."""
    return ApiError(404, "NotFound", f'{resource.singular}.{RBAC_GROUP} "{name}" not found')


def _aggregate(errors: list[str]) -> str:
    """Several errors as one (apimachinery util/errors Aggregate)."""
    different = list(dict.fromkeys(errors))
    return different[0] if len(different) == 1 else f"[{', '.join(different)}]"


def _description(binding: JSON, user: User) -> str:
    """Which binding of which role to whom, in upstream's words (pkg/registry/rbac/validation/rule.go)."""
    namespace, name, reference = namespace_of(binding), name_of(binding), binding["roleRef"]
    mine = {("User", user.name), *(("Group", group) for group in user.groups)}
    subject = next(s for s in binding["subjects"] if mine & set(_subjects({"subjects": [s]}, namespace)))
    who = subject["name"]
    if subject["kind"] == "ServiceAccount":
        who = f"{who}/{subject.get('namespace') or namespace}"
    kind, where = ("RoleBinding", f"{name}/{namespace}") if namespace else ("ClusterRoleBinding", name)
    return f'{kind} "{where}" of {reference["kind"]} "{reference["name"]}" to {subject["kind"]} "{who}"'
