"""Events: repeats are counted, and many similar ones become one."""

from __future__ import annotations

from pathlib import Path

import pytest

from labcluster.api.objects import JSON
from labcluster.api.resources import CONFIG_MAPS, EVENTS, NAMESPACES
from labcluster.storage.event_recorder import COMBINED, SIMILAR, EventRecorder
from labcluster.storage.registry import Registry
from labcluster.storage.store import Store


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(Store(tmp_path / "store.db"))
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    return registry


@pytest.fixture
def involved(registry: Registry) -> JSON:
    return registry.create(CONFIG_MAPS, {"metadata": {"name": "settings", "namespace": "default"}})


def told(registry: Registry) -> list[tuple[str, int]]:
    return [(event["message"], event["count"]) for event in registry.list(EVENTS)]


def test_the_same_message_again_is_counted(registry: Registry, involved: JSON) -> None:
    recorder = EventRecorder(registry, "tester")
    for _ in range(30):
        recorder.event(involved, "Normal", "Tested", "it works")
    assert told(registry) == [("it works", 30)]


def test_from_the_tenth_message_of_a_reason_on_one_event_stands_for_all(registry: Registry, involved: JSON) -> None:
    recorder = EventRecorder(registry, "tester")
    for number in range(SIMILAR + 4):
        recorder.event(involved, "Normal", "Tested", f"round {number}")
    recorder.event(involved, "Normal", "Finished", "all rounds")
    own = [(f"round {number}", 1) for number in range(SIMILAR - 1)]
    assert sorted(told(registry)) == sorted([*own, (f"{COMBINED}round {SIMILAR + 3}", 5), ("all rounds", 1)])
