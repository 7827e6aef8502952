"""The CronJob controller (pkg/controller/cronjob/cronjob_controllerv2.go).

Between two times of a schedule a CronJob waits in the work queue, which is one timer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from labcluster.api import cron
from labcluster.api.conditions import is_condition_true
from labcluster.api.errors import NAMESPACE_TERMINATING, ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, is_terminating, key_of, name_of, namespace_of, split_key, uid_of
from labcluster.api.owners import controller_reference, is_controlled_by
from labcluster.api.resources import CRON_JOBS, JOBS, Resource
from labcluster.api.times import parse_time
from labcluster.controllers import adoption
from labcluster.controllers.controller import Controller
from labcluster.controllers.jobs.cronjob_schedule import TOO_MANY, missed, seconds_until_next
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Change, DeleteOptions, Registry

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"  # the annotation with the time that a job is for
_ENDS = ("Complete", "Failed")


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class CronJobController(Controller):
    """Makes a Job at each time of a schedule, and removes the old ones."""

    name: ClassVar[str] = "cronjob-controller"

    def __init__(self, registry: Registry, now: Callable[[], dt.datetime] = _utc_now) -> None:
        """`now` is the time in UTC."""
        super().__init__(registry)
        self._events = EventRecorder(registry, self.name)
        self._now = now

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """CronJobs themselves, and those of jobs."""
        return {
            CRON_JOBS: self._on_cron_job,
            JOBS: lambda change: adoption.controller_keys(self.registry, CRON_JOBS, change),
        }

    def _on_cron_job(self, change: Change) -> list[str]:
        """Reconcile at once, but after a change of the schedule at its next time (updateCronJob)."""
        new, old = change.object, change.old
        if change.type == "DELETED" or old is None or _same_schedule(new, old):
            return self.own_key(change)
        try:
            schedule = _schedule(new)
        except ValueError:
            return self.own_key(change)  # which says what is wrong
        wait = seconds_until_next(new, self._now(), schedule)
        if wait is not None:
            self.queue.add_after(key_of(new), wait)
        return []

    def reconcile(self, key: str) -> float | None:
        """Delete old jobs, bring the list of active ones up to date, and create the job that is due."""
        cron_job = self.registry.find(CRON_JOBS, *split_key(key))
        if cron_job is None:
            return None
        new: JSON = clone(cron_job)
        owned = [job for resource, job in self.registry.dependents(uid_of(new)) if resource == JOBS]
        jobs = sorted((job for job in owned if is_controlled_by(job, new)), key=name_of)
        try:
            self._remove_old(new, jobs)
            self._update_active(new, jobs)
            return None if is_terminating(new) else self._start(new)
        finally:
            self._write_status(cron_job, new)

    # ------------------------------------------------------------------ the jobs there are

    def _remove_old(self, cron_job: JSON, jobs: Sequence[JSON]) -> None:
        """Delete the oldest finished jobs beyond the limits (cleanupFinishedJobs)."""
        for end, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            finished = sorted((job for job in jobs if _end(job) == end), key=_started)
            for job in finished[: max(len(finished) - cron_job["spec"][limit], 0)]:
                self._delete(cron_job, job)

    def _update_active(self, cron_job: JSON, jobs: Sequence[JSON]) -> None:
        """Bring status.active and lastSuccessfulTime up to date, in place."""
        status = cron_job["status"]
        for job in jobs:
            active = any(each["uid"] == uid_of(job) for each in status.get("active") or ())
            end = _end(job)
            if end is None:
                if not active:
                    text = f"Saw a job that the controller did not create or forgot: {name_of(job)}"
                    self._events.event(cron_job, "Warning", "UnexpectedJob", text)
                continue
            if active:
                _forget(cron_job, uid_of(job))
                text = f"Saw completed job: {name_of(job)}, condition: {end}"
                self._events.event(cron_job, "Normal", "SawCompletedJob", text)
            completed = job["status"].get("completionTime")
            if end == "Complete" and completed:
                last = status.get("lastSuccessfulTime")
                status["lastSuccessfulTime"] = max(completed, last, key=parse_time) if last else completed
        there = {uid_of(job) for job in jobs}
        for each in list(status.get("active") or ()):
            if each["uid"] not in there and self.registry.find(JOBS, each["namespace"], each["name"]) is None:
                self._events.event(cron_job, "Normal", "MissingJob", f"Active job went missing: {each['name']}")
                _forget(cron_job, each["uid"])

    # ------------------------------------------------------------------ the job that is due

    def _start(self, cron_job: JSON) -> float | None:
        """Start the job that is due, if one is; returns the seconds until the next time (syncCronJob)."""
        spec = cron_job["spec"]
        zone = spec.get("timeZone")
        try:
            cron.load_zone(zone or "")
        except ValueError as error:
            self._events.event(cron_job, "Warning", "UnknownTimeZone", f'invalid timeZone: "{zone}": {error}')
            return None
        if spec["suspend"]:
            return None
        try:
            schedule = _schedule(cron_job)
        except ValueError as error:
            text = f'unparseable schedule: "{spec["schedule"]}" : {error}'
            self._events.event(cron_job, "Warning", "UnparseableSchedule", text)
            return None
        now = self._now()
        try:
            missed_times = missed(cron_job, now, schedule, within_deadline=True)
        except ValueError as error:
            text = f"invalid schedule: {spec['schedule']} : {error}"
            self._events.event(cron_job, "Warning", "InvalidSchedule", text)
            return None
        if missed_times.latest is not None and missed_times.number > TOO_MANY:
            text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._events.event(cron_job, "Warning", "TooManyMissedTimes", text)
        if missed_times.latest is not None and self._may_start(cron_job, missed_times.latest, now):
            self._create(cron_job, missed_times.latest)
        return seconds_until_next(cron_job, now, schedule)

    def _may_start(self, cron_job: JSON, time: dt.datetime, now: dt.datetime) -> bool:
        """Whether the job of that time is to be started: not too late, not there yet, and not held back by another."""
        spec, status = cron_job["spec"], cron_job["status"]
        deadline = spec.get("startingDeadlineSeconds")
        if deadline is not None and (now - time).total_seconds() > deadline:
            text = f"Missed scheduled time to start a job: {time.strftime('%a, %d %b %Y %H:%M:%S +0000')}"
            self._events.event(cron_job, "Warning", "MissSchedule", text)
            return False
        active = status.get("active") or ()
        last = status.get("lastScheduleTime")
        if (last and parse_time(last) == time) or any(each["name"] == _job_name(cron_job, time) for each in active):
            return False
        if active and spec["concurrencyPolicy"] == "Forbid":
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._events.event(cron_job, "Normal", "JobAlreadyActive", text)
            return False
        return True

    def _create(self, cron_job: JSON, time: dt.datetime) -> None:
        """Create the job of that time and note it, in place. Raises ApiError."""
        status = cron_job["status"]
        if cron_job["spec"]["concurrencyPolicy"] == "Replace":
            for each in list(status.get("active") or ()):
                self._delete(cron_job, self.registry.get(JOBS, each["namespace"], each["name"]))
        wanted = _new_job(cron_job, time)
        try:
            job = self.registry.create(JOBS, wanted)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                job = self.registry.get(JOBS, namespace_of(cron_job), name_of(wanted))
                if not is_controlled_by(job, cron_job):
                    return  # somebody else's
            else:
                if not error.has_cause(NAMESPACE_TERMINATING):
                    self._events.event(cron_job, "Warning", "FailedCreate", f"Error creating job: {error}")
                raise
        else:
            self._events.event(cron_job, "Normal", "SuccessfulCreate", f"Created job {name_of(job)}")
        reference = {
            "kind": job["kind"],
            "namespace": namespace_of(job),
            "name": name_of(job),
            "uid": uid_of(job),
            "apiVersion": job["apiVersion"],
            "resourceVersion": job["metadata"]["resourceVersion"],
        }
        status["active"] = [*(status.get("active") or ()), reference]
        status["lastScheduleTime"] = time.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _delete(self, cron_job: JSON, job: JSON) -> None:
        """Delete a job and its pods, and forget it, in place. Raises ApiError."""
        try:
            self.registry.delete(JOBS, namespace_of(job), name_of(job), DeleteOptions(propagation="Background"))
        except ApiError as error:
            self._events.event(cron_job, "Warning", "FailedDelete", f"Deleted job: {error}")
            raise
        _forget(cron_job, uid_of(job))
        self._events.event(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {name_of(job)}")

    def _write_status(self, cron_job: JSON, new: JSON) -> None:
        if new["status"] != cron_job["status"]:
            self.registry.update(CRON_JOBS, new, subresource="status")


def _same_schedule(one: JSON, two: JSON) -> bool:
    return all(one["spec"].get(key) == two["spec"].get(key) for key in ("schedule", "timeZone"))


def _schedule(cron_job: JSON) -> cron.Schedule:
    """The schedule in its time zone; UTC without one, as the control plane's clock. Raises ValueError."""
    spec = cron_job["spec"]
    return cron.parse(spec["schedule"], cron.load_zone(spec.get("timeZone") or ""))


