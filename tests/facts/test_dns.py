"""The cluster's DNS, asked over its port by UDP and by TCP (facts 38, 39)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.facts.api_port import JSON, ApiPort, Space, path_of
from tests.manifests import pod, service
from tests.running_lab import SECONDS, RunningLab

ZONE = "cluster.local."
PORTS = [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]
READY = {"web-0": "10.244.9.1", "web-1": "10.244.9.2", "plain": "10.244.9.3"}


@dataclass(frozen=True)
class Server:
    """The cluster's name server, by one of its transports."""

    port: int
    tcp: bool

    def ask(self, name: str, kind: str) -> dns.message.Message:
        """The response to a question; over UDP without EDNS, as the plainest client asks."""
        query = dns.message.make_query(name, kind, use_edns=False)
        send: Any = dns.query.tcp if self.tcp else dns.query.udp
        return send(query, "127.0.0.1", port=self.port, timeout=SECONDS)

    def found(self, name: str, kind: str) -> set[str]:
        """The data of the answer to a name that exists."""
        response = self.ask(name, kind)
        assert response.rcode() == dns.rcode.NOERROR, response
        return {data.to_text() for rrset in response.answer for data in rrset}

    def assert_empty(self, name: str, kind: str, rcode: dns.rcode.Rcode) -> None:
        """Nothing is found, and the zone's SOA says for how long that may be remembered."""
        response = self.ask(name, kind)
        assert (response.rcode(), response.answer) == (rcode, []), response
        (authority,) = response.authority
        assert (authority.name.to_text(), authority.rdtype) == (ZONE, dns.rdatatype.SOA)


@pytest.fixture(params=[False, True], ids=["UDP", "TCP"])
def server(request: pytest.FixtureRequest, cluster: RunningLab) -> Server:
    """The name server of the running cluster."""
    return Server(int(cluster.status()["dns"].rpartition(":")[2]), request.param)


def backing(space: Space, name: str, address: str, *, ready: bool = True, **spec: Any) -> None:
    space.create(pod(name, labels={"app": "web"}, schedulerName="nobody", **spec))
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [condition]}
    space.patch("pods", name, {"status": status}, "status")


def slice_of(name: str, addresses: list[str], *, family: str = "IPv4") -> JSON:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-{family.lower()}", "labels": {"kubernetes.io/service-name": name}},
        "addressType": family,
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a in addresses],
    }


@pytest.fixture(scope="module")
def names(api: ApiPort) -> Iterator[Space]:
    """Services of each kind; behind "web" are two endpoints with hostnames, one without, and one that is not ready."""
    space = Space(api, "test-names")
    api.ok("POST", path_of("namespaces"), {"metadata": {"name": space.name}})
    space.create(
        service("front", "web", ports=PORTS),
        service("web", "web", ports=PORTS, clusterIP="None"),
        service("asleep", clusterIP="None"),
        service("outside", type="ExternalName", externalName="www.example.com"),
        service("inside", type="ExternalName", externalName=f"front.test-names.svc.{ZONE}".rstrip(".")),
        service("unnamed", ports=[{"port": 80}]),
        service("many", clusterIP="None"),
        service("six", clusterIP="None"),
        slice_of("many", [f"10.244.9.{n}" for n in range(100, 180)]),
        slice_of("six", ["fd00::1"], family="IPv6"),
    )
    backing(space, "unready", "10.244.9.8", ready=False, hostname="unready", subdomain="web")
    for name, address in READY.items():
        backing(space, name, address, **({"hostname": name, "subdomain": "web"} if "-" in name else {}))
    is_last = READY["plain"]
    space.until("endpointslices", lambda found: sum(is_last in str(s["endpoints"]) for s in found.values()) == 2)
    yield space
    api.ok("DELETE", path_of("namespaces", name=space.name))


def svc(space: Space, *labels: str) -> str:
    return ".".join((*labels, space.name, "svc", ZONE))


def reverse(address: str) -> str:
    return ipaddress.ip_address(address).reverse_pointer + "."


