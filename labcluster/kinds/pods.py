"""Pods (upstream: pkg/registry/core/pod/strategy.go)."""

from __future__ import annotations

from typing import Any

from labcluster.api import field
from labcluster.api.conditions import is_pod_finished
from labcluster.api.field import FieldError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.api.resources import PODS
from labcluster.api.times import now
from labcluster.kinds import pod_printing
from labcluster.kinds.kind import Kind
from labcluster.kinds.pod_admission import admit, qos_class
from labcluster.kinds.pod_defaults import default_pod
from labcluster.kinds.pod_validation import validate_ephemeral_update, validate_pod_spec, validate_pod_update
from labcluster.kinds.reading import Reader

GATED = "Scheduling is blocked due to non-empty scheduling gates"


class PodKind(Kind):
    """A pod: completed by admission, nearly immutable afterwards, deleted with grace."""

    resource = PODS
    tracks_generation = True
    is_marked_before_removal = True
    status_subresources = ("status", "binding")
    columns = pod_printing.COLUMNS

    def default(self, obj: JSON) -> None:
        """Fill in the defaults of a pod."""
        default_pod(obj)

    def merged(self, given: JSON, old: JSON, subresource: str) -> JSON:
        """Also what the scheduler may touch, and what those who add ephemeral containers may."""
        if subresource == "binding":  # the node and the condition in one
            new = super().merged(given, old, "status")
            new["spec"]["nodeName"] = given["spec"]["nodeName"]
            return new
        if subresource == "ephemeralcontainers":  # dropNonEphemeralContainerUpdates
            added: JSON = clone(old)
            added["spec"].pop("ephemeralContainers", None)
            if wanted := (given.get("spec") or {}).get("ephemeralContainers"):
                added["spec"]["ephemeralContainers"] = clone(wanted)
            return added
        return super().merged(given, old, subresource)

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Admit the pod and give it its first status. Raises ApiError 403."""
        admit(obj, reader)
        status: JSON = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}
        obj["status"] = status
        if obj["spec"].get("schedulingGates"):
            status["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "SchedulingGated",
                    "message": GATED,
                    "lastTransitionTime": now(),
                }
            ]

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a new pod."""
        errors = validate_pod_spec(obj["spec"], "spec")
        if obj["spec"].get("ephemeralContainers"):
            errors.append(field.forbidden("spec.ephemeralContainers", "cannot be set on create"))
        return errors

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a change: most of a pod's spec stays as it was created."""
        return validate_pod_update(new, old)

    def validate_subresource_update(self, new: JSON, old: JSON, subresource: str) -> list[FieldError]:
        """Errors of a change; ephemeral containers are added through a subresource of their own."""
        if subresource == "ephemeralcontainers":
            return validate_ephemeral_update(new, old)
        return super().validate_subresource_update(new, old, subresource)

    def grace_seconds(self, obj: JSON, wanted: int | None) -> int:
        """The caller's seconds or the pod's own; none when no process can be running (CheckGracefulDelete)."""
        if not obj["spec"].get("nodeName") or is_pod_finished(obj):
            return 0
        seconds = obj["spec"].get("terminationGracePeriodSeconds") if wanted is None else wanted
        return 1 if seconds is not None and seconds < 0 else seconds or 0

    def fields(self, obj: JSON) -> dict[str, str]:
        """What `--field-selector` may name."""
        spec, status = obj["spec"], obj.get("status", {})
        return {
            "spec.nodeName": spec.get("nodeName") or "",
            "spec.restartPolicy": spec.get("restartPolicy") or "",
            "spec.schedulerName": spec.get("schedulerName") or "",
            "spec.serviceAccountName": spec.get("serviceAccountName") or "",
            "spec.hostNetwork": "true" if spec.get("hostNetwork") else "false",
            "status.phase": status.get("phase") or "",
            "status.podIP": status.get("podIP") or "",
            "status.nominatedNodeName": status.get("nominatedNodeName") or "",
        }

    def cells(self, obj: JSON) -> list[Any]:
        """The row in a table of pods."""
        return pod_printing.cells(obj)
