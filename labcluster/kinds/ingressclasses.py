"""IngressClass: which controller serves an Ingress (upstream: pkg/apis/networking, defaultingressclass admission)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON, annotations_of
from labcluster.api.resources import INGRESS_CLASSES, Resource
from labcluster.kinds import formats
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import NONE, age
from labcluster.kinds.values import formatted

DEFAULT_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
MAX_CONTROLLER = 250  # bytes
SCOPES = ("Cluster", "Namespace")


class IngressClassKind(Kind):
    """A name for a controller, with parameters that only it reads."""

    resource: ClassVar[Resource] = INGRESS_CLASSES
    tracks_generation: ClassVar[bool] = True
    columns = (Column("Name", format="name"), Column("Controller"), Column("Parameters"), Column("Age"))

    def default(self, obj: JSON) -> None:
        """Parameters are in no namespace unless they say so."""
        parameters = obj.setdefault("spec", {}).get("parameters")
        if parameters is not None:
            parameters.setdefault("scope", "Cluster")

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of the controller's name and the reference to its parameters (ValidateIngressClass)."""
        spec = obj.get("spec") or {}
        path, controller = "spec.controller", spec.get("controller", "")
        errors: list[FieldError] = []
        if not controller:
            errors.append(field.required(path))
        else:
            if len(controller.encode()) > MAX_CONTROLLER:
                errors.append(field.too_long(path, MAX_CONTROLLER))
            errors += formatted(controller, formats.domain_prefixed_path(controller), path)
        if (parameters := spec.get("parameters")) is not None:
            errors += _parameter_errors(parameters, "spec.parameters")
        return errors

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """The controller never changes."""
        after, before = new["spec"].get("controller"), old["spec"].get("controller")
        errors = [] if after == before else [field.invalid("spec.controller", after, "field is immutable")]
        return errors + self.validate(new)

    def cells(self, obj: JSON) -> list[Any]:
        """Name, controller, parameters, age."""
        spec = obj.get("spec") or {}
        shown = NONE
        if parameters := spec.get("parameters"):
            group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
            shown = f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"
        return [obj["metadata"]["name"], spec.get("controller", ""), shown, age(obj)]


def default_class(classes: Iterable[JSON]) -> str | None:
    """The class for an Ingress that names none: the newest of those marked as default, by name among equals."""
    marked = [c for c in classes if annotations_of(c).get(DEFAULT_ANNOTATION) == "true"]
    marked.sort(key=lambda c: str(c["metadata"]["name"]))
    marked.sort(key=lambda c: str(c["metadata"]["creationTimestamp"]), reverse=True)
    return str(marked[0]["metadata"]["name"]) if marked else None


def typed_reference_errors(reference: JSON, path: str) -> list[FieldError]:
    """Errors of a reference to an object of any kind in the same namespace."""
    errors: list[FieldError] = []
    if (group := reference.get("apiGroup")) is not None:
        errors += formatted(group, formats.subdomain(group), f"{path}.apiGroup")
    for key in ("kind", "name"):
        if value := reference.get(key):
            errors += formatted(value, formats.path_segment(value), f"{path}.{key}")
        else:
            errors.append(field.required(f"{path}.{key}"))
    return errors


def _parameter_errors(parameters: JSON, path: str) -> list[FieldError]:
    """Errors of the reference to parameters (validateIngressClassParametersReference)."""
    errors = typed_reference_errors(parameters, path)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        errors.append(field.required(f"{path}.scope"))
    elif scope not in SCOPES:
        errors.append(field.not_supported(f"{path}.scope", scope, list(SCOPES)))
    elif scope == "Cluster" and namespace is not None:
        errors.append(field.forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))
    elif scope == "Namespace" and namespace is None:
        errors.append(field.required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'"))
    elif scope == "Namespace":
        errors += formatted(namespace, formats.label(str(namespace)), f"{path}.namespace")
    return errors