def test_fact_38_the_version_of_the_specification(server: Server) -> None:
    """dns-version.<zone> is a TXT record, "1.1.0"."""
    assert server.found(f"dns-version.{ZONE}", "TXT") == {'"1.1.0"'}


def test_fact_38_a_cluster_ip_has_an_address_ports_and_a_name(server: Server, names: Space) -> None:
    """A of the Service, SRV of each named port, PTR of the address; no AAAA of an IPv4 service, no SRV without name."""
    address = names.get("services", "front")["spec"]["clusterIP"]
    assert server.found(svc(names, "front"), "A") == {address}
    assert server.found(svc(names, "front"), "AAAA") == set()
    for port, protocol, number in (("http", "tcp", 80), ("dns", "udp", 53)):
        (record,) = server.found(svc(names, f"_{port}", f"_{protocol}", "front"), "SRV")
        assert record.split()[2:] == [str(number), svc(names, "front")]
    server.assert_empty(svc(names, "_http", "_udp", "front"), "SRV", dns.rcode.NXDOMAIN)
    server.assert_empty(svc(names, "_other", "_tcp", "front"), "SRV", dns.rcode.NXDOMAIN)
    server.assert_empty(svc(names, "_http", "_tcp", "unnamed"), "SRV", dns.rcode.NXDOMAIN)
    assert server.found(reverse(address), "PTR") == {svc(names, "front")}


def test_fact_38_a_headless_service_has_the_addresses_of_its_ready_endpoints(server: Server, names: Space) -> None:
    """A of the Service and of <hostname>.<service>, SRV of endpoints times ports, PTR; none is ready: NXDOMAIN."""
    assert server.found(svc(names, "web"), "A") == set(READY.values())
    ends = {"web-0": svc(names, "web-0", "web"), "web-1": svc(names, "web-1", "web")}
    ends["plain"] = svc(names, "10-244-9-3", "web")
    for name, end in ends.items():
        assert server.found(end, "A") == {READY[name]}
        assert server.found(reverse(READY[name]), "PTR") >= {end}
    for port, protocol, number in (("http", "tcp", 80), ("dns", "udp", 53)):
        records = server.found(svc(names, f"_{port}", f"_{protocol}", "web"), "SRV")
        assert {tuple(r.split()[2:]) for r in records} == {(str(number), end) for end in ends.values()}
    for name in ("asleep", "unready.web"):
        server.assert_empty(svc(names, name), "A", dns.rcode.NXDOMAIN)


def test_fact_38_an_ipv6_endpoint_has_an_aaaa_record(server: Server, names: Space) -> None:
    """A headless Service whose endpoints are of that family answers AAAA, and NOERROR to A."""
    for name in (svc(names, "six"), svc(names, "fd00--1", "six")):
        assert server.found(name, "AAAA") == {"fd00::1"}
        server.assert_empty(name, "A", dns.rcode.NOERROR)


def test_fact_38_an_external_name_is_a_cname(server: Server, names: Space) -> None:
    """The name outside as a CNAME; one inside the zone is followed to its address."""
    response = server.ask(svc(names, "outside"), "A")
    assert [(r.rdtype, r[0].to_text()) for r in response.answer] == [(dns.rdatatype.CNAME, "www.example.com.")]
    assert server.found(svc(names, "outside"), "CNAME") == {"www.example.com."}
    address = names.get("services", "front")["spec"]["clusterIP"]
    assert server.found(svc(names, "inside"), "A") == {svc(names, "front"), address}


def test_fact_38_the_case_of_a_question_does_not_matter_and_is_kept(server: Server, names: Space) -> None:
    """WeB finds web, and the answer is about WeB."""
    asked = svc(names, "WeB-0", "wEb").replace("svc", "SvC")
    response = server.ask(asked, "A")
    assert [str(rrset.name) for rrset in response.answer] == [asked]
    assert str(response.question[0].name) == asked
    assert {data.to_text() for rrset in response.answer for data in rrset} == {READY["web-0"]}


