"""Deployments (upstream: pkg/registry/apps/deployment/strategy.go, pkg/apis/apps/{v1,validation})."""

from __future__ import annotations

from typing import Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import DEPLOYMENTS
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.pod_template import (
    CONTAINERS_COLUMN,
    DEFAULT_HISTORY_LIMIT,
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
from labcluster.kinds.values import int_or_percent, is_zero, not_above_100_percent, not_negative

DEFAULT_SHARE = "25%"  # of the pods that a rolling update may add, and of those it may take away
DEFAULT_PROGRESS_SECONDS = 600

_COUNTERS = (
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
)


class DeploymentKind(Kind):
    """A Deployment: ReplicaSets, one for each revision of its template."""

    resource = DEPLOYMENTS
    tracks_generation = True
    columns = (
        Column("Name", format="name"),
        Column("Ready", description="Number of the pods with ready state."),
        Column("Up-to-date"),
        Column("Available"),
        Column("Age"),
        CONTAINERS_COLUMN,
        IMAGES_COLUMN,
        SELECTOR_COLUMN,
    )

    def default(self, obj: JSON) -> None:
        """Fill in the defaults of a Deployment."""
        spec = default_workload(obj)
        strategy = spec["strategy"] = spec.get("strategy") or {}
        strategy["type"] = strategy.get("type") or "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
            for key in ("maxUnavailable", "maxSurge"):
                if rolling.get(key) is None:
                    rolling[key] = DEFAULT_SHARE
        if spec.get("revisionHistoryLimit") is None:
            spec["revisionHistoryLimit"] = DEFAULT_HISTORY_LIMIT
        if spec.get("progressDeadlineSeconds") is None:
            spec["progressDeadlineSeconds"] = DEFAULT_PROGRESS_SECONDS

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Start with an empty status."""
        obj["status"] = {}

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a Deployment."""
        spec = obj["spec"]
        errors = [
            *not_negative(spec, ("replicas",), "spec"),
            *validate_selector(spec, "deployment"),
            *validate_matching_template(spec, "ReplicaSet"),  # upstream says ReplicaSet for both
            *_validate_strategy(spec["strategy"], "spec.strategy"),
            *not_negative(spec, ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"), "spec"),
        ]
        deadline = spec["progressDeadlineSeconds"]
        if deadline <= (spec.get("minReadySeconds") or 0):
            text = "must be greater than minReadySeconds"
            errors.append(field.invalid("spec.progressDeadlineSeconds", deadline, text))
        return errors

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a change: the selector stays."""
        return self.validate(new) + validate_immutable_selector(new, old)

    def validate_status_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a status: no counter is negative or above `replicas`."""
        return validate_counters(new.get("status", {}), _COUNTERS, "readyReplicas")

    def cells(self, obj: JSON) -> list[Any]:
        """The row in a table of Deployments."""
        ready = f"{replicas_of(obj, 'readyReplicas')}/{replicas_of(obj, 'replicas', 'spec')}"
        counters = [replicas_of(obj, "updatedReplicas"), replicas_of(obj, "availableReplicas")]
        selector = format_selector(obj["spec"].get("selector"))
        return [obj["metadata"]["name"], ready, *counters, age(obj), *container_cells(obj), selector]


def _validate_strategy(strategy: JSON, path: str) -> list[FieldError]:
    kind, rolling = strategy["type"], strategy.get("rollingUpdate")
    if kind not in ("Recreate", "RollingUpdate"):
        return [field.not_supported(f"{path}.type", kind, ["Recreate", "RollingUpdate"])]
    if kind == "Recreate":
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [field.forbidden(f"{path}.rollingUpdate", text)] if rolling is not None else []
    path, rolling = f"{path}.rollingUpdate", strategy["rollingUpdate"]
    unavailable, surge = rolling["maxUnavailable"], rolling["maxSurge"]
    errors = int_or_percent(unavailable, f"{path}.maxUnavailable") + int_or_percent(surge, f"{path}.maxSurge")
    if is_zero(unavailable) and is_zero(surge):
        text = "may not be 0 when `maxSurge` is 0"
        errors.append(field.invalid(f"{path}.maxUnavailable", unavailable, text))
    return errors + not_above_100_percent(unavailable, f"{path}.maxUnavailable")
