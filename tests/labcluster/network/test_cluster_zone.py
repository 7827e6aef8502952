"""The Kubernetes DNS specification 1.1.0, and CoreDNS where it is silent: one fact a test."""

from __future__ import annotations

from collections.abc import Iterator

import dns.asyncquery
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labcluster.api.objects import JSON
from labcluster.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from labcluster.network.cluster_zone import Answer, ClusterZone
from labcluster.network.service_index import ServiceIndex
from labcluster.storage.registry import Registry
from tests.labcluster.network.dns_registry import REDIS, dns_registry
from tests.labcluster.service_objects import add, endpoint, endpoint_slice, plain_registry, port, service


@pytest.fixture
def registry() -> Registry:
    return dns_registry()


@pytest.fixture
def index(registry: Registry) -> Iterator[ServiceIndex]:
    index = ServiceIndex()
    index.follow(registry)
    yield index
    index.stop()


class Zone:
    """Asks the zone, and says the answer in words."""

    def __init__(self, index: ServiceIndex) -> None:
        self.zone = ClusterZone(index, ["172.18.0.2"])

    def ask(self, name: str, rdtype: str = "A") -> Answer:
        return self.zone.answer(dns.name.from_text(name), dns.rdatatype.from_text(rdtype))

    def texts(self, name: str, rdtype: str = "A") -> list[str]:
        answer = self.ask(name, rdtype)
        assert answer.rcode == dns.rcode.NOERROR and answer.answer and not answer.authority
        return sorted(rdata.to_text() for rrset in answer.answer for rdata in rrset)

    def additional(self, name: str, rdtype: str) -> list[str]:
        return sorted(line for rrset in self.ask(name, rdtype).additional for line in rrset.to_text().splitlines())

    def outcome(self, name: str, rdtype: str = "A") -> str:
        """NODATA, NXDOMAIN or REFUSED, the first two with the SOA that they need."""
        answer = self.ask(name, rdtype)
        assert not answer.answer
        soa = [rrset.rdtype == dns.rdatatype.SOA for rrset in answer.authority]
        assert soa == ([] if answer.zone is None else [True])
        return "NODATA" if answer.rcode == dns.rcode.NOERROR else dns.rcode.to_text(answer.rcode)


@pytest.fixture
def zone(index: ServiceIndex) -> Zone:
    return Zone(index)


# --- the specification


def test_the_schema_version_is_a_txt_record(zone: Zone) -> None:
    assert zone.texts("dns-version.cluster.local", "TXT") == ['"1.1.0"']


def test_a_cluster_ip_service_has_one_address(zone: Zone) -> None:
    assert zone.texts("web.db.svc.cluster.local") == ["10.96.7.7"]


def test_a_cluster_ip_service_has_an_srv_for_each_named_port_and_protocol(zone: Zone) -> None:
    assert zone.texts("_http._tcp.web.db.svc.cluster.local", "SRV") == ["0 100 80 web.db.svc.cluster.local."]
    assert zone.texts("_dns._udp.web.db.svc.cluster.local", "SRV") == ["0 100 53 web.db.svc.cluster.local."]
    assert zone.outcome("_dns._tcp.web.db.svc.cluster.local", "SRV") == "NXDOMAIN"
    assert zone.outcome("_nosuch._tcp.web.db.svc.cluster.local", "SRV") == "NXDOMAIN"


def test_the_target_of_an_srv_comes_with_its_address(zone: Zone) -> None:
    name = "_http._tcp.web.db.svc.cluster.local"
    assert zone.additional(name, "SRV") == ["web.db.svc.cluster.local. 30 IN A 10.96.7.7"]


def test_a_cluster_ip_leads_back_to_its_service(zone: Zone) -> None:
    assert zone.texts("7.7.96.10.in-addr.arpa", "PTR") == ["web.db.svc.cluster.local."]


def test_a_headless_service_has_the_addresses_of_its_ready_endpoints(zone: Zone) -> None:
    assert zone.texts("redis.db.svc.cluster.local") == ["10.244.1.2", "10.244.2.3"]


