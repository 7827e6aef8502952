"""Cordoning for an experiment: only what the course has cordoned is freed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from labsupport.cluster import api, nodes


class Nodes:
    """The part of the core API that is asked, on nodes in memory."""

    def __init__(self) -> None:
        self.found: dict[str, SimpleNamespace] = {}
        self.patched: list[str] = []
        self.refuse = 0

    def add(self, name: str, *, unschedulable: bool = False) -> None:
        self.found[name] = SimpleNamespace(
            metadata=SimpleNamespace(name=name, annotations=None), spec=SimpleNamespace(unschedulable=unschedulable)
        )

    def list_node(self) -> SimpleNamespace:
        if self.refuse:
            raise api.ApiException(status=self.refuse)
        return SimpleNamespace(items=list(self.found.values()))

    def read_node(self, name: str) -> SimpleNamespace:
        return self.found[name]

    def patch_node(self, name: str, change: dict[str, Any]) -> None:
        self.patched.append(name)
        node = self.found[name]
        node.spec.unschedulable = change["spec"]["unschedulable"]
        marks = {**(node.metadata.annotations or {}), **change["metadata"]["annotations"]}
        node.metadata.annotations = {key: value for key, value in marks.items() if value is not None}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    made = Nodes()
    monkeypatch.setattr(api, "core", lambda: made)
    return made


def test_a_node_that_the_course_has_cordoned_is_freed(cluster: Nodes) -> None:
    cluster.add("one")
    cluster.add("two")
    nodes.cordon("one")
    assert cluster.found["one"].spec.unschedulable
    nodes.uncordon()
    assert not cluster.found["one"].spec.unschedulable
    assert cluster.patched == ["one", "one"]


def test_a_node_that_somebody_else_has_cordoned_stays_so(cluster: Nodes) -> None:
    cluster.add("one", unschedulable=True)
    nodes.cordon("one")
    nodes.uncordon()
    assert cluster.found["one"].spec.unschedulable
    assert cluster.patched == []


def test_a_chapter_begins_even_where_nodes_must_not_be_looked_at(cluster: Nodes) -> None:
    cluster.refuse = 403
    nodes.release()


def test_another_failure_is_told(cluster: Nodes) -> None:
    cluster.refuse = 500
    with pytest.raises(api.ApiException):
        nodes.release()
