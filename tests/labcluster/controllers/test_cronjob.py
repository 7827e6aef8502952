"""CronJobs: when a job is made, what holds it back, what is kept of the old ones; by a clock that the test moves."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, name_of
from labcluster.api.owners import controller_of
from labcluster.api.resources import CRON_JOBS, JOBS, PODS
from labcluster.api.times import parse_time
from labcluster.controllers.garbage_collector import GarbageCollector
from labcluster.controllers.jobs import cronjob as cronjob_module
from labcluster.controllers.jobs.cronjob import CronJobController
from labcluster.controllers.jobs.job import JobController
from labcluster.kinds import KINDS
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.control_plane import NAMESPACE, ControlPlane

TEMPLATE = {"spec": {"containers": [{"name": "c", "image": "busybox"}], "restartPolicy": "Never"}}


class Clock:
    """The time in UTC, which passes when a test says so; it begins half a minute past a full hour of tomorrow."""

    def __init__(self) -> None:
        tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
        self.time = tomorrow.replace(minute=0, second=30, microsecond=0)

    def __call__(self) -> dt.datetime:
        return self.time


class Cron:
    """A control plane with a CronJob `tick`, which has met all its times so far."""

    def __init__(self, schedule: str = "* * * * *", **spec: Any) -> None:
        self.clock = Clock()
        self.plane = ControlPlane(
            lambda registry: CronJobController(registry, self.clock), JobController, GarbageCollector
        )
        metadata = {"labels": {"of": "tick"}, "annotations": {"own": "x"}}
        wanted = {"schedule": schedule, "jobTemplate": {"metadata": metadata, "spec": {"template": TEMPLATE}}, **spec}
        made = {"metadata": {"name": "tick", "namespace": NAMESPACE}, "spec": wanted}
        self.plane.registry.create(CRON_JOBS, made)
        self.write(lastScheduleTime=stamp(self.clock.time.replace(second=0)))

    def write(self, **status: Any) -> None:
        def change(new: JSON) -> None:
            new["status"].update(status)

        self.plane.registry.modify(CRON_JOBS, NAMESPACE, "tick", change, subresource="status")
        self.plane.settle()

    def change(self, **spec: Any) -> None:
        self.plane.registry.modify(CRON_JOBS, NAMESPACE, "tick", lambda new: new["spec"].update(spec))
        self.plane.settle()

    def wait(self, **time: int) -> None:
        """Let time pass, then do what the timer of the work queue does."""
        self.clock.time += dt.timedelta(**time)
        self.look()

    def look(self) -> None:
        self.plane._enqueue(0, [f"{NAMESPACE}/tick"])
        self.plane.settle()

    @property
    def next_look(self) -> float:
        return self.plane.later[f"{NAMESPACE}/tick"]

    @property
    def object(self) -> JSON:
        return self.plane.registry.get(CRON_JOBS, NAMESPACE, "tick")

    @property
    def status(self) -> JSON:
        found: JSON = self.object["status"]
        return found

    @property
    def active(self) -> list[str]:
        return [each["name"] for each in self.status.get("active") or ()]

    def jobs(self) -> list[JSON]:
        return sorted(self.plane.registry.list(JOBS, NAMESPACE), key=name_of)

    def end(self, phase: str = "Succeeded") -> None:
        """Let all pods end, and the jobs with them."""

        def change(new: JSON) -> None:
            new["status"].update(phase=phase)

        for pod in self.plane.registry.list(PODS, NAMESPACE):
            self.plane.registry.modify(PODS, NAMESPACE, name_of(pod), change, subresource="status")
        self.plane.settle()

    def events(self, reason: str) -> list[str]:
        return self.plane.events("tick", reason)


def stamp(time: dt.datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def minute(time: dt.datetime) -> int:
    return int(time.timestamp()) // 60


@pytest.fixture(autouse=True)
def _no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed pod of a job is not what these tests are about."""
    monkeypatch.setattr(JobController, "_backoff", lambda self, job: 0.0)
    monkeypatch.setattr(JobController, "_update_backoff", lambda self, job, counts: None)


# ---------------------------------------------------------------- the job of a time


def test_nothing_is_started_before_its_time_which_is_waited_for_by_one_timer() -> None:
    cron = Cron()
    assert cron.jobs() == [] and cron.next_look == pytest.approx(30.1)


