"""ControllerRevisions (upstream: pkg/registry/apps/controllerrevision/strategy.go)."""

from __future__ import annotations

from typing import Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.owners import controller_of
from labcluster.api.resources import CONTROLLER_REVISIONS
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.metadata import IMMUTABLE
from labcluster.kinds.printing import NONE, age
from labcluster.kinds.values import not_negative


class ControllerRevisionKind(Kind):
    """A ControllerRevision: a template as it once was. Its data never changes, its number may."""

    resource = CONTROLLER_REVISIONS
    columns = (
        Column("Name", format="name"),
        Column("Controller", description="Controller of the object."),
        Column("Revision", description="The number of the state that Data stands for."),
        Column("Age"),
    )

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a ControllerRevision."""
        missing = [] if obj.get("data") is not None else [field.required("data", "data is mandatory")]
        revision = {"revision": obj.get("revision") or 0}
        return missing + [field.FieldError("revision", e.reason, e.text) for e in not_negative(revision, revision, "")]

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a change: the data stays."""
        errors = self.validate(new)
        if new.get("data") != old.get("data"):
            errors.append(field.invalid("data", new.get("data"), IMMUTABLE))
        return errors

    def cells(self, obj: JSON) -> list[Any]:
        """The row in a table of ControllerRevisions."""
        owner = controller_of(obj)
        controller = NONE
        if owner is not None:
            group = owner["apiVersion"].partition("/")[0] if "/" in owner["apiVersion"] else ""
            kind = owner["kind"].lower() + (f".{group}" if group else "")
            controller = f"{kind}/{owner['name']}"
        return [obj["metadata"]["name"], controller, obj.get("revision") or 0, age(obj)]
