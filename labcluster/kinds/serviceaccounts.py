"""ServiceAccount: a name that pods run under (upstream: printers.go printServiceAccount)."""

from __future__ import annotations

from typing import Any, ClassVar

from labcluster.api.objects import JSON
from labcluster.api.resources import SERVICE_ACCOUNTS, Resource
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import age


class ServiceAccountKind(Kind):
    """Nothing to default or check beyond the metadata."""

    resource: ClassVar[Resource] = SERVICE_ACCOUNTS

    columns = (Column("Name", format="name"), Column("Secrets"), Column("Age"))

    def cells(self, obj: JSON) -> list[Any]:
        """Name, number of listed secrets, age."""
        return [obj["metadata"]["name"], len(obj.get("secrets") or ()), age(obj)]