def test_at_its_time_a_job_is_made_from_the_template() -> None:
    cron = Cron()
    cron.wait(seconds=30)
    (job,) = cron.jobs()
    assert name_of(job) == f"tick-{minute(cron.clock.time)}"
    assert job["metadata"]["labels"] == {"of": "tick"}
    told = stamp(cron.clock.time)
    assert job["metadata"]["annotations"] == {"own": "x", cronjob_module.SCHEDULED: told}
    owner = controller_of(job)
    assert owner is not None and (owner["kind"], owner["name"], owner["controller"]) == ("CronJob", "tick", True)
    assert cron.status["lastScheduleTime"] == told
    (reference,) = cron.status["active"]
    assert {k: reference[k] for k in ("apiVersion", "kind", "namespace", "name", "uid")} == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "namespace": NAMESPACE,
        "name": name_of(job),
        "uid": job["metadata"]["uid"],
    }
    assert cron.events("SuccessfulCreate") == [f"Created job {name_of(job)}"]
    assert cron.next_look == pytest.approx(60.1)


def test_looking_twice_starts_it_once() -> None:
    cron = Cron()
    cron.wait(seconds=30)
    cron.look()
    cron.wait(seconds=29)
    assert len(cron.jobs()) == 1


def test_a_finished_job_is_no_longer_active_and_gives_the_last_success() -> None:
    cron = Cron()
    cron.wait(seconds=30)
    (job,) = cron.jobs()
    cron.end()
    (job,) = cron.jobs()
    assert cron.active == [] and "active" not in cron.status
    assert cron.status["lastSuccessfulTime"] == job["status"]["completionTime"]
    assert cron.events("SawCompletedJob") == [f"Saw completed job: {name_of(job)}, condition: Complete"]


def test_a_failed_job_is_no_success() -> None:
    cron = Cron(jobTemplate={"spec": {"backoffLimit": 0, "template": TEMPLATE}})
    cron.wait(seconds=30)
    cron.end("Failed")
    assert cron.active == [] and "lastSuccessfulTime" not in cron.status
    assert cron.events("SawCompletedJob") == [f"Saw completed job: {name_of(cron.jobs()[0])}, condition: Failed"]


def test_a_job_that_was_deleted_is_missed() -> None:
    cron = Cron()
    cron.wait(seconds=30)
    (name,) = cron.active
    cron.plane.registry.delete(JOBS, NAMESPACE, name, DeleteOptions(propagation="Background"))
    cron.plane.settle()
    assert cron.active == [] and cron.events("MissingJob") == [f"Active job went missing: {name}"]
    cron.look()
    assert cron.jobs() == [], "its time was met"


def test_a_job_made_by_hand_is_noticed() -> None:
    cron = Cron()
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "tick", "uid": cron.object["metadata"]["uid"]}
    metadata = {"name": "manual", "namespace": NAMESPACE, "ownerReferences": [{**reference, "controller": True}]}
    cron.plane.registry.create(JOBS, {"metadata": metadata, "spec": {"template": TEMPLATE}})
    cron.plane.settle()
    assert cron.active == []
    assert cron.events("UnexpectedJob") == ["Saw a job that the controller did not create or forgot: manual"]


def test_a_crash_between_the_job_and_the_status_makes_no_second_job() -> None:
    cron = Cron()
    before = cron.status["lastScheduleTime"]
    cron.wait(seconds=30)
    (job,) = cron.jobs()
    cron.write(lastScheduleTime=before, active=[])
    cron.look()
    assert [name_of(each) for each in cron.jobs()] == cron.active == [name_of(job)]


# ---------------------------------------------------------------- what holds it back


def test_with_allow_jobs_run_side_by_side() -> None:
    cron = Cron()
    cron.wait(seconds=30)
    cron.wait(minutes=1)
    assert len(cron.active) == len(cron.jobs()) == 2


def test_with_forbid_one_waits_for_the_other() -> None:
    cron = Cron(concurrencyPolicy="Forbid")
    cron.wait(seconds=30)
    (first,) = cron.active
    cron.wait(minutes=1)
    assert cron.active == [first]
    text = "Not starting job because prior execution is running and concurrency policy is Forbid"
    assert cron.events("JobAlreadyActive") == [text]
    cron.end()
    assert len(cron.active) == 1 and cron.active != [first], "what was held back is started at once"


