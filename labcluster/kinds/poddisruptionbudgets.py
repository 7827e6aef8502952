"""PodDisruptionBudgets (upstream: pkg/registry/policy/poddisruptionbudget, pkg/apis/policy/validation)."""

from __future__ import annotations

from typing import Any

from labcluster.api import field
from labcluster.api.conditions import condition
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON, labels_of, namespace_of
from labcluster.api.resources import POD_DISRUPTION_BUDGETS
from labcluster.api.selectors import LabelSelector
from labcluster.api.times import now
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.metadata import validate_label_selector
from labcluster.kinds.printing import age
from labcluster.kinds.reading import Reader
from labcluster.kinds.values import int_or_percent, not_above_100_percent, not_negative

DISRUPTION_ALLOWED = "DisruptionAllowed"  # the condition
SYNC_FAILED = "SyncFailed"  # its reason while the controller cannot tell
ALWAYS_ALLOW = "AlwaysAllow"
_POLICIES = (ALWAYS_ALLOW, "IfHealthyBudget")
_COUNTERS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


class PodDisruptionBudgetKind(Kind):
    """How many pods of a selection must stay healthy while others are evicted."""

    resource = POD_DISRUPTION_BUDGETS
    tracks_generation = True
    columns = (
        Column("Name", format="name"),
        Column("Min Available"),
        Column("Max Unavailable"),
        Column("Allowed Disruptions", "integer"),
        Column("Age"),
    )

    def default(self, obj: JSON) -> None:
        """A budget without spec has an empty one."""
        if obj.get("spec") is None:
            obj["spec"] = {}

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Start with a status that allows nothing until the controller has counted."""
        obj["status"] = dict.fromkeys(_COUNTERS, 0)

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a budget."""
        spec = obj.get("spec") or {}
        errors: list[FieldError] = []
        if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
            errors.append(field.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"))
        for key in ("minAvailable", "maxUnavailable"):
            if spec.get(key) is not None:
                errors += int_or_percent(spec[key], f"spec.{key}")
                errors += not_above_100_percent(spec[key], f"spec.{key}")
        errors += validate_label_selector(spec.get("selector"), "spec.selector")
        policy = spec.get("unhealthyPodEvictionPolicy")
        if policy is not None and policy not in _POLICIES:
            errors.append(field.not_supported("spec.unhealthyPodEvictionPolicy", policy, list(_POLICIES)))
        return errors

    def validate_status_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a status: no counter is negative."""
        return not_negative(new.get("status") or {}, _COUNTERS, "status")

    def cells(self, obj: JSON) -> list[Any]:
        """The row in a table of budgets."""
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        limits = [spec[key] if spec.get(key) is not None else "N/A" for key in ("minAvailable", "maxUnavailable")]
        return [obj["metadata"]["name"], *map(str, limits), status.get("disruptionsAllowed") or 0, age(obj)]


def selects(budget: JSON, pod: JSON) -> bool:
    """Whether the budget is about the pod: no selector selects nothing, the empty one all of the namespace."""
    selector = (budget.get("spec") or {}).get("selector")
    same = namespace_of(budget) == namespace_of(pod)
    return same and selector is not None and LabelSelector.from_object(selector).matches(labels_of(pod))


def set_allowed_condition(budget: JSON, reason: str = "", message: str = "") -> None:
    """Say in the DisruptionAllowed condition what status.disruptionsAllowed means, in place.

    `reason` and `message` are those of a failure. Upstream: component-helpers/apps/poddisruptionbudget/helpers.go.
    """
    status = budget["status"]
    allowed = not reason and status.get("disruptionsAllowed", 0) > 0
    entry = condition(budget, DISRUPTION_ALLOWED)
    if entry is None:
        entry = {"type": DISRUPTION_ALLOWED}
        status.setdefault("conditions", []).append(entry)
    if entry.get("status") != str(allowed):
        entry["lastTransitionTime"] = now()
    entry["status"] = str(allowed)
    entry["reason"] = reason or ("SufficientPods" if allowed else "InsufficientPods")
    entry["message"] = message
    entry["observedGeneration"] = status.get("observedGeneration", 0)
