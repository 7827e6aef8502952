"""The lifetimes of claims and pods, from made-up recordings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from labsupport.cluster.recording import Moment, Recording, _claims_of
from labsupport.figures.lifetimes import claims_of, lifetimes

SET, COPIES = "statefulset/diary", "replicaset/board"


def life(kind: str, name: str, uid: str, begin: float, end: float | None, **more: Any) -> list[Moment]:
    more.setdefault("owner", "")
    moments = [Moment(begin, "created", kind, name, uid, **more)]
    if end is not None:
        moments.append(Moment(end, "deleted", kind, name, uid, **more))
    return moments


def recorded(*lives: list[Moment]) -> Recording:
    moments = sorted((m for moments in lives for m in moments), key=lambda m: m.seconds)
    return cast(Recording, SimpleNamespace(moments=moments))


def claim(name: str, uid: str, begin: float, end: float | None = None) -> list[Moment]:
    return life("PersistentVolumeClaim", name, uid, begin, end)


def pod(name: str, uid: str, owner: str, on: str, begin: float, end: float | None = None) -> list[Moment]:
    return life("Pod", name, uid, begin, end, owner=owner, claims=(on,))


OWN = recorded(
    claim("data-diary-0", "c", 0),
    pod("diary-0", "p1", SET, "data-diary-0", 0, 2),
    pod("diary-0", "p2", SET, "data-diary-0", 3),
    claim("board", "b", 0),
    pod("board-x", "x", COPIES, "board", 1),
    pod("board-y", "y", COPIES, "board", 1),
)


def test_a_claim_knows_its_pods_and_theirs_only() -> None:
    (found,) = claims_of(OWN, SET)
    assert found.name == "data-diary-0"
    assert {name: list(lives) for name, lives in found.pods.items()} == {"diary-0": ["p1", "p2"]}
    (shared,) = claims_of(OWN, COPIES)
    assert set(shared.pods) == {"board-x", "board-y"}


def test_a_claim_of_the_same_name_is_another_life() -> None:
    again = recorded(
        claim("data-diary-0", "c1", 0, 2),
        claim("data-diary-0", "c2", 3),
        pod("diary-0", "p1", SET, "data-diary-0", 0, 2),
        pod("diary-0", "p2", SET, "data-diary-0", 3),
    )
    (found,) = claims_of(again, SET)
    assert list(found.lives) == ["c1", "c2"]


def test_the_alt_text_counts_and_names_no_pod() -> None:
    picture = lifetimes(OWN, {"own": SET, "shared": COPIES}, "Who outlives whom")
    assert "own: 1 claim, 2 pods, 0 of the claims gone at the end" in picture.alt
    assert "shared: 1 claim, 2 pods" in picture.alt
    assert "board-x" not in picture.alt


def test_a_lane_without_pods_is_drawn_empty() -> None:
    assert lifetimes(recorded(), {"nothing": SET}).png().startswith(b"\x89PNG")


def test_a_recording_knows_both_kinds_of_claims() -> None:
    spec = {
        "volumes": [
            {"name": "a", "persistentVolumeClaim": {"claimName": "board"}},
            {"name": "b", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "c", "emptyDir": {}},
        ]
    }
    assert _claims_of({"metadata": {"name": "x"}, "spec": spec}) == ("board", "x-b")