def test_an_endpoint_with_a_hostname_has_a_name(zone: Zone) -> None:
    assert zone.texts("redis-1.redis.db.svc.cluster.local") == ["10.244.2.3"]


def test_a_headless_service_has_an_srv_for_each_ready_endpoint(zone: Zone) -> None:
    name = "_redis._tcp.redis.db.svc.cluster.local"
    assert zone.texts(name, "SRV") == [
        "0 50 6379 redis-0.redis.db.svc.cluster.local.",
        "0 50 6379 redis-1.redis.db.svc.cluster.local.",
    ]
    assert zone.additional(name, "SRV") == [
        "redis-0.redis.db.svc.cluster.local. 30 IN A 10.244.1.2",
        "redis-1.redis.db.svc.cluster.local. 30 IN A 10.244.2.3",
    ]


def test_an_endpoint_leads_back_to_its_name(zone: Zone) -> None:
    assert zone.texts("2.1.244.10.in-addr.arpa", "PTR") == ["redis-0.redis.db.svc.cluster.local."]


def test_a_headless_service_without_ready_endpoints_does_not_exist(zone: Zone, registry: Registry) -> None:
    def not_ready(obj: JSON) -> None:
        for entry in obj["endpoints"]:
            entry["conditions"]["ready"] = False

    registry.modify(ENDPOINT_SLICES, "db", "redis-1", not_ready)
    assert zone.outcome("redis.db.svc.cluster.local") == "NXDOMAIN"
    assert zone.outcome("redis-0.redis.db.svc.cluster.local") == "NXDOMAIN"
    assert zone.outcome("_redis._tcp.redis.db.svc.cluster.local", "SRV") == "NXDOMAIN"
    assert zone.outcome("2.1.244.10.in-addr.arpa", "PTR") == "NXDOMAIN"


def test_an_endpoint_that_is_not_ready_has_no_name(zone: Zone) -> None:
    assert zone.outcome("redis-2.redis.db.svc.cluster.local") == "NXDOMAIN"


def test_an_external_name_is_a_cname(zone: Zone) -> None:
    assert zone.texts("outside.db.svc.cluster.local", "CNAME") == ["www.example.org."]
    assert zone.texts("outside.db.svc.cluster.local") == ["www.example.org."]


def test_an_external_name_in_the_cluster_is_followed(zone: Zone) -> None:
    assert zone.texts("alias.db.svc.cluster.local") == ["10.96.7.7", "web.db.svc.cluster.local."]


def test_names_are_compared_without_case_and_answered_in_the_case_of_the_query(zone: Zone) -> None:
    (rrset,) = zone.ask("ReDiS-0.Redis.DB.Svc.Cluster.LOCAL").answer
    assert rrset.to_text() == "ReDiS-0.Redis.DB.Svc.Cluster.LOCAL. 30 IN A 10.244.1.2"


# --- CoreDNS


def test_an_endpoint_without_hostname_is_named_by_its_address(zone: Zone) -> None:
    assert zone.texts("10-244-1-9.web.db.svc.cluster.local") == ["10.244.1.9"]
    assert zone.texts("9.1.244.10.in-addr.arpa", "PTR") == ["10-244-1-9.web.db.svc.cluster.local."]


def test_the_ttl_is_30_seconds(zone: Zone) -> None:
    assert {rrset.ttl for rrset in zone.ask("redis.db.svc.cluster.local").answer} == {30}


def test_the_aaaa_of_an_ipv4_service_is_nodata(zone: Zone) -> None:
    assert zone.outcome("web.db.svc.cluster.local", "AAAA") == "NODATA"
    assert zone.outcome("redis.db.svc.cluster.local", "AAAA") == "NODATA"