def test_fact_39_records_live_for_30_seconds(server: Server, names: Space) -> None:
    """The TTL is that of kubeadm's and kind's Corefile, of what is there and of what is not."""
    for name, kind in (("front", "A"), ("web", "A"), ("_http._tcp.web", "SRV"), ("outside", "CNAME")):
        response = server.ask(svc(names, name), kind)
        assert {rrset.ttl for rrset in [*response.answer, *response.additional]} == {30}
    (authority,) = server.ask(svc(names, "nobody"), "A").authority
    assert (authority.ttl, authority[0].minimum) == (30, 30)


def test_fact_39_what_there_is_without_such_a_record_is_no_error(server: Server, names: Space) -> None:
    """AAAA of an IPv4 service, `svc.<zone>` and a namespace: NOERROR with the SOA."""
    server.assert_empty(svc(names, "front"), "AAAA", dns.rcode.NOERROR)
    server.assert_empty(svc(names, "web-0", "web"), "AAAA", dns.rcode.NOERROR)
    server.assert_empty(f"svc.{ZONE}", "A", dns.rcode.NOERROR)
    server.assert_empty(svc(names), "A", dns.rcode.NOERROR)


def test_fact_39_what_there_is_not_is_nxdomain(server: Server, names: Space) -> None:
    """An unknown service, namespace or endpoint, and foo.svc.<zone>: NXDOMAIN with the SOA."""
    for name in (svc(names, "nobody"), f"web.nowhere.svc.{ZONE}", svc(names, "web-7", "web"), f"foo.svc.{ZONE}"):
        for kind in ("A", "AAAA", "SRV"):
            server.assert_empty(name, kind, dns.rcode.NXDOMAIN)


def test_fact_39_srv_records_share_the_weight_and_bring_their_addresses(server: Server, names: Space) -> None:
    """Priority 0, weight 100 by the number of endpoints, and the targets' addresses as additional records."""
    response = server.ask(svc(names, "_http", "_tcp", "web"), "SRV")
    (records,) = response.answer
    assert {(r.priority, r.weight) for r in records} == {(0, 33)}
    additional = {str(rrset.name): {d.to_text() for d in rrset} for rrset in response.additional}
    assert additional == {
        svc(names, "web-0", "web"): {READY["web-0"]},
        svc(names, "web-1", "web"): {READY["web-1"]},
        svc(names, "10-244-9-3", "web"): {READY["plain"]},
    }
    (alone,) = server.ask(svc(names, "_http", "_tcp", "front"), "SRV").answer
    assert (alone[0].priority, alone[0].weight) == (0, 100)


def test_fact_39_the_zone_has_an_apex(server: Server) -> None:
    """SOA and NS at <zone>; the name server ns.dns.<zone> has an address."""
    (soa,) = server.ask(ZONE, "SOA").answer
    assert (soa[0].mname.to_text(), soa[0].rname.to_text()) == (f"ns.dns.{ZONE}", f"hostmaster.{ZONE}")
    response = server.ask(ZONE, "NS")
    (names,) = response.answer
    servers = {data.to_text() for data in names}
    assert f"kube-dns.kube-system.svc.{ZONE}" in servers  # CoreDNS names the services in front of it
    assert {str(rrset.name) for rrset in response.additional} == servers
    addresses = {data.to_text() for rrset in response.additional for data in rrset}
    assert server.found(f"ns.dns.{ZONE}", "A") == addresses


def test_fact_39_the_zone_is_not_transferred(server: Server) -> None:
    """AXFR is REFUSED."""
    assert server.ask(ZONE, "AXFR").rcode() == dns.rcode.REFUSED


def test_fact_39_what_does_not_fit_into_a_datagram_comes_by_tcp(server: Server, names: Space) -> None:
    """80 addresses: over UDP the answer is cut and has the bit TC, over TCP it is whole."""
    response = server.ask(svc(names, "many"), "A")
    found = {data.to_text() for rrset in response.answer for data in rrset}
    if server.tcp:
        assert not response.flags & dns.flags.TC
        assert found == {f"10.244.9.{n}" for n in range(100, 180)}
    else:
        assert response.flags & dns.flags.TC
        assert len(found) < 80 and len(response.to_wire()) <= 512
