"""Publishes the cluster's CA to every namespace (pkg/controller/certificates/rootcacertpublisher)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.objects import JSON, is_terminating, name_of, namespace_of
from labcluster.api.resources import CONFIG_MAPS, NAMESPACES, Resource
from labcluster.controllers.controller import Controller
from labcluster.storage.registry import Change, Registry

CONFIG_MAP = "kube-root-ca.crt"


class RootCAController(Controller):
    """Keys: the namespace's name."""

    name: ClassVar[str] = "root-ca-certificate-publisher"

    def __init__(self, registry: Registry, certificate: str) -> None:
        """`certificate` is the CA's certificate, PEM."""
        super().__init__(registry)
        self._data = {"ca.crt": certificate}

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Namespaces, and the published ConfigMaps themselves."""
        return {NAMESPACES: lambda change: [name_of(change.object)], CONFIG_MAPS: self._published}

    @staticmethod
    def _published(change: Change) -> list[str]:
        return [namespace_of(change.object)] if name_of(change.object) == CONFIG_MAP else []

    def reconcile(self, key: str) -> float | None:
        """Create or repair the ConfigMap."""
        namespace = self.registry.find(NAMESPACES, "", key)
        if namespace is None or is_terminating(namespace):
            return None
        published = self.registry.find(CONFIG_MAPS, key, CONFIG_MAP)
        if published is None:
            metadata = {"namespace": key, "name": CONFIG_MAP}
            self.registry.create(CONFIG_MAPS, {"metadata": metadata, "data": dict(self._data)})
        elif published.get("data") != self._data:
            self.registry.modify(CONFIG_MAPS, key, CONFIG_MAP, self._repair)
        return None

    def _repair(self, config_map: JSON) -> None:
        config_map["data"] = dict(self._data)
