"""ServiceAccount: a name that pods run under (upstream: printers.go printServiceAccount)."""

from __future__ import annotations

from typing import Any, ClassVar

from labsupport.embedded.kinds.kind import Column, Kind
from labsupport.embedded.kinds.printing import age
from labsupport.embedded.objects import JSON
from labsupport.embedded.resources import SERVICE_ACCOUNTS, Resource


class ServiceAccountKind(Kind):
    """Nothing to default or check beyond the metadata."""

    resource: ClassVar[Resource] = SERVICE_ACCOUNTS

    columns = (Column("Name", format="name"), Column("Secrets"), Column("Age"))

    def cells(self, obj: JSON) -> list[Any]:
        """Name, number of listed secrets, age."""
        return [obj["metadata"]["name"], len(obj.get("secrets") or ()), age(obj)]
