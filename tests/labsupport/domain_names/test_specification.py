"""The table of the DNS specification: what is expected of the objects, and what counts as the answer. DNS is played."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client

from labsupport.domain_names import specification
from labsupport.domain_names.lookup import Answer
from labsupport.domain_names.specification import Row

ZONE = "chapter-07.svc.cluster.local."


class Cluster:
    """The Service `front` at 10.96.0.10, the pods of `db`, and a DNS that knows what `records` says."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], tuple[str, ...]] = {}
        self.empty: set[tuple[str, str]] = set()
        self.endpoints = [self.endpoint("db-1", "10.244.2.3"), self.endpoint("db-0", "10.244.1.3")]

    @staticmethod
    def endpoint(hostname: str, address: str, *, ready: bool = True) -> Any:
        return SimpleNamespace(hostname=hostname, addresses=[address], conditions=SimpleNamespace(ready=ready))

    def lookup(self, name: str, type: str) -> Answer:
        records = self.records.get((name, type), ())
        known = bool(records) or (name, type) in self.empty
        return Answer(name, type, "NOERROR" if known else "NXDOMAIN", tuple(sorted(records)), None)

    def slices(self, namespace: str, label_selector: str) -> Any:
        assert (namespace, label_selector) == ("chapter-07", "kubernetes.io/service-name=db")
        other_family = SimpleNamespace(address_type="IPv6", endpoints=[self.endpoint("db-0", "fd00::3")])
        return SimpleNamespace(items=[SimpleNamespace(address_type="IPv4", endpoints=self.endpoints), other_family])


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    front = SimpleNamespace(spec=SimpleNamespace(cluster_ip="10.96.0.10"))
    core = SimpleNamespace(read_namespaced_service=lambda name, namespace: front)
    discovery = SimpleNamespace(list_namespaced_endpoint_slice=cluster.slices)
    monkeypatch.setattr(specification.api, "core", lambda: core)
    monkeypatch.setattr(specification.api, "api_client", lambda: None)
    monkeypatch.setattr(client, "DiscoveryV1Api", lambda api_client: discovery)
    monkeypatch.setattr(specification, "lookup", cluster.lookup)
    return cluster


def row(rows: list[Row], name: str, type: str) -> Row:
    (one,) = [row for row in rows if (row.name, row.type) == (name.rstrip("."), type)]
    return one


def test_against_a_dns_that_knows_nothing_only_denials_hold(cluster: Cluster) -> None:
    rows = specification.check("chapter-07")
    assert {row.ok for row in rows} == {True, False}
    assert all(row.ok == (row.expected == ("NXDOMAIN",)) for row in rows)


def test_a_headless_service_is_its_ready_pods_in_order(cluster: Cluster) -> None:
    cluster.endpoints.append(cluster.endpoint("db-2", "10.244.1.9", ready=False))
    cluster.records["db." + ZONE, "A"] = ("10.244.1.3", "10.244.2.3")
    rows = specification.check("chapter-07")
    assert row(rows, "db." + ZONE, "A").ok
    assert row(rows, "_client._tcp.db." + ZONE, "SRV").expected == (
        f"0 50 6379 db-0.db.{ZONE}",
        f"0 50 6379 db-1.db.{ZONE}",
    )
    assert row(rows, "db-0.db." + ZONE, "A").expected == ("10.244.1.3",)
    assert not [row for row in rows if row.name.startswith("db-2.db.")]


def test_a_pod_without_a_hostname_is_called_by_its_address(cluster: Cluster) -> None:
    cluster.endpoints[:] = [SimpleNamespace(**vars(cluster.endpoint("", "10.244.1.3")))]
    assert row(specification.check("chapter-07"), "10-244-1-3.db." + ZONE, "A").expected == ("10.244.1.3",)


def test_where_any_record_will_do_one_is_enough_and_none_is_not(cluster: Cluster) -> None:
    assert not row(specification.check("chapter-07"), "cluster.local.", "SOA").ok
    cluster.records["cluster.local.", "SOA"] = ("ns.dns.cluster.local. hostmaster.cluster.local. 1 2 3 4 5",)
    assert row(specification.check("chapter-07"), "cluster.local.", "SOA").ok


def test_a_pod_of_several_services_may_have_more_names_than_the_one_asked_about(cluster: Cluster) -> None:
    reverse = "3.1.244.10.in-addr.arpa."
    cluster.records[reverse, "PTR"] = (f"db-0.db.{ZONE}", f"db-0.other.{ZONE}")
    assert row(specification.check("chapter-07"), reverse, "PTR").ok
    cluster.records[reverse, "PTR"] = (f"db-0.other.{ZONE}",)
    wrong = row(specification.check("chapter-07"), reverse, "PTR")
    assert not wrong.ok and wrong.found == (f"db-0.other.{ZONE}",)


def test_a_name_without_the_type_and_no_name_are_told_apart(cluster: Cluster) -> None:
    assert row(specification.check("chapter-07"), "front." + ZONE, "AAAA").found == ("NXDOMAIN",)
    cluster.empty.add(("front." + ZONE, "AAAA"))
    assert row(specification.check("chapter-07"), "front." + ZONE, "AAAA").ok
