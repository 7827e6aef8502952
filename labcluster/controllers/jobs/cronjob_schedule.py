"""Which time of a schedule a CronJob has missed, and when the next one is (pkg/controller/cronjob/utils.go)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from labcluster.api.cron import Schedule
from labcluster.api.objects import JSON
from labcluster.api.times import parse_time

TOO_MANY = 100  # missed times that are worth a warning
DELTA = 0.1  # seconds after the time at which a job is due, so that no clock is still before it


@dataclass(frozen=True)
class Missed:
    """The times of a schedule that have passed since a job was last scheduled."""

    since: dt.datetime  # the last scheduled time, or the CronJob's creation
    latest: dt.datetime | None  # the last time that has passed since then
    number: int  # about how many have


def missed(cron_job: JSON, now: dt.datetime, schedule: Schedule, *, within_deadline: bool) -> Missed:
    """What was missed until now; `within_deadline` leaves out what is too late to be started.

    Raises ValueError when the schedule never comes (mostRecentScheduleTime).
    """
    since = parse_time(
        (cron_job.get("status") or {}).get("lastScheduleTime") or cron_job["metadata"]["creationTimestamp"]
    )
    deadline = cron_job["spec"].get("startingDeadlineSeconds")
    if within_deadline and deadline is not None and deadline < (now - since).total_seconds():
        since = now - dt.timedelta(seconds=deadline)
    first = schedule.next(since)
    second = schedule.next(first) if first is not None else None
    if first is not None and now < first:
        return Missed(since, None, 0)
    if first is not None and second is not None and now < second:
        return Missed(since, first, 0)
    if first is None or second is None or (second - first).total_seconds() < 1:
        raise ValueError("time difference between two schedules is less than 1 second")
    between = round((second - first).total_seconds())
    number = int((now - first).total_seconds()) // between + 1
    # From one time before the last that regular distances would give: from there on the schedule itself counts.
    latest, time = None, schedule.next(first + dt.timedelta(seconds=(number - 2) * between))
    while time is not None and time <= now:
        latest, time = time, schedule.next(time)
    return Missed(since, latest, number)


def seconds_until_next(cron_job: JSON, now: dt.datetime, schedule: Schedule) -> float | None:
    """How long until the next time of the schedule; None when it never comes (nextScheduleTimeDuration)."""
    try:
        missed_times = missed(cron_job, now, schedule, within_deadline=False)
        base = missed_times.latest or (now if missed_times.number else missed_times.since)
    except ValueError:
        base = now
    time = schedule.next(base)
    return (time - now).total_seconds() + DELTA if time is not None else None
