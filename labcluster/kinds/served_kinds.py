"""The kinds of what is served: the built-in ones, and those that CustomResourceDefinitions bring, version by version.

Upstream: the crdHandler of apiextensions-apiserver pkg/apiserver/customresource_handler.go.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from labcluster.api.conditions import is_condition_true
from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, name_of
from labcluster.api.resources import BUILT_IN, Resource, ServedResources
from labcluster.kinds.customresourcedefinitions import ESTABLISHED, storage_versions
from labcluster.kinds.customresources import CustomResourceKind, versions_of
from labcluster.kinds.kind import Kind

log = logging.getLogger(__name__)

_KIND_NAMES = ("kind", "listKind", "singular")


class ServedKinds:
    """Which kind a resource is of, and in which version its objects are stored."""

    def __init__(self, kinds: Mapping[Resource, Kind]) -> None:
        self.resources = ServedResources()
        self._stored: dict[Resource, Kind] = dict(kinds)
        self._versions: dict[Resource, dict[str, CustomResourceKind]] = {}  # of each custom resource
        self._broken: dict[str, tuple[JSON, str]] = {}  # by a definition's name: the spec that failed, and why

    def kind(self, resource: Resource) -> Kind:
        """The behaviour of the resource's kind, for custom resources in that version. Raises ApiError 404."""
        if not resource.custom:
            return self._stored[resource]
        kind = self._versions[resource].get(resource.version)
        if kind is None:  # it went while a request was on its way
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        return kind

    def stored(self, resource: Resource) -> Kind:
        """The same in the version in which the objects are stored."""
        return self._stored[resource]

    def follow(self, old: JSON | None, crd: JSON | None) -> Resource | None:
        """Serve what a CustomResourceDefinition brings, once it is established; `old` is what it was before, if it was.

        Returns the resource whose stored objects have to follow, None when they stay as they are. A definition that
        was stored and cannot be served, whatever the reason, is logged and remembered: it must not stop a start.
        """
        try:
            return self._follow(_established(old), _established(crd))
        except Exception as error:
            assert crd is not None
            log.exception("the CustomResourceDefinition %s cannot be served", name_of(crd))
            self._broken[name_of(crd)] = crd.get("spec") or {}, f"{type(error).__name__}: {error}"
            self._withdraw(name_of(crd))
            return None

    def why_not(self, crd: JSON) -> str:
        """Why what a definition says cannot be served; "" unless that has been tried."""
        spec, why = self._broken.get(name_of(crd), ({}, ""))
        return why if spec == crd.get("spec") else ""

    def _withdraw(self, name: str) -> None:
        served = self.resources.named(name)
        if served is not None and served.custom:
            self.resources.withdraw(served)

    def _follow(self, old: JSON | None, crd: JSON | None) -> Resource | None:
        if crd is None:
            if old is not None:
                self._withdraw(name_of(old))
            return None
        if _serve_alike(old, crd):
            return None
        kinds = versions_of(crd)
        kind = kinds[storage_versions(crd)[0]]
        resource = kind.resource
        if resource in BUILT_IN:
            return None  # what is built in comes first
        self._versions[resource] = kinds
        self._stored[resource] = kind
        shown = [version["name"] for version in crd["spec"]["versions"] if version["served"]]
        self.resources.replace(resource, [kinds[name].resource for name in shown])
        return resource


def in_version(resource: Resource, obj: JSON) -> JSON:
    """A stored object in the version of the resource: conversion strategy None, so only its apiVersion differs."""
    if not resource.custom or obj["apiVersion"] == resource.api_version:
        return obj
    return {**obj, "apiVersion": resource.api_version}


def _established(crd: JSON | None) -> JSON | None:
    """The definition, if it is established. A status that lacks the names, as any client may write one, is not."""
    if crd is None or not is_condition_true(crd, ESTABLISHED):
        return None
    accepted = crd["status"].get("acceptedNames") or {}
    complete = accepted.get("plural") == crd["spec"]["names"]["plural"] and all(map(accepted.get, _KIND_NAMES))
    return crd if complete else None


def _serve_alike(old: JSON | None, new: JSON | None) -> bool:
    """Whether two states of an established definition serve the same."""
    if old is None or new is None:
        return False
    return bool(old["spec"] == new["spec"] and old["status"]["acceptedNames"] == new["status"]["acceptedNames"])
