"""What the workloads of the group apps have in common: a selector and a template of pods that matches it.

Upstream: ValidatePodTemplateSpecForReplicaSet and its twins in pkg/apis/apps/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.selectors import LabelSelector
from labcluster.kinds.kind import Column
from labcluster.kinds.metadata import IMMUTABLE, validate_label_selector
from labcluster.kinds.pod_defaults import default_template
from labcluster.kinds.pod_validation import validate_template
from labcluster.kinds.printing import container_images, container_names
from labcluster.kinds.values import not_negative

MISMATCH = "`selector` does not match template `labels`"
DEFAULT_HISTORY_LIMIT = 10
_BOUNDED = ("fullyLabeledReplicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")

CONTAINERS_COLUMN = Column("Containers", priority=1, description="Names of each container in the template.")
IMAGES_COLUMN = Column("Images", priority=1, description="Images referenced by each container in the template.")
SELECTOR_COLUMN = Column("Selector", priority=1, description="The labels of the pods that belong to it.")


def default_workload(obj: JSON) -> JSON:
    """Fill in replicas and the template's defaults; returns the spec."""
    spec: JSON = obj.get("spec") or {}
    obj["spec"] = spec
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    default_template(spec)
    return spec


def validate_selector(spec: JSON, empty_is_invalid_for: str) -> list[FieldError]:
    """Errors of spec.selector: given, well-formed and not empty."""
    selector = spec.get("selector")
    if selector is None:
        return [field.required("spec.selector")]
    errors = validate_label_selector(selector, "spec.selector")
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        text = f"empty selector is invalid for {empty_is_invalid_for}"
        errors.append(field.invalid("spec.selector", selector, text))
    return errors


def validate_matching_template(spec: JSON, kind: str, *, claims: Collection[str] = ()) -> list[FieldError]:
    """Errors of spec.template: its labels match the selector, its pods restart always and run without end."""
    template = spec.get("template") or {}
    errors = validate_selects_template(spec)
    errors += validate_template(template, "spec.template", claims=claims)
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy != "Always":
        errors.append(field.not_supported("spec.template.spec.restartPolicy", policy, ["Always"]))
    if (template.get("spec") or {}).get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(field.forbidden("spec.template.spec.activeDeadlineSeconds", text))
    return errors


def validate_selects_template(spec: JSON) -> list[FieldError]:
    """The labels of spec.template match the selector."""
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if _matches(spec.get("selector"), labels or {}):
        return []
    return [field.invalid("spec.template.metadata.labels", labels, MISMATCH)]


def _matches(selector: JSON | None, labels: dict[str, Any]) -> bool:
    """An absent selector matches nothing, an empty one everything; a malformed one has its own error."""
    if selector is None:
        return False
    try:
        return LabelSelector.from_object(selector).matches(labels)
    except (KeyError, ValueError):
        return True


def validate_immutable_selector(new: JSON, old: JSON) -> list[FieldError]:
    """The selector of a ReplicaSet, Deployment or DaemonSet stays what it was."""
    selector = new["spec"].get("selector")
    return [] if selector == old["spec"].get("selector") else [field.invalid("spec.selector", selector, IMMUTABLE)]


def validate_counters(status: JSON, counters: Collection[str], ready: str) -> list[FieldError]:
    """Errors of a status: no counter is negative, none is above `replicas`, and available pods are ready ones.

    `ready` is how the error text names the number of ready pods, which differs from kind to kind.
    """
    errors = not_negative(status, counters, "status")
    bounds = [(key, "replicas", "status.replicas") for key in counters if key in _BOUNDED]
    bounds.append(("availableReplicas", "readyReplicas", ready))
    for key, bound, name in bounds:
        count = status.get(key) or 0
        if count > max(status.get(bound) or 0, 0):
            errors.append(field.invalid(f"status.{key}", count, f"cannot be greater than {name}"))
    return errors


def container_cells(obj: JSON) -> list[Any]:
    """The wide cells CONTAINERS and IMAGES."""
    containers = ((obj["spec"].get("template") or {}).get("spec") or {}).get("containers") or []
    return [container_names(containers), container_images(containers)]
