"""The lives of pods and claims, read from a recording."""

from __future__ import annotations

from labsupport.figures.lives import READY, STARTING, TERMINATING, Stretch, by_name, lives
from tests.labsupport.figures.recorded import Happened, claim, mark, pod, recording

DB = "statefulset/db"


def stretches(*happened: Happened) -> tuple[Stretch, ...]:
    (life,) = lives(pod("db-0", "a", *happened, owner=DB))
    return life.stretches


def test_a_pod_starts_is_ready_and_terminates() -> None:
    assert stretches((0, "created"), (0.1, "scheduled"), (1, "ready"), (4, "terminating"), (6, "deleted")) == (
        Stretch(STARTING, 0, 1),
        Stretch(READY, 1, 4),
        Stretch(TERMINATING, 4, 6),
    )


def test_the_last_stretch_of_a_pod_that_still_runs_is_open() -> None:
    assert stretches((0, "created"), (1, "ready")) == (Stretch(STARTING, 0, 1), Stretch(READY, 1, None))


def test_a_pod_that_loses_its_readiness_starts_again() -> None:
    assert [s.state for s in stretches((0, "created"), (1, "ready"), (2, "unready"), (3, "ready"))] == [
        STARTING,
        READY,
        STARTING,
        READY,
    ]


def test_a_pod_that_was_asked_to_stop_does_not_become_ready_again() -> None:
    asked = stretches((0, "created"), (1, "terminating"), (2, "ready"), (3, "unready"), (4, "deleted"))
    assert asked == (Stretch(STARTING, 0, 1), Stretch(TERMINATING, 1, 4))


def test_a_state_that_was_never_seen_is_left_out() -> None:
    """A pod that is there when the recording begins has all its moments at the same second."""
    assert stretches((0, "created"), (0, "running"), (0, "ready")) == (Stretch(READY, 0, None),)


def test_a_pod_that_is_never_ready_has_no_ready_stretch() -> None:
    (life,) = lives(pod("db-0", "a", (0, "created"), (2, "deleted"), owner=DB))
    assert life.ready == () and (life.begin, life.end) == (0, 2)


def test_a_name_that_was_taken_again_is_another_life() -> None:
    moments = recording(
        pod("db-0", "a", (0, "created"), (2, "deleted"), owner=DB),
        pod("db-1", "b", (1, "created"), owner=DB),
        pod("db-0", "c", (3, "created"), owner=DB),
    ).moments
    assert {name: [life.begin for life in of_name] for name, of_name in by_name(lives(moments)).items()} == {
        "db-0": [0, 3],
        "db-1": [1],
    }


def test_other_kinds_other_controllers_and_marks_are_left_out() -> None:
    moments = recording(
        pod("web-0", "a", (0, "created"), owner="statefulset/web"), claim("data", "c", 0), mark(1, "now")
    ).moments
    assert lives(moments, owner=DB) == []
    assert [life.name for life in lives(moments)] == ["web-0"]
    assert [life.name for life in lives(moments, "PersistentVolumeClaim")] == ["data"]


def test_a_life_knows_its_revision_and_its_claims() -> None:
    (life,) = lives(pod("db-0", "a", (0, "created"), owner=DB, revision="db-ffff", claims=("data-db-0",)))
    assert (life.revision, life.claims) == ("db-ffff", ("data-db-0",))