@pytest.mark.parametrize(
    "name", ["nosuch.db.svc.cluster.local", "web.nosuch.svc.cluster.local", "nosuch.redis.db.svc.cluster.local"]
)
@pytest.mark.parametrize("rdtype", ["A", "AAAA", "SRV", "MX"])
def test_an_unknown_service_namespace_or_endpoint_is_nxdomain(zone: Zone, name: str, rdtype: str) -> None:
    assert zone.outcome(name, rdtype) == "NXDOMAIN"


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("cluster.local", "NODATA"),
        ("svc.cluster.local", "NODATA"),
        ("pod.cluster.local", "NODATA"),
        ("db.svc.cluster.local", "NODATA"),
        ("empty.pod.cluster.local", "NODATA"),
        ("foo.svc.cluster.local", "NXDOMAIN"),
        ("foo.cluster.local", "NXDOMAIN"),
        ("a.b.c.web.db.svc.cluster.local", "NXDOMAIN"),
    ],
)
def test_names_between_the_zone_and_a_service_exist_without_records(zone: Zone, name: str, outcome: str) -> None:
    assert zone.outcome(name) == outcome


def test_an_existing_name_without_the_asked_type_is_nodata(zone: Zone) -> None:
    assert zone.outcome("web.db.svc.cluster.local", "MX") == "NODATA"
    assert zone.outcome("web.db.svc.cluster.local", "CNAME") == "NODATA"
    assert zone.outcome("outside.db.svc.cluster.local", "SRV") == "NODATA"


def test_wildcards_are_not_served(zone: Zone) -> None:
    for name in ("*.db.svc.cluster.local", "*.redis.db.svc.cluster.local", "_*._tcp.redis.db.svc.cluster.local"):
        assert zone.outcome(name, "SRV") == "NXDOMAIN"


def test_an_srv_query_for_the_service_itself_matches_every_port(zone: Zone) -> None:
    assert zone.texts("redis.db.svc.cluster.local", "SRV") == [
        "0 25 16379 redis-0.redis.db.svc.cluster.local.",
        "0 25 16379 redis-1.redis.db.svc.cluster.local.",
        "0 25 6379 redis-0.redis.db.svc.cluster.local.",
        "0 25 6379 redis-1.redis.db.svc.cluster.local.",
    ]


def test_three_endpoints_weigh_33_each(zone: Zone, registry: Registry) -> None:
    registry.modify(ENDPOINT_SLICES, "db", "redis-1", lambda o: o["endpoints"][2]["conditions"].update(ready=True))
    texts = zone.texts("_redis._tcp.redis.db.svc.cluster.local", "SRV")
    assert [t.split()[:2] for t in texts] == [["0", "33"]] * 3


def test_a_headless_service_without_ports_has_addresses_and_no_srv(zone: Zone, registry: Registry) -> None:
    add(registry, service("bare", "None"), endpoint_slice("bare", endpoint("10.244.1.2", "a"), ports=[]))
    assert zone.texts("bare.db.svc.cluster.local") == ["10.244.1.2"]
    assert zone.outcome("bare.db.svc.cluster.local", "SRV") == "NODATA"


def test_an_address_in_two_services_leads_back_to_both(zone: Zone, registry: Registry) -> None:
    add(registry, service("again", "None"), endpoint_slice("again", endpoint("10.244.1.2", "redis-0"), ports=[]))
    names = ["redis-0.again.db.svc.cluster.local.", "redis-0.redis.db.svc.cluster.local."]
    assert zone.texts("2.1.244.10.in-addr.arpa", "PTR") == names


def test_a_terminating_endpoint_is_published_only_if_it_counts_as_ready(zone: Zone, registry: Registry) -> None:
    def terminate(obj: JSON) -> None:
        obj["endpoints"][0]["conditions"] = {"ready": False, "serving": True, "terminating": True}
        obj["endpoints"][2]["conditions"] = {"ready": True, "serving": False, "terminating": True}  # publishNotReady

    registry.modify(ENDPOINT_SLICES, "db", "redis-1", terminate)
    assert zone.texts("redis.db.svc.cluster.local") == ["10.244.1.4", "10.244.2.3"]


@pytest.mark.parametrize(
    ("name", "address"), [("10-1-2-3.db.pod.cluster.local", "10.1.2.3"), ("1-2-3-4.empty.pod.cluster.local", "1.2.3.4")]
)
def test_a_pod_name_is_the_address_in_it(zone: Zone, name: str, address: str) -> None:
    assert zone.texts(name) == [address]


