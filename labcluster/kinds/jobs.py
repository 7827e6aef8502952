"""Jobs (upstream: pkg/registry/batch/job/strategy.go, pkg/apis/batch/{v1,validation}).

Served: completions, parallelism, backoffLimit, activeDeadlineSeconds, ttlSecondsAfterFinished, suspend. Indexed jobs,
failure and success policies and jobs managed by others are refused.
"""

from __future__ import annotations

from typing import Any

from labcluster.api import field
from labcluster.api.conditions import is_condition_true
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON, is_terminating, name_of, uid_of
from labcluster.api.resources import JOBS
from labcluster.api.times import age_seconds, parse_time
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.metadata import IMMUTABLE, validate_label_selector
from labcluster.kinds.pod_defaults import default_template
from labcluster.kinds.pod_template import (
    CONTAINERS_COLUMN,
    IMAGES_COLUMN,
    SELECTOR_COLUMN,
    container_cells,
    validate_selects_template,
)
from labcluster.kinds.pod_validation import validate_template
from labcluster.kinds.printing import age, format_selector, human_duration
from labcluster.kinds.reading import Reader
from labcluster.kinds.values import not_negative

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
DEFAULT_BACKOFF_LIMIT = 6
_NUMBERS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
_NOT_SERVED = ("podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "maxFailedIndexes", "managedBy")
_FIXED = ("completions", "selector", "template", "completionMode", "manualSelector")
_COUNTERS = ("active", "succeeded", "failed", "ready", "terminating")
_STATES = (  # a condition and what the STATUS column says of it; the first that is true counts
    ("Complete", "Complete"),
    ("Failed", "Failed"),
    ("", "Terminating"),
    ("Suspended", "Suspended"),
    ("FailureTarget", "FailureTarget"),
    ("SuccessCriteriaMet", "SuccessCriteriaMet"),
)


class JobKind(Kind):
    """A Job: pods that run to their end, until so many have succeeded."""

    resource = JOBS
    tracks_generation = True
    orphans_by_default = True
    columns = (
        Column("Name", format="name"),
        Column("Status"),
        Column("Completions"),
        Column("Duration"),
        Column("Age"),
        CONTAINERS_COLUMN,
        IMAGES_COLUMN,
        SELECTOR_COLUMN,
    )

    def default(self, obj: JSON) -> None:
        """Fill in the defaults of a Job."""
        spec: JSON = obj.get("spec") or {}
        obj["spec"] = spec
        if spec.get("completions") is None and spec.get("parallelism") is None:
            spec["completions"] = 1
        for key, value in (
            ("parallelism", 1),
            ("backoffLimit", DEFAULT_BACKOFF_LIMIT),
            ("completionMode", "NonIndexed"),
            ("manualSelector", False),
            ("podReplacementPolicy", "TerminatingOrFailed"),
            ("suspend", False),
        ):
            if spec.get(key) is None:
                spec[key] = value
        default_template(spec)

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Select the pods by the job's own uid, unless the user takes care of that."""
        obj["status"] = {}
        spec = obj["spec"]
        if spec["manualSelector"] or not spec.get("template"):
            return
        uid = uid_of(obj)
        metadata = spec["template"].setdefault("metadata", {})
        if metadata is None:
            spec["template"]["metadata"] = metadata = {}
        own = {
            CONTROLLER_UID: uid,
            "batch.kubernetes.io/job-name": name_of(obj),
            "controller-uid": uid,
            "job-name": name_of(obj),
        }
        metadata["labels"] = {**(metadata.get("labels") or {}), **own}
        if spec.get("selector") is None:
            spec["selector"] = {"matchLabels": {CONTROLLER_UID: uid}}

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a Job."""
        spec = obj["spec"]
        errors = validate_job_spec(spec, "spec")
        if spec.get("selector") is None:
            errors.append(field.required("spec.selector"))
        else:
            errors += validate_label_selector(spec["selector"], "spec.selector")
        return errors + validate_selects_template(spec)

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a change: what the job does stays."""
        changed = [key for key in _FIXED if new["spec"].get(key) != old["spec"].get(key)]
        errors = [field.invalid(f"spec.{key}", new["spec"].get(key), IMMUTABLE) for key in changed]
        return self.validate(new) + errors

    def validate_status_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a status: no counter is negative."""
        return not_negative(new.get("status") or {}, _COUNTERS, "status")

    def fields(self, obj: JSON) -> dict[str, str]:
        """What `--field-selector` may name."""
        return {"status.successful": str((obj.get("status") or {}).get("succeeded") or 0)}

    def cells(self, obj: JSON) -> list[Any]:
        """The row in a table of Jobs."""
        spec, status = obj["spec"], obj.get("status") or {}
        succeeded, parallelism = status.get("succeeded") or 0, spec.get("parallelism") or 0
        if spec.get("completions") is not None:
            completions = f"{succeeded}/{spec['completions']}"
        else:
            completions = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
        return [
            obj["metadata"]["name"],
            _state(obj),
            completions,
            _duration(status),
            age(obj),
            *container_cells(obj),
            format_selector(spec.get("selector")),
        ]


def validate_job_spec(spec: JSON, path: str) -> list[FieldError]:
    """Errors of a Job's spec, apart from its selector, which a template of Jobs does not have (validateJobSpec)."""
    errors = not_negative(spec, _NUMBERS, path)
    for key in _NOT_SERVED:
        if spec.get(key) is not None:
            errors.append(field.forbidden(f"{path}.{key}", "the embedded cluster does not serve it"))
    for key, served in (("completionMode", "NonIndexed"), ("podReplacementPolicy", "TerminatingOrFailed")):
        if spec.get(key) not in (None, served):
            errors.append(field.not_supported(f"{path}.{key}", spec[key], [served]))
    template = spec.get("template") or {}
    errors += validate_template(template, f"{path}.template")
    if (template.get("spec") or {}).get("restartPolicy") not in ("OnFailure", "Never"):
        text = 'valid values: "OnFailure", "Never"'
        errors.append(field.required(f"{path}.template.spec.restartPolicy", text))
    return errors


def _state(job: JSON) -> str:
    for kind, text in _STATES:
        if is_condition_true(job, kind) if kind else is_terminating(job):
            return text
    return "Running"


def _duration(status: JSON) -> str:
    start, end = status.get("startTime"), status.get("completionTime")
    if not start:
        return ""
    return human_duration((parse_time(end) - parse_time(start)).total_seconds() if end else age_seconds(start))
