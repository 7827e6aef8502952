"""Namespace: finalizers of its spec, its own label (upstream: pkg/registry/core/namespace)."""

from __future__ import annotations

from typing import Any, ClassVar

from labcluster.api import errors, field
from labcluster.api.field import FieldError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, is_terminating
from labcluster.api.resources import NAMESPACES, Resource
from labcluster.kinds import formats
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import age
from labcluster.kinds.reading import Reader

FINALIZER = "kubernetes"
NAME_LABEL = "kubernetes.io/metadata.name"
IMMORTAL = frozenset(("default", "kube-system", "kube-public"))  # admission/plugin/namespace/lifecycle


class NamespaceKind(Kind):
    """A namespace lives until its content is gone: `spec.finalizers` hold it, the finalize subresource empties them."""

    resource: ClassVar[Resource] = NAMESPACES

    def default(self, obj: JSON) -> None:
        """Label the namespace with its name, for selectors."""
        if name := obj["metadata"].get("name"):
            labels = obj["metadata"].get("labels") or {}
            obj["metadata"]["labels"] = {**labels, NAME_LABEL: name}

    def merged(self, given: JSON, old: JSON, subresource: str) -> JSON:
        """The finalize subresource touches the finalizers of the spec."""
        if subresource != "finalize":
            return super().merged(given, old, subresource)
        new: JSON = clone(old)
        new["spec"] = {**new.get("spec", {}), "finalizers": list((given.get("spec") or {}).get("finalizers") or ())}
        return new

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Start Active, held by the namespace controller's finalizer."""
        spec = obj["spec"] = obj.get("spec") or {}
        finalizers = spec.get("finalizers") or []
        spec["finalizers"] = finalizers if FINALIZER in finalizers else [*finalizers, FINALIZER]
        obj["status"] = {"phase": "Active"}

    def prepare_update(self, new: JSON, old: JSON, reader: Reader) -> None:
        """Keep the finalizers of the spec; only the end of the namespace takes them away, none is ever added."""
        before = old.get("spec", {}).get("finalizers") or []
        spec = new["spec"] = new.get("spec") or {}
        if is_terminating(old):
            spec["finalizers"] = [f for f in spec.get("finalizers") or [] if f in before]
        else:
            spec["finalizers"] = list(before)

    def refuses_deletion(self, name: str) -> str:
        """The cluster's own namespaces stay."""
        return "this namespace may not be deleted" if name in IMMORTAL else ""

    def prepare_delete(self, obj: JSON) -> None:
        """From now on the namespace is Terminating."""
        obj["status"] = {**obj.get("status", {}), "phase": "Terminating"}

    def is_held(self, obj: JSON) -> bool:
        """The finalizers of the spec hold it until its content is gone."""
        return bool(obj.get("spec", {}).get("finalizers"))

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of the finalizers' names."""
        finalizers = obj.get("spec", {}).get("finalizers") or []
        return [field.invalid("spec.finalizers", f, text) for f in finalizers for text in formats.qualified_name(f)]

    def fields(self, obj: JSON) -> dict[str, str]:
        """`status.phase` and, as upstream has it, `name`."""
        return {"name": obj["metadata"].get("name", ""), "status.phase": obj.get("status", {}).get("phase", "")}

    columns = (Column("Name", format="name"), Column("Status"), Column("Age"))

    def cells(self, obj: JSON) -> list[Any]:
        """Name, phase, age."""
        return [obj["metadata"]["name"], obj.get("status", {}).get("phase", ""), age(obj)]


def check_lifecycle(resource: Resource, metadata: JSON, reader: Reader) -> None:
    """The NamespaceLifecycle admission plugin: new objects need a namespace that is there and stays.

    Raises ApiError 403 and 404.
    """
    if not resource.namespaced:
        return
    name = metadata.get("namespace") or ""
    namespace = reader.find(NAMESPACES, "", name)
    if namespace is None:
        raise errors.not_found(NAMESPACES, name)
    if is_terminating(namespace):
        why = f"unable to create new content in namespace {name} because it is being terminated"
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {name} is being terminated",
            "field": "metadata.namespace",
        }
        raise errors.forbidden(resource, metadata.get("name", ""), why, causes=[cause])