def test_a_pod_name_needs_a_namespace_and_an_address(zone: Zone) -> None:
    assert zone.outcome("10-1-2-3.nosuch.pod.cluster.local") == "NXDOMAIN"
    assert zone.outcome("10-1-2-300.db.pod.cluster.local") == "NXDOMAIN"
    assert zone.outcome("redis-0.db.pod.cluster.local") == "NXDOMAIN"


def test_the_apex_has_a_soa_and_a_name_server(zone: Zone, index: ServiceIndex) -> None:
    numbers = f"{index.changed_at} 7200 1800 86400 30"
    assert zone.texts("cluster.local", "SOA") == [f"ns.dns.cluster.local. hostmaster.cluster.local. {numbers}"]
    assert zone.texts("cluster.local", "NS") == ["ns.dns.cluster.local."]
    assert zone.additional("cluster.local", "NS") == ["ns.dns.cluster.local. 30 IN A 172.18.0.2"]
    assert zone.texts("ns.dns.cluster.local") == ["172.18.0.2"]


def test_the_services_of_the_dns_server_itself_are_its_name_servers(zone: Zone, registry: Registry) -> None:
    ports = [port(53, "dns", "UDP")]
    registry.create(NAMESPACES, {"metadata": {"name": "kube-system"}})
    add(
        registry,
        service("kube-dns", "10.96.0.10", *ports, namespace="kube-system"),
        endpoint_slice("kube-dns", endpoint("172.18.0.2"), ports=ports, namespace="kube-system"),
    )
    assert zone.texts("cluster.local", "NS") == ["kube-dns.kube-system.svc.cluster.local."]
    assert zone.texts("ns.dns.cluster.local") == ["10.96.0.10"]


def test_reverse_names_of_the_clusters_ranges_only(zone: Zone) -> None:
    assert zone.outcome("200.200.244.10.in-addr.arpa", "PTR") == "NXDOMAIN"
    assert zone.outcome("9.18.172.in-addr.arpa", "PTR") == "NODATA"
    assert zone.outcome("8.8.8.8.in-addr.arpa", "PTR") == "REFUSED"


def test_a_name_outside_the_cluster_is_refused(zone: Zone) -> None:
    assert zone.outcome("www.example.org") == "REFUSED"
    assert zone.outcome("notcluster.local") == "REFUSED"


_LABEL = st.sampled_from(["redis", "redis-0", "db", "svc", "pod", "_redis", "_tcp", "*", "_", "10-1-2-3", "é", "web"])


@settings(deadline=None)
@given(labels=st.lists(_LABEL, max_size=7), rdtype=st.sampled_from(["A", "AAAA", "SRV", "PTR", "ANY", "NS", "DS"]))
def test_every_name_of_the_zone_has_an_answer_or_a_soa(labels: list[str], rdtype: str) -> None:
    index = ServiceIndex()
    registry = plain_registry("db")
    index.follow(registry)
    add(registry, service("redis", "None", *REDIS), service("web", "10.96.7.7", *REDIS))
    add(registry, endpoint_slice("redis", endpoint("10.244.1.2", "redis-0"), ports=REDIS))
    answer = Zone(index).ask(".".join([*labels, "cluster.local"]), rdtype)
    assert bool(answer.answer) != bool(answer.authority)


# --- following the registry


def test_a_change_shows_in_the_next_answer(zone: Zone, registry: Registry) -> None:
    registry.delete(SERVICES, "db", "web")
    assert zone.outcome("web.db.svc.cluster.local") == "NXDOMAIN"
    assert zone.outcome("7.7.96.10.in-addr.arpa", "PTR") == "NXDOMAIN"
    add(registry, service("web", "10.96.7.8", port(80)))
    assert zone.texts("web.db.svc.cluster.local") == ["10.96.7.8"]
    registry.delete(ENDPOINT_SLICES, "db", "redis-1")
    assert zone.outcome("redis.db.svc.cluster.local") == "NXDOMAIN"
    assert zone.outcome("2.1.244.10.in-addr.arpa", "PTR") == "NXDOMAIN"
    registry.delete(NAMESPACES, "", "empty")
    assert zone.outcome("empty.svc.cluster.local") == "NXDOMAIN"
