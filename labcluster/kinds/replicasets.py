"""ReplicaSets (upstream: pkg/registry/apps/replicaset/strategy.go, pkg/apis/apps/validation/validation.go)."""

from __future__ import annotations

from typing import Any

from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import REPLICA_SETS
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.pod_template import (
    CONTAINERS_COLUMN,
    IMAGES_COLUMN,
    SELECTOR_COLUMN,
    container_cells,
    default_workload,
    validate_counters,
    validate_immutable_selector,
    validate_matching_template,
    validate_selector,
)
from labcluster.kinds.printing import age, format_selector, replicas_of
from labcluster.kinds.reading import Reader
from labcluster.kinds.values import not_negative

_COUNTERS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")


class ReplicaSetKind(Kind):
    """A ReplicaSet: so many pods of one template."""

    resource = REPLICA_SETS
    tracks_generation = True
    columns = (
        Column("Name", format="name"),
        Column("Desired", "integer"),
        Column("Current", "integer"),
        Column("Ready", "integer"),
        Column("Age"),
        CONTAINERS_COLUMN,
        IMAGES_COLUMN,
        SELECTOR_COLUMN,
    )

    def default(self, obj: JSON) -> None:
        """Fill in the defaults of a ReplicaSet."""
        default_workload(obj)

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Start with the status that is stored first."""
        obj["status"] = {"replicas": 0}

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a ReplicaSet."""
        spec = obj["spec"]
        return [
            *not_negative(spec, ("replicas", "minReadySeconds"), "spec"),
            *validate_selector(spec, "deployment"),  # upstream names the wrong kind here
            *validate_matching_template(spec, "ReplicaSet"),
        ]

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a change: the selector stays."""
        return self.validate(new) + validate_immutable_selector(new, old)

    def validate_status_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a status: no counter is negative or above `replicas`."""
        return validate_counters(new.get("status", {}), _COUNTERS, "readyReplicas")

    def fields(self, obj: JSON) -> dict[str, str]:
        """What `--field-selector` may name."""
        return {"status.replicas": str(replicas_of(obj, "replicas"))}

    def cells(self, obj: JSON) -> list[Any]:
        """The row in a table of ReplicaSets."""
        return [
            obj["metadata"]["name"],
            replicas_of(obj, "replicas", "spec"),
            replicas_of(obj, "replicas"),
            replicas_of(obj, "readyReplicas"),
            age(obj),
            *container_cells(obj),
            format_selector(obj["spec"].get("selector")),
        ]
