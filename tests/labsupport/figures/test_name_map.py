"""The map of Services and names, from plain objects in place of a cluster's."""

from __future__ import annotations

from types import SimpleNamespace as Object
from typing import Any

import pytest

from labsupport.cluster import api, scope
from labsupport.figures import name_map
from tests.labsupport.figures.readable import assert_clear, assert_readable


def service(name: str, *ports: str | None, address: str | None = "10.96.0.7", **spec: Any) -> Object:
    fields = {"type": "ClusterIP", "external_name": None} | spec
    listed = [Object(name=port) for port in ports] or None
    return Object(metadata=Object(name=name), spec=Object(cluster_ip=address, ports=listed, **fields))


SERVICES = [
    service("out", address=None, type="ExternalName", external_name="db.example.org"),
    service("front", "client", None),
    service("db", "client", "bus", address="None"),
    service("empty", "client", address="None"),
]
PODS = ["db-2", "db-0", "db-1", "web-0"]


def names(*services: Object, pods: list[str] = PODS) -> dict[str, tuple[str, ...]]:
    return {publisher.text: publisher.names for publisher in name_map.publishers_of(services, pods)}


def test_a_service_has_one_address_and_a_record_for_each_named_port() -> None:
    assert names(SERVICES[1]) == {"front: one address": ("front  A", "_client._tcp.front  SRV")}


def test_a_headless_service_has_names_for_its_pods() -> None:
    assert names(SERVICES[2]) == {
        "db: headless, 3 pods": (
            "db  A, one for each pod",
            "db-0.db  A",
            "... db-2.db  A",
            "_client._tcp.db  SRV",
            "_bus._tcp.db  SRV",
        )
    }
    assert "db-1.db  A" in names(SERVICES[2], pods=["db-0", "db-1"])["db: headless, 2 pods"]


def test_a_headless_service_without_pods_has_no_name() -> None:
    assert names(SERVICES[3]) == {"empty: headless, no pods": ("empty  NXDOMAIN",)}


def test_an_external_name_is_an_alias() -> None:
    assert names(SERVICES[0]) == {"out: ExternalName": ("out  CNAME db.example.org",)}


def test_each_service_stands_in_the_middle_of_its_names_with_an_arrow_to_each() -> None:
    page = name_map.diagram(name_map.publishers_of(SERVICES, PODS))
    left = [box for box in page.boxes if box.x < 1]
    right = [box for box in page.boxes if box.x > 1]
    assert [box.text.partition(":")[0] for box in left] == ["db", "empty", "front", "out"]
    assert {arrow.end for arrow in page.arrows} == {box.left for box in right}
    for box in left:
        heights = [arrow.end[1] for arrow in page.arrows if arrow.begin == box.right]
        assert sum(heights) / len(heights) == pytest.approx(box.right[1])
    assert_clear(page)


def test_the_map_is_drawn_from_the_live_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = [Object(metadata=Object(name=name)) for name in PODS]
    core = Object(
        list_namespaced_service=lambda space: Object(items=SERVICES[:2]),
        list_namespaced_pod=lambda space: Object(items=pods),
    )
    monkeypatch.setattr(api, "core", lambda: core)
    monkeypatch.setattr(scope, "namespace", lambda: "chapter-07")
    picture = name_map.draw()
    assert picture.alt == (
        "Services and the names they publish. front: one address publishes front  A, _client._tcp.front  SRV; "
        "out: ExternalName publishes out  CNAME db.example.org."
    )
    assert_readable(picture)
