"""What a rule allows, and whether some rules cover others.

Upstream: pkg/apis/rbac/v1/evaluation_helpers.go, component-helpers/auth/rbac/validation/policy_comparator.go and
pkg/registry/rbac/validation/policy_compact.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labcluster.api.objects import JSON
from labcluster.auth.rbac.attributes import Attributes

ALL = "*"


@dataclass(frozen=True)
class Rule:
    """A rbac.authorization.k8s.io PolicyRule."""

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @classmethod
    def of(cls, rule: JSON) -> Rule:
        """The rule of a role."""
        keys = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        return cls(*(tuple(rule.get(key) or ()) for key in keys))

    def allows(self, wanted: Attributes) -> bool:
        """Whether a request with these attributes is one of those that the rule is about."""
        if wanted.verb not in self.verbs and ALL not in self.verbs:
            return False
        if wanted.path:
            return any(_covers_path(path, wanted.path) for path in self.paths)
        return (
            (wanted.group in self.groups or ALL in self.groups)
            and self._is_about(wanted.resource, wanted.subresource)
            and (not self.names or wanted.name in self.names)
        )

    def _is_about(self, resource: str, subresource: str) -> bool:
        if ALL in self.resources:
            return True
        if not subresource:
            return resource in self.resources
        return f"{resource}/{subresource}" in self.resources or f"{ALL}/{subresource}" in self.resources

    def covers(self, part: Rule) -> bool:
        """Whether all that `part`, one of the pieces of a rule, allows is allowed here too."""
        return (
            (ALL in self.verbs or set(part.verbs) <= set(self.verbs))
            and (ALL in self.groups or set(part.groups) <= set(self.groups))
            and (ALL in self.resources or all(self._has(resource) for resource in part.resources))
            and all(any(_covers_path(own, path) for own in self.paths) for path in part.paths)
            and (not self.names or (bool(part.names) and set(part.names) <= set(self.names)))
        )

    def _has(self, resource: str) -> bool:
        _, slash, subresource = resource.partition("/")
        return resource in self.resources or (bool(slash) and f"{ALL}/{subresource}" in self.resources)

    def pieces(self) -> list[Rule]:
        """The same as rules of one verb and one resource, with at most one name, or of one verb and one path."""
        names: list[tuple[str, ...]] = [(name,) for name in self.names] or [()]
        return [
            Rule((verb,), (group,), (resource,), name)
            for group in self.groups
            for resource in self.resources
            for verb in self.verbs
            for name in names
        ] + [Rule((verb,), paths=(path,)) for path in self.paths for verb in self.verbs]

    def __str__(self) -> str:
        """As upstream prints it in an error: {APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}."""
        parts = {
            "APIGroups": self.groups,
            "Resources": self.resources,
            "NonResourceURLs": self.paths,
            "ResourceNames": self.names,
            "Verbs": self.verbs,
        }
        return "{" + ", ".join(f"{key}:{quoted(values)}" for key, values in parts.items() if values) + "}"


def rules_of(role: JSON) -> tuple[Rule, ...]:
    """The rules of a Role or ClusterRole."""
    return tuple(Rule.of(rule) for rule in role.get("rules") or ())


def uncovered(owned: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The pieces of the wanted rules that none of the owned ones covers."""
    pieces = [piece for rule in wanted for piece in rule.pieces()]
    return [piece for piece in pieces if not any(rule.covers(piece) for rule in owned)]


def compact(pieces: Iterable[Rule]) -> list[Rule]:
    """The same rules with the verbs for one resource together."""
    verbs: dict[Rule, list[str]] = {}
    others: list[Rule] = []
    for piece in pieces:
        if piece.names or piece.paths:
            others.append(piece)
        else:
            verbs.setdefault(Rule(groups=piece.groups, resources=piece.resources), []).extend(piece.verbs)
    return others + [Rule(tuple(allowed), rule.groups, rule.resources) for rule, allowed in verbs.items()]


def quoted(values: Iterable[str]) -> str:
    """Strings as Go's %q prints a slice of them."""
    return "[" + " ".join(json.dumps(value, ensure_ascii=False) for value in values) + "]"


def _covers_path(own: str, path: str) -> bool:
    """Whether a rule's path, which may end in `*`, is that path or one above it."""
    return own == path or (own.endswith(ALL) and path.startswith(own.rstrip(ALL)))
