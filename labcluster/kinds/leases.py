"""Lease: who holds it and for how long (upstream: pkg/apis/coordination/validation, printers.go printLease)."""

from __future__ import annotations

from typing import Any, ClassVar

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import LEASES, Resource
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import age
from labcluster.kinds.values import NOT_NEGATIVE


class LeaseKind(Kind):
    """A lock with a holder and an end; also a node's heartbeat."""

    resource: ClassVar[Resource] = LEASES

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of the numbers and of an empty holder (ValidateLeaseSpec)."""
        spec = obj.get("spec") or {}
        errors: list[FieldError] = []
        duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if duration is not None and duration <= 0:
            errors.append(field.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        if transitions is not None and transitions < 0:
            errors.append(field.invalid("spec.leaseTransitions", transitions, NOT_NEGATIVE))
        return errors

    columns = (Column("Name", format="name"), Column("Holder"), Column("Age"))

    def cells(self, obj: JSON) -> list[Any]:
        """Name, holder, age."""
        return [obj["metadata"]["name"], (obj.get("spec") or {}).get("holderIdentity") or "", age(obj)]
