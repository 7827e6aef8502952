"""Empties a namespace that is being deleted (pkg/controller/namespace/deletion/namespaced_resources_deleter.go).

Pods go first and gracefully; the rest follows when the last of them has gone (OrderedNamespaceDeletion). Then
the finalizer "kubernetes" is taken from spec.finalizers through the subresource finalize.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.conditions import set_condition
from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, is_terminating, name_of, namespace_of
from labcluster.api.resources import EVERYTHING, NAMESPACES, PODS, Resource
from labcluster.controllers.controller import Controller
from labcluster.storage.registry import Change, DeleteOptions

FINALIZER = "kubernetes"


class NamespaceController(Controller):
    """Keys: the namespace's name."""

    name: ClassVar[str] = "namespace"

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Namespaces, and the end of whatever is in them, custom resources too."""
        return {NAMESPACES: lambda change: [name_of(change.object)], EVERYTHING: self._emptied}

    def _emptied(self, change: Change) -> list[str]:
        if change.type != "DELETED":
            return []
        namespace = self.registry.find(NAMESPACES, "", namespace_of(change.object))
        return [name_of(namespace)] if namespace is not None and is_terminating(namespace) else []

    def reconcile(self, key: str) -> float | None:
        """Delete the content of a terminating namespace, as far as finalizers allow now."""
        namespace = self.registry.find(NAMESPACES, "", key)
        if namespace is None or not is_terminating(namespace):
            return None
        if FINALIZER not in (namespace.get("spec", {}).get("finalizers") or ()):
            return None
        others = [r for r in self.registry.served.stored() if r.namespaced and r != PODS]
        remaining = self._delete_all(key, PODS)
        if not remaining:
            remaining = [obj for resource in others for obj in self._delete_all(key, resource)]
        self._report(key, remaining)
        if not remaining:
            self._finalize(key)
        return None

    def _delete_all(self, namespace: str, resource: Resource) -> list[tuple[Resource, JSON]]:
        """Delete all objects of a resource; returns those that are still there."""
        for obj in self.registry.list(resource, namespace):
            if is_terminating(obj):
                continue
            try:
                self.registry.delete(resource, namespace, name_of(obj), DeleteOptions(propagation="Background"))
            except ApiError as error:
                if error.code != 404:
                    raise
        return [(resource, obj) for obj in self.registry.list(resource, namespace)]

    def _report(self, namespace: str, remaining: list[tuple[Resource, JSON]]) -> None:
        counts = Counter(_described(resource) for resource, _ in remaining)
        finalizers = Counter(f for _, obj in remaining for f in obj["metadata"].get("finalizers") or ())

        def change(new: JSON) -> None:
            new.setdefault("status", {})["phase"] = "Terminating"
            set_condition(
                new,
                "NamespaceDeletionDiscoveryFailure",
                "False",
                "ResourcesDiscovered",
                "All resources successfully discovered",
            )
            set_condition(
                new,
                "NamespaceDeletionGroupVersionParsingFailure",
                "False",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            )
            set_condition(
                new,
                "NamespaceDeletionContentFailure",
                "False",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            )
            _set_remaining(
                new,
                "NamespaceContentRemaining",
                ("SomeResourcesRemain", "Some resources are remaining: ", "{} has {} resource instances"),
                ("ContentRemoved", "All content successfully removed"),
                counts,
            )
            _set_remaining(
                new,
                "NamespaceFinalizersRemaining",
                (
                    "SomeFinalizersRemain",
                    "Some content in the namespace has finalizers remaining: ",
                    "{} in {} resource instances",
                ),
                ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
                finalizers,
            )

        self.registry.modify(NAMESPACES, "", namespace, change, subresource="status")

    def _finalize(self, namespace: str) -> None:
        def change(new: JSON) -> None:
            new["spec"]["finalizers"] = [f for f in new["spec"]["finalizers"] if f != FINALIZER]

        self.registry.modify(NAMESPACES, "", namespace, change, subresource="finalize")


def _described(resource: Resource) -> str:
    """A resource as the conditions name it: `pods.` for the core group, `statefulsets.apps`."""
    return f"{resource.plural}.{resource.group}"


def _set_remaining(
    namespace: JSON, kind: str, some: tuple[str, str, str], none: tuple[str, str], counts: Counter[str]
) -> None:
    if not counts:
        set_condition(namespace, kind, "False", *none)
        return
    reason, head, form = some
    details = ", ".join(form.format(name, count) for name, count in sorted(counts.items()))
    set_condition(namespace, kind, "True", reason, head + details)
