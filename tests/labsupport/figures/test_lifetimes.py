"""The lifetimes of claims and pods, from made-up recordings."""

from __future__ import annotations

import pytest

from labsupport.cluster.recording import _claims_of
from labsupport.figures import lifetimes
from labsupport.figures.lifetimes import CLAIM
from tests.labsupport.figures.readable import assert_readable
from tests.labsupport.figures.recorded import claim, pod, recording

SET, COPIES = "statefulset/diary", "replicaset/board"
OWN = recording(
    claim("data-diary-0", "c", 0),
    pod("diary-0", "p1", (0, "created"), (2, "deleted"), owner=SET, claims=("data-diary-0",)),
    pod("diary-0", "p2", (3, "created"), owner=SET, claims=("data-diary-0",)),
    claim("board", "b", 0),
    pod("board-x", "x", (1, "created"), owner=COPIES, claims=("board",)),
    pod("board-y", "y", (1, "created"), owner=COPIES, claims=("board",)),
)
TAKEN_AGAIN = recording(
    claim("data-diary-0", "c1", 0, 2),
    claim("data-diary-0", "c2", 3),
    pod("diary-0", "p1", (0, "created"), (1.5, "deleted"), owner=SET, claims=("data-diary-0",)),
    pod("diary-0", "p2", (3, "created"), owner=SET, claims=("data-diary-0",)),
)


def test_a_claim_knows_its_pods_and_theirs_only() -> None:
    (own,) = lifetimes.claims_of(OWN.moments, SET)
    assert own.name == "data-diary-0"
    assert {name: [life.begin for life in of_name] for name, of_name in own.pods.items()} == {"diary-0": [0, 3]}
    (shared,) = lifetimes.claims_of(OWN.moments, COPIES)
    assert set(shared.pods) == {"board-x", "board-y"}


def test_a_claim_of_the_same_name_is_another_life() -> None:
    (claim_of_both,) = lifetimes.claims_of(TAKEN_AGAIN.moments, SET)
    assert [(life.begin, life.end) for life in claim_of_both.lives] == [(0, 2), (3, None)]


def test_a_band_ends_with_its_claim_or_runs_on_beyond_the_edge() -> None:
    lane = lifetimes.lane_of("own", lifetimes.claims_of(TAKEN_AGAIN.moments, SET), 10)
    gone, there = (bar for bar in lane.bars if bar.look == CLAIM)
    assert (gone.begin, gone.end, there.begin) == (0, 2, 3) and there.end > 10
    assert lane.claims_gone == [gone]
    assert lane.pods_gone == [(1.5, 0)]


def test_a_band_lies_behind_the_rows_of_all_its_pods() -> None:
    lane = lifetimes.lane_of("shared", lifetimes.claims_of(OWN.moments, COPIES), 10)
    band, *pods = lane.bars
    assert (band.look, band.row, band.height) == (CLAIM, 0.5, pytest.approx(1.82))
    assert [bar.row for bar in pods] == [0, 1]
    assert (lane.rows, lane.names) == (2, {0.5: "board"})


def test_the_alt_text_counts_and_names_no_pod() -> None:
    picture = lifetimes.draw(OWN, {"own": SET, "shared": COPIES}, "Who outlives whom")
    assert picture.alt == (
        "Who outlives whom. A band for each claim, and on it a bar for each pod that mounts it. "
        "own: 1 claim, 2 pods, 0 of the claims gone at the end; "
        "shared: 1 claim, 2 pods, 0 of the claims gone at the end."
    )
    assert_readable(picture)


def test_the_alt_text_says_how_many_claims_are_gone() -> None:
    picture = lifetimes.draw(TAKEN_AGAIN, {"own": SET})
    assert picture.alt.endswith("own: 2 claims, 2 pods, 1 of the claims gone at the end.")
    assert_readable(picture)


def test_a_lane_without_pods_is_drawn_empty() -> None:
    assert_readable(lifetimes.draw(recording(), {"nothing": SET}))


def test_a_recording_knows_both_kinds_of_claims() -> None:
    spec = {
        "volumes": [
            {"name": "a", "persistentVolumeClaim": {"claimName": "board"}},
            {"name": "b", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "c", "emptyDir": {}},
        ]
    }
    assert _claims_of({"metadata": {"name": "x"}, "spec": spec}) == ("board", "x-b")
