"""StatefulSets (upstream: pkg/registry/apps/statefulset/strategy.go, pkg/apis/apps/{v1,validation})."""

from __future__ import annotations

from typing import Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import STATEFUL_SETS
from labcluster.kinds import formats
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.persistentvolumeclaims import default_spec, validate_spec
from labcluster.kinds.pod_template import (
    CONTAINERS_COLUMN,
    DEFAULT_HISTORY_LIMIT,
    IMAGES_COLUMN,
    container_cells,
    default_workload,
    validate_counters,
    validate_matching_template,
    validate_selector,
)
from labcluster.kinds.printing import age, replicas_of
from labcluster.kinds.reading import Reader
from labcluster.kinds.values import formatted, not_negative, one_of

CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_FIXED = (
    "updates to statefulset spec for fields other than "
    + ", ".join(f"'{name}'" for name in CHANGEABLE[:-1])
    + f" and '{CHANGEABLE[-1]}' are forbidden"
)
_POLICIES = ("OrderedReady", "Parallel")
_STRATEGIES = ("RollingUpdate", "OnDelete")
_COUNTERS = (
    "replicas",
    "readyReplicas",
    "currentReplicas",
    "updatedReplicas",
    "availableReplicas",
    "observedGeneration",
    "collisionCount",
)


class StatefulSetKind(Kind):
    """A StatefulSet: pods with names that stay, each with claims of its own."""

    resource = STATEFUL_SETS
    tracks_generation = True
    columns = (
        Column("Name", format="name"),
        Column("Ready", description="Number of the pods with ready state."),
        Column("Age"),
        CONTAINERS_COLUMN,
        IMAGES_COLUMN,
    )

    def default(self, obj: JSON) -> None:
        """Fill in the defaults of a StatefulSet."""
        spec = default_workload(obj)
        spec["podManagementPolicy"] = spec.get("podManagementPolicy") or "OrderedReady"
        strategy = spec["updateStrategy"] = spec.get("updateStrategy") or {}
        strategy["type"] = strategy.get("type") or "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy["rollingUpdate"] = strategy.get("rollingUpdate") or {}
            rolling["partition"] = rolling.get("partition") or 0
        if rolling := strategy.get("rollingUpdate"):
            rolling.pop("maxUnavailable", None)  # dropped without a word while its feature gate is off (it is in 1.36)
        retention = spec["persistentVolumeClaimRetentionPolicy"] = (
            spec.get("persistentVolumeClaimRetentionPolicy") or {}
        )
        for key in ("whenDeleted", "whenScaled"):
            retention[key] = retention.get(key) or "Retain"
        if spec.get("revisionHistoryLimit") is None:
            spec["revisionHistoryLimit"] = DEFAULT_HISTORY_LIMIT
        for claim in spec.get("volumeClaimTemplates") or ():
            _default_claim(claim)

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Start with the status that is stored first."""
        obj["status"] = {"replicas": 0, "availableReplicas": 0}

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a StatefulSet."""
        spec = obj["spec"]
        claims = spec.get("volumeClaimTemplates") or []
        errors: list[FieldError] = []
        if (policy := spec["podManagementPolicy"]) not in _POLICIES:
            text = "must be 'OrderedReady' or 'Parallel'"
            errors.append(field.invalid("spec.podManagementPolicy", policy, text))
        errors += _validate_strategy(spec["updateStrategy"], "spec.updateStrategy")
        for key, value in spec["persistentVolumeClaimRetentionPolicy"].items():
            errors += one_of(value, ("Retain", "Delete"), f"spec.persistentVolumeClaimRetentionPolicy.{key}")
        for index, claim in enumerate(claims):
            errors += validate_spec(claim["spec"], f"spec.volumeClaimTemplates[{index}].spec")
        errors += not_negative(spec, ("replicas", "minReadySeconds"), "spec")
        errors += not_negative(spec.get("ordinals") or {}, ("start",), "spec.ordinals")
        if service := spec.get("serviceName"):
            errors += formatted(service, formats.label(service), "spec.serviceName")
        errors += validate_selector(spec, "statefulset")
        volumes = [claim["metadata"].get("name", "") for claim in claims]
        return errors + validate_matching_template(spec, "StatefulSet", claims=volumes)

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a change: only some fields of the spec may move."""
        after, before = ({k: v for k, v in o["spec"].items() if k not in CHANGEABLE} for o in (new, old))
        return self.validate(new) + ([field.forbidden("spec", _FIXED)] if after != before else [])

    def validate_status_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a status: no counter is negative or above `replicas`, collisions never become fewer."""
        status = new.get("status", {})
        errors = validate_counters(status, _COUNTERS, "status.readyReplicas")
        collisions = status.get("collisionCount") or 0
        if collisions < (old.get("status", {}).get("collisionCount") or 0):
            errors.append(field.invalid("status.collisionCount", collisions, "cannot be decremented"))
        return errors

    def cells(self, obj: JSON) -> list[Any]:
        """The row in a table of StatefulSets."""
        ready = f"{replicas_of(obj, 'readyReplicas')}/{replicas_of(obj, 'replicas', 'spec')}"
        return [obj["metadata"]["name"], ready, age(obj), *container_cells(obj)]


def _default_claim(claim: JSON) -> None:
    """A claim template as it is stored: a whole PersistentVolumeClaim that is Pending for ever."""
    claim["kind"], claim["apiVersion"] = "PersistentVolumeClaim", "v1"
    claim["metadata"] = metadata = claim.get("metadata") or {}
    metadata.pop("creationTimestamp", None)
    claim["spec"] = claim.get("spec") or {}
    default_spec(claim["spec"])
    status = claim["status"] = claim.get("status") or {}
    status["phase"] = status.get("phase") or "Pending"


def _validate_strategy(strategy: JSON, path: str) -> list[FieldError]:
    kind, rolling = strategy["type"], strategy.get("rollingUpdate")
    if kind not in _STRATEGIES:
        # Upstream prints its internal type here, whose fields are in upper case.
        value = {"Type": kind, "RollingUpdate": _internal(rolling)}
        return [field.invalid(path, value, "must be 'RollingUpdate' or 'OnDelete'")]
    if kind == "RollingUpdate":
        return not_negative(strategy["rollingUpdate"], ("partition",), f"{path}.rollingUpdate")
    if rolling is not None:
        text = "only allowed for updateStrategy 'RollingUpdate'"
        return [field.invalid(f"{path}.rollingUpdate", _internal(rolling), text)]
    return []


def _internal(rolling: JSON | None) -> JSON | None:
    if rolling is None:
        return None
    return {"Partition": rolling.get("partition") or 0, "MaxUnavailable": rolling.get("maxUnavailable")}
