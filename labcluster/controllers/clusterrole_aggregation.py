"""Gathers the rules of aggregated ClusterRoles (pkg/controller/clusterroleaggregation)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, labels_of, name_of
from labcluster.api.resources import CLUSTER_ROLES, Resource
from labcluster.api.selectors import LabelSelector
from labcluster.controllers.controller import Controller
from labcluster.storage.registry import Change


class ClusterRoleAggregationController(Controller):
    """Keys: the name of a role with an aggregationRule."""

    name: ClassVar[str] = "clusterrole-aggregation-controller"

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """A change of any role may concern each aggregated one: they are few."""
        return {CLUSTER_ROLES: self._aggregated}

    def _aggregated(self, change: Change) -> list[str]:
        return [name_of(role) for role in self.registry.list(CLUSTER_ROLES) if role.get("aggregationRule")]

    def reconcile(self, key: str) -> float | None:
        """Set the rules to those of all selected roles, in the order of their names."""
        role = self.registry.find(CLUSTER_ROLES, "", key)
        if role is None or not role.get("aggregationRule"):
            return None
        rules: list[JSON] = []
        for wanted in role["aggregationRule"].get("clusterRoleSelectors") or ():
            selector = LabelSelector.from_object(wanted)
            for other in self.registry.list(CLUSTER_ROLES):
                if name_of(other) != key and selector.matches(labels_of(other)):
                    rules += [rule for rule in other.get("rules") or () if rule not in rules]
        if rules != (role.get("rules") or []):
            self.registry.modify(CLUSTER_ROLES, "", key, lambda new: new.update(rules=clone(rules)))
        return None
