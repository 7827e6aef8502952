"""Scale: how a workload's number of replicas is printed (upstream: printScale of pkg/printers/internalversion)."""

from __future__ import annotations

from typing import Any, ClassVar

from labcluster.api.objects import JSON
from labcluster.api.resources import Resource
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import age
from labcluster.kinds.scale_subresource import SCALES


class ScaleKind(Kind):
    """A workload seen as a number of replicas; it is shown, never stored."""

    resource: ClassVar[Resource] = SCALES
    columns = (Column("Name"), Column("Desired", "integer"), Column("Available", "integer"), Column("Age"))

    def cells(self, obj: JSON) -> list[Any]:
        """Name, desired, available, age."""
        return [obj["metadata"]["name"], obj["spec"]["replicas"], obj["status"]["replicas"], age(obj)]
