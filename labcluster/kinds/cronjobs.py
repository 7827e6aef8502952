"""CronJobs (upstream: pkg/registry/batch/cronjob/strategy.go, pkg/apis/batch/{v1,validation})."""

from __future__ import annotations

import re
from typing import Any

from labcluster.api import cron, field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON, name_of
from labcluster.api.resources import CRON_JOBS
from labcluster.kinds.jobs import validate_job_spec
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.pod_defaults import default_template
from labcluster.kinds.pod_template import CONTAINERS_COLUMN, IMAGES_COLUMN, SELECTOR_COLUMN, container_cells
from labcluster.kinds.printing import NONE, age, format_selector, or_none, translate_timestamp
from labcluster.kinds.reading import Reader
from labcluster.kinds.values import not_negative, one_of

LONGEST_NAME = 52  # a job's name is 11 characters longer: a hyphen and the minute since 1970
_DEFAULTS = (
    ("concurrencyPolicy", "Allow"),
    ("suspend", False),
    ("successfulJobsHistoryLimit", 3),
    ("failedJobsHistoryLimit", 1),
)
_ZONE_PART = re.compile(r"[A-Za-z._0-9+][A-Za-z.\-_0-9+]{0,13}")


class CronJobKind(Kind):
    """A CronJob: a Job at each time of a schedule."""

    resource = CRON_JOBS
    tracks_generation = True
    columns = (
        Column("Name", format="name"),
        Column("Schedule"),
        Column("Timezone"),
        Column("Suspend", "boolean"),
        Column("Active", "integer"),
        Column("Last Schedule"),
        Column("Age"),
        CONTAINERS_COLUMN,
        IMAGES_COLUMN,
        SELECTOR_COLUMN,
    )

    def default(self, obj: JSON) -> None:
        """Fill in the defaults of a CronJob. Those of a Job come when one is made."""
        spec: JSON = obj.get("spec") or {}
        obj["spec"] = spec
        for key, value in _DEFAULTS:
            if spec.get(key) in (None, ""):
                spec[key] = value
        template = spec["jobTemplate"] = spec.get("jobTemplate") or {}
        template["spec"] = template.get("spec") or {}
        default_template(template["spec"])

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Start with an empty status."""
        obj["status"] = {}

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a new CronJob."""
        errors = _validate(obj["spec"], None)
        if len(name_of(obj)) > LONGEST_NAME:
            text = f"must be no more than {LONGEST_NAME} characters"
            errors.append(field.invalid("metadata.name", name_of(obj), text))
        return errors

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a change: all of the spec may move."""
        return _validate(new["spec"], old["spec"])

    def cells(self, obj: JSON) -> list[Any]:
        """The row in a table of CronJobs."""
        spec, status = obj["spec"], obj.get("status") or {}
        job = (spec.get("jobTemplate") or {}).get("spec") or {}
        suspended = spec.get("suspend")
        last = status.get("lastScheduleTime")
        return [
            obj["metadata"]["name"],
            spec.get("schedule") or "",
            or_none(spec.get("timeZone")),
            "<unset>" if suspended is None else str(suspended),
            len(status.get("active") or ()),
            translate_timestamp(last) if last else NONE,
            age(obj),
            *container_cells({"spec": job}),
            format_selector(job.get("selector")),
        ]


def _validate(spec: JSON, old: JSON | None) -> list[FieldError]:
    schedule = spec.get("schedule")
    errors = _validate_schedule(schedule, spec, old) if schedule else [field.required("spec.schedule")]
    errors += not_negative(spec, ("startingDeadlineSeconds",), "spec")
    if spec.get("timeZone") is not None and (old is None or old.get("timeZone") != spec["timeZone"]):
        errors += _validate_zone(spec["timeZone"], "spec.timeZone")
    errors += one_of(spec["concurrencyPolicy"], ("Allow", "Forbid", "Replace"), "spec.concurrencyPolicy")
    job, path = spec["jobTemplate"]["spec"], "spec.jobTemplate.spec"
    errors += validate_job_spec(job, path)
    if job.get("selector") is not None:
        errors.append(field.invalid(f"{path}.selector", job["selector"], "`selector` will be auto-generated"))
    if job.get("manualSelector"):
        errors.append(field.not_supported(f"{path}.manualSelector", True, ["nil", "false"]))
    return errors + not_negative(spec, ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"), "spec")


def _validate_schedule(schedule: str, spec: JSON, old: JSON | None) -> list[FieldError]:
    errors: list[FieldError] = []
    try:
        cron.parse(schedule)
    except ValueError as error:
        errors.append(field.invalid("spec.schedule", schedule, str(error)))
    if "TZ" in schedule:
        if old is None or "TZ" not in old["schedule"]:
            text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            errors.append(field.invalid("spec.schedule", schedule, text))
        elif spec.get("timeZone") is not None:
            text = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
            errors.append(field.invalid("spec.schedule", schedule, text))
    return errors


def _validate_zone(name: str, path: str) -> list[FieldError]:
    if not name:
        return [field.invalid(path, name, "timeZone must be nil or non-empty string")]
    if any(part in (".", "..") or not _ZONE_PART.fullmatch(part) for part in name.split("/")):
        return [field.invalid(path, name, f"unknown time zone {name}")]
    errors: list[FieldError] = []
    if name.lower() == "local":
        text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        errors.append(field.invalid(path, name, text))
        if name == "Local":  # Go knows it
            return errors
    try:
        cron.load_zone(name)
    except ValueError as error:
        errors.append(field.invalid(path, name, str(error)))
    return errors