def test_with_replace_the_new_one_ends_the_old_one() -> None:
    cron = Cron(concurrencyPolicy="Replace")
    cron.wait(seconds=30)
    (first,) = cron.active
    cron.wait(minutes=1)
    assert len(cron.active) == 1 and cron.active != [first]
    assert [name_of(job) for job in cron.jobs()] == cron.active
    assert cron.events("SuccessfulDelete") == [f"Deleted job {first}"]


def test_a_suspended_one_starts_nothing_and_then_the_last_time_only() -> None:
    cron = Cron(suspend=True)
    cron.wait(minutes=10)
    assert cron.jobs() == []
    cron.change(suspend=False)
    assert [name_of(job) for job in cron.jobs()] == [f"tick-{minute(cron.clock.time)}"]


def test_what_is_later_than_its_deadline_is_not_started() -> None:
    cron = Cron("0 * * * *", startingDeadlineSeconds=60)
    cron.wait(minutes=60, seconds=31)  # one second too late
    assert cron.jobs() == []
    cron.wait(minutes=59)
    assert len(cron.jobs()) == 1


def test_a_deadline_is_said_to_be_missed_when_it_passes_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    cron = Cron("0 * * * *", startingDeadlineSeconds=0)
    due = cron.clock.time.replace(second=0) + dt.timedelta(hours=1)
    found = cronjob_module.missed(cron.object, due, cronjob_module._schedule(cron.object), within_deadline=False)
    monkeypatch.setattr(cronjob_module, "missed", lambda *args, **kwargs: found)
    cron.wait(minutes=59, seconds=32)
    assert cron.jobs() == []
    assert cron.events("MissSchedule") == [
        f"Missed scheduled time to start a job: {due.strftime('%a, %d %b %Y %H:%M:%S +0000')}"
    ]


def test_of_many_missed_times_the_last_one_counts_and_a_warning_is_given() -> None:
    cron = Cron(suspend=True)
    cron.wait(minutes=200)
    cron.change(suspend=False)
    assert [name_of(job) for job in cron.jobs()] == [f"tick-{minute(cron.clock.time)}"]
    text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
    assert cron.events("TooManyMissedTimes") == [text]


def test_at_distances_that_differ_the_last_time_is_found() -> None:
    cron = Cron("0 6-18/4 * * *")
    at = (cron.clock.time + dt.timedelta(days=3)).replace(hour=16)
    cron.clock.time = at
    cron.look()
    assert cron.status["lastScheduleTime"] == stamp(at.replace(hour=14, minute=0, second=0))


def test_a_schedule_that_never_comes_is_said_to_be_invalid() -> None:
    cron = Cron("0 0 31 2 *")
    text = "invalid schedule: 0 0 31 2 * : time difference between two schedules is less than 1 second"
    assert cron.jobs() == [] and set(cron.events("InvalidSchedule")) == {text}


def test_a_zone_moves_the_time_and_is_in_the_annotation() -> None:
    cron = Cron("0 12 * * *", timeZone="Asia/Kolkata")
    cron.wait(days=1)
    (job,) = cron.jobs()
    time = parse_time(job["metadata"]["annotations"][cronjob_module.SCHEDULED])
    assert job["metadata"]["annotations"][cronjob_module.SCHEDULED].endswith("T12:00:00+05:30")
    assert cron.status["lastScheduleTime"].endswith("T06:30:00Z")
    assert parse_time(cron.status["lastScheduleTime"]) == time


async def test_a_changed_schedule_counts_from_its_next_time_on() -> None:
    cron = Cron("0 0 * * *")
    cron.clock.time += dt.timedelta(minutes=10)
    cron.change(schedule="*/5 * * * *")
    assert cron.jobs() == [], "though the new schedule would have been due twice"
    queue = cron.plane.controllers[0].queue
    assert list(queue._timers) == [f"{NAMESPACE}/tick"]
    queue.close()


# ---------------------------------------------------------------- what is kept


def test_the_last_three_that_completed_and_the_last_that_failed_are_kept() -> None:
    cron = Cron(jobTemplate={"spec": {"backoffLimit": 0, "template": TEMPLATE}})
    made: list[str] = []
    for phase in ("Failed", "Succeeded", "Failed", "Succeeded", "Succeeded", "Succeeded"):
        cron.wait(minutes=1)
        made.append(name_of(cron.jobs()[-1]))
        cron.end(phase)
    assert [name_of(job) for job in cron.jobs()] == made[2:]
    assert [name_of(pod).rpartition("-")[0] for pod in cron.plane.registry.list(PODS, NAMESPACE)] == made[2:]


