"""What the registry asks of a kind: defaults, admission, validation, table columns. One subclass for each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from labcluster.api.field import FieldError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.api.resources import Resource
from labcluster.kinds.printing import age
from labcluster.kinds.reading import Reader
from labcluster.kinds.scale_subresource import WORKLOAD, ScalePaths, apply_scale

_FIXED_METADATA = (  # no client changes it
    "uid",
    "creationTimestamp",
    "generation",
    "generateName",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "resourceVersion",
    "managedFields",
)


@dataclass(frozen=True)
class Column:
    """A column of the Table that kubectl prints. priority > 0 shows with `-o wide` only."""

    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


class Kind:
    """The behaviour of one kind in the registry. The order on create is: default, prepare_create, validate.

    On update: merged, default, prepare_update, validate_subresource_update. A write of status only is merged,
    and goes through default_status and validate_status_update.
    """

    resource: ClassVar[Resource]
    # Whether metadata.generation starts at 1 and moves with every change outside metadata and status.
    tracks_generation: ClassVar[bool] = False
    # Whether a DELETE that says nothing of dependents leaves them (of what is served, Jobs only: batch/v1 always did).
    orphans_by_default: ClassVar[bool] = False
    # Whether a creation may bring a status, although a subresource writes it later.
    created_with_status: ClassVar[bool] = False
    # The subresources that write status: what they leave alone needs no defaults, and generation stays.
    status_subresources: ClassVar[tuple[str, ...]] = ("status",)
    # Whether an object that is deleted at once is marked as being deleted first, for those who watch.
    is_marked_before_removal: ClassVar[bool] = False
    # Where the scale subresource finds its numbers.
    scale_paths: ScalePaths = WORKLOAD

    def default(self, obj: JSON) -> None:
        """Fill in the defaults of the API version, in place."""

    def default_status(self, obj: JSON) -> None:
        """Fill in the defaults that concern a write of status, in place."""

    def merged(self, given: JSON, old: JSON, subresource: str) -> JSON:
        """The object after a write through a subresource; "" is the object itself. It shares no part with `given`.

        What the subresource may touch comes from `given`, which is what its clients send: an object of this kind, or
        a Scale. The rest comes from `old`. Raises ApiError 422 for a Scale that cannot be.
        """
        if subresource == "scale":
            return apply_scale(old, given, self.scale_paths)
        if subresource == "status":
            new: JSON = clone({**old, "status": given["status"]} if "status" in given else old)
            return new
        resource = self.resource
        new = {**given, "apiVersion": resource.api_version, "kind": resource.kind}
        if "status" in resource.subresources:
            if "status" in old:
                new["status"] = old["status"]
            else:
                new.pop("status", None)
        new = clone(new)
        before, after = old["metadata"], new["metadata"]
        for fixed in _FIXED_METADATA:
            if fixed in before:
                after[fixed] = before[fixed]
            else:
                after.pop(fixed, None)
        return new

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Admission and allocation before validation, in place (initial status, finalizers, addresses)."""

    def prepare_update(self, new: JSON, old: JSON, reader: Reader) -> None:
        """Carry over what an update may leave out (clusterIP ...), in place."""

    def refuses_deletion(self, name: str) -> str:
        """Why an object may never be deleted by a client; "" if it may."""
        return ""

    def prepare_delete(self, obj: JSON) -> None:
        """What the first DELETE adds to an object that is marked as being deleted, in place (finalizers ...)."""

    def is_held(self, obj: JSON) -> bool:
        """Whether something other than metadata.finalizers keeps an object that is being deleted."""
        return False

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a complete object."""
        return []

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a change; by default those of the new object."""
        return self.validate(new)

    def validate_subresource_update(self, new: JSON, old: JSON, subresource: str) -> list[FieldError]:
        """Errors of a change through a subresource, or through none ("")."""
        if subresource in self.status_subresources:
            return self.validate_status_update(new, old)
        return self.validate_update(new, old)

    def validate_status_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a write of status."""
        return []

    def grace_seconds(self, obj: JSON, wanted: int | None) -> int:
        """Seconds between the DELETE and the object's end; 0 deletes at once. `wanted` is the caller's."""
        return 0

    def warnings(self, obj: JSON, old: JSON | None = None) -> list[str]:
        """Warning texts for the HTTP Warning header of a write (deprecations). `old` is what an update replaces."""
        return []

    def fields(self, obj: JSON) -> dict[str, str]:
        """The fields that a fieldSelector may name, beyond metadata.name and metadata.namespace."""
        return {}

    columns: ClassVar[Sequence[Column]] = (Column("Name", format="name"), Column("Age"))

    def cells(self, obj: JSON) -> list[Any]:
        """The values of the columns, wide ones included, in their order."""
        return [obj["metadata"]["name"], age(obj)]
