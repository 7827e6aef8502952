"""Gives every namespace its ServiceAccount `default` (pkg/controller/serviceaccount/serviceaccounts_controller.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.objects import is_terminating, name_of, namespace_of
from labcluster.api.resources import NAMESPACES, SERVICE_ACCOUNTS, Resource
from labcluster.controllers.controller import Controller
from labcluster.storage.registry import Change

DEFAULT = "default"


class ServiceAccountController(Controller):
    """Keys: the namespace's name."""

    name: ClassVar[str] = "serviceaccount"

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Namespaces, and accounts that were deleted."""
        return {
            NAMESPACES: lambda change: [name_of(change.object)],
            SERVICE_ACCOUNTS: lambda change: [namespace_of(change.object)] if change.type == "DELETED" else [],
        }

    def reconcile(self, key: str) -> float | None:
        """Create the account if it is missing."""
        namespace = self.registry.find(NAMESPACES, "", key)
        if namespace is None or is_terminating(namespace):
            return None
        if self.registry.find(SERVICE_ACCOUNTS, key, DEFAULT) is None:
            self.registry.create(SERVICE_ACCOUNTS, {"metadata": {"namespace": key, "name": DEFAULT}})
        return None