def test_deleting_it_deletes_its_jobs() -> None:
    cron = Cron()
    cron.wait(seconds=30)
    cron.plane.registry.delete(CRON_JOBS, NAMESPACE, "tick")
    cron.plane.settle()
    assert cron.jobs() == [] and cron.plane.names(PODS) == []


def test_while_it_is_being_deleted_nothing_is_started() -> None:
    cron = Cron()
    cron.plane.registry.modify(CRON_JOBS, NAMESPACE, "tick", lambda o: o["metadata"].update(finalizers=["a.b/c"]))
    cron.plane.registry.delete(CRON_JOBS, NAMESPACE, "tick")
    cron.wait(minutes=2)
    assert cron.jobs() == []


# ---------------------------------------------------------------- the kind


def test_it_is_stored_with_its_defaults() -> None:
    made = Cron(jobTemplate={"spec": {"template": TEMPLATE}}).object
    job = made["spec"].pop("jobTemplate")["spec"]
    assert made["spec"] == {
        "schedule": "* * * * *",
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    }
    assert list(job) == ["template"] and job["template"]["spec"]["dnsPolicy"] == "ClusterFirst"
    assert made["metadata"]["generation"] == 1


def test_its_row() -> None:
    cron = Cron(timeZone="Europe/Berlin", suspend=True)
    cells = KINDS[CRON_JOBS].cells(cron.object)
    assert len(cells) == len(KINDS[CRON_JOBS].columns)
    assert cells[:5] == ["tick", "* * * * *", "Europe/Berlin", "True", 0] and cells[7:] == ["c", "busybox", "<none>"]
    obj = {"metadata": {"name": "a"}, "spec": {"schedule": "@daily", "suspend": False}, "status": {"active": [{}]}}
    assert KINDS[CRON_JOBS].cells(obj)[1:6] == ["@daily", "<none>", "False", 1, "<none>"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"schedule": ""}, "spec.schedule: Required value"),
        (
            {"schedule": "61 * * * *"},
            'spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61',
        ),
        (
            {"schedule": "CRON_TZ=UTC * * * * *"},
            'spec.schedule: Invalid value: "CRON_TZ=UTC * * * * *": '
            "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        ),
        (
            {"timeZone": "Europe/Pariss"},
            'spec.timeZone: Invalid value: "Europe/Pariss": unknown time zone Europe/Pariss',
        ),
        ({"timeZone": "../etc"}, 'spec.timeZone: Invalid value: "../etc": unknown time zone ../etc'),
        ({"timeZone": ""}, 'spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string'),
        (
            {"timeZone": "Local"},
            'spec.timeZone: Invalid value: "Local": '
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        ),
        (
            {"concurrencyPolicy": "Queue"},
            'spec.concurrencyPolicy: Unsupported value: "Queue": supported values: "Allow", "Forbid", "Replace"',
        ),
        (
            {"startingDeadlineSeconds": -1},
            "spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            {"successfulJobsHistoryLimit": -1},
            "spec.successfulJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            {"jobTemplate": {"spec": {"template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Always"}}}}},
            'spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
        ),
        (
            {"jobTemplate": {"spec": {"template": TEMPLATE, "selector": {"matchLabels": {"a": "b"}}}}},
            'spec.jobTemplate.spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: '
            "`selector` will be auto-generated",
        ),
        (
            {"jobTemplate": {"spec": {"template": TEMPLATE, "manualSelector": True}}},
            'spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"',
        ),
    ],
)
def test_what_it_cannot_be(spec: JSON, expected: str) -> None:
    with pytest.raises(ApiError) as refused:
        Cron(**spec)
    assert refused.value.code == 422
    assert [f"{c['field']}: {c['message']}" for c in refused.value.details["causes"]] == [expected]


def test_its_name_leaves_room_for_those_of_its_jobs() -> None:
    plane = ControlPlane()
    spec = {"schedule": "@daily", "jobTemplate": {"spec": {"template": TEMPLATE}}}
    with pytest.raises(ApiError, match="must be no more than 52 characters"):
        plane.registry.create(CRON_JOBS, {"metadata": {"name": "a" * 53, "namespace": NAMESPACE}, "spec": spec})
    plane.registry.create(CRON_JOBS, {"metadata": {"name": "a" * 52, "namespace": NAMESPACE}, "spec": spec})