def _job_name(cron_job: JSON, time: dt.datetime) -> str:
    """The same for the same minute, so that no time has two jobs."""
    return f"{name_of(cron_job)}-{int(time.timestamp()) // 60}"


def _new_job(cron_job: JSON, time: dt.datetime) -> JSON:
    """The job of that time, not yet stored (getJobFromTemplate2)."""
    template = cron_job["spec"]["jobTemplate"]
    metadata = template.get("metadata") or {}
    scheduled = time.astimezone(cron.load_zone(cron_job["spec"].get("timeZone") or "")).isoformat()
    return {
        "metadata": {
            **({"labels": clone(metadata["labels"])} if metadata.get("labels") else {}),
            "annotations": {**(metadata.get("annotations") or {}), SCHEDULED: scheduled.replace("+00:00", "Z")},
            "name": _job_name(cron_job, time),
            "namespace": namespace_of(cron_job),
            "ownerReferences": [controller_reference(cron_job)],
        },
        "spec": clone(template["spec"]),
    }


def _end(job: JSON) -> str | None:
    """How the job has ended: Complete or Failed; None while it has not."""
    return next((kind for kind in _ENDS if is_condition_true(job, kind)), None)


def _started(job: JSON) -> tuple[bool, str, str]:
    """Jobs that have not started come last."""
    start = job["status"].get("startTime") or ""
    return not start, start, name_of(job)


def _forget(cron_job: JSON, uid: str) -> None:
    active = [each for each in cron_job["status"].get("active") or () if each["uid"] != uid]
    if active:
        cron_job["status"]["active"] = active
    else:
        cron_job["status"].pop("active", None)
