"""DaemonSets (upstream: pkg/registry/apps/daemonset/strategy.go, pkg/apis/apps/{v1,validation})."""

from __future__ import annotations

from typing import Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON, annotations_of
from labcluster.api.resources import DAEMON_SETS
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.pod_defaults import default_template
from labcluster.kinds.pod_template import (
    CONTAINERS_COLUMN,
    DEFAULT_HISTORY_LIMIT,
    IMAGES_COLUMN,
    SELECTOR_COLUMN,
    container_cells,
    validate_immutable_selector,
    validate_matching_template,
    validate_selector,
)
from labcluster.kinds.printing import age, format_labels, format_selector, replicas_of
from labcluster.kinds.reading import Reader
from labcluster.kinds.values import int_or_percent, is_zero, not_above_100_percent, not_negative

# What used to be a field counts the changes of the template. Nothing depends on it; kubectl describe shows it.
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
ALWAYS_WRITTEN = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
_COUNTERS = (
    *ALWAYS_WRITTEN,
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
)


class DaemonSetKind(Kind):
    """A DaemonSet: one pod on each node that its template admits."""

    resource = DAEMON_SETS
    tracks_generation = True
    columns = (
        Column("Name", format="name"),
        Column("Desired", "integer"),
        Column("Current", "integer"),
        Column("Ready", "integer"),
        Column("Up-to-date", "integer"),
        Column("Available", "integer"),
        Column("Node Selector"),
        Column("Age"),
        CONTAINERS_COLUMN,
        IMAGES_COLUMN,
        SELECTOR_COLUMN,
    )

    def default(self, obj: JSON) -> None:
        """Fill in the defaults of a DaemonSet."""
        spec: JSON = obj.get("spec") or {}
        obj["spec"] = spec
        default_template(spec)
        strategy = spec["updateStrategy"] = spec.get("updateStrategy") or {}
        strategy["type"] = strategy.get("type") or "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
            for key, value in (("maxUnavailable", 1), ("maxSurge", 0)):
                if rolling.get(key) is None:
                    rolling[key] = value
        if spec.get("revisionHistoryLimit") is None:
            spec["revisionHistoryLimit"] = DEFAULT_HISTORY_LIMIT

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Start with the status that is stored first, and with the template's first generation."""
        obj["status"] = dict.fromkeys(ALWAYS_WRITTEN, 0)
        _set_template_generation(obj, max(template_generation(obj), 1))

    def prepare_update(self, new: JSON, old: JSON, reader: Reader) -> None:
        """Count a change of the template."""
        changed = new["spec"].get("template") != old["spec"].get("template")
        _set_template_generation(new, template_generation(old) + changed)

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a DaemonSet. That the selector is missing shows in that it does not match the template."""
        spec = obj["spec"]
        errors = validate_selector(spec, "daemonset") if spec.get("selector") is not None else []
        errors += validate_matching_template(spec, "DaemonSet")
        errors += not_negative(spec, ("minReadySeconds",), "spec")
        errors += _validate_strategy(spec["updateStrategy"], "spec.updateStrategy")
        return errors + not_negative(spec, ("revisionHistoryLimit",), "spec")

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a change: the selector stays."""
        return self.validate(new) + validate_immutable_selector(new, old)

    def validate_status_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a status: no counter is negative, collisions never become fewer."""
        status = new.get("status") or {}
        errors = not_negative(status, _COUNTERS, "status")
        collisions = status.get("collisionCount") or 0
        if collisions < ((old.get("status") or {}).get("collisionCount") or 0):
            errors.append(field.invalid("status.collisionCount", collisions, "cannot be decremented"))
        return errors

    def cells(self, obj: JSON) -> list[Any]:
        """The row in a table of DaemonSets."""
        counters = (
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "numberReady",
            "updatedNumberScheduled",
            "numberAvailable",
        )
        node_selector = ((obj["spec"].get("template") or {}).get("spec") or {}).get("nodeSelector")
        return [
            obj["metadata"]["name"],
            *(replicas_of(obj, key) for key in counters),
            format_labels(node_selector),
            age(obj),
            *container_cells(obj),
            format_selector(obj["spec"].get("selector")),
        ]


def template_generation(daemon_set: JSON) -> int:
    """How often the template has changed, beginning with 1; 0 where it does not say, or not in digits."""
    text = annotations_of(daemon_set).get(TEMPLATE_GENERATION, "")
    return int(text) if text.isdecimal() else 0


def _set_template_generation(daemon_set: JSON, generation: int) -> None:
    metadata = daemon_set["metadata"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), TEMPLATE_GENERATION: str(generation)}


def _validate_strategy(strategy: JSON, path: str) -> list[FieldError]:
    kind, rolling = strategy["type"], strategy.get("rollingUpdate")
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        # Upstream prints its internal type here, whose fields are in upper case.
        internal = rolling and {"MaxUnavailable": rolling.get("maxUnavailable"), "MaxSurge": rolling.get("maxSurge")}
        value = {"Type": kind, "RollingUpdate": internal}
        return [field.not_supported(path, value, ["RollingUpdate", "OnDelete"])]
    path, rolling = f"{path}.rollingUpdate", strategy["rollingUpdate"]
    unavailable, surge = rolling["maxUnavailable"], rolling["maxSurge"]
    errors = int_or_percent(unavailable, f"{path}.maxUnavailable") + int_or_percent(surge, f"{path}.maxSurge")
    errors += not_above_100_percent(unavailable, f"{path}.maxUnavailable")
    errors += not_above_100_percent(surge, f"{path}.maxSurge")
    if not is_zero(unavailable) and not is_zero(surge):
        errors.append(field.invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    elif is_zero(unavailable) and is_zero(surge):
        errors.append(field.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return errors
