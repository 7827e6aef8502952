"""The specification of Kubernetes' DNS as a table of questions, asked of the running cluster.

The rows follow "Kubernetes DNS-Based Service Discovery", schema version 1.1.0, section by section (kubernetes/dns,
docs/specification.md), and what CoreDNS's `kubernetes` plugin publishes beside it. What is expected is worked out
from the objects themselves: the Services, EndpointSlices and pods of notebooks/manifests/07_services.yaml.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from labsupport.cluster import api
from labsupport.domain_names.lookup import DOMAIN, lookup

DENIED = "NXDOMAIN"
EMPTY = "NODATA"


@dataclass(frozen=True)
class Row:
    """One line of the specification: what is asked, what is expected, and what came back."""

    section: str
    line: str
    name: str
    type: str
    expected: tuple[str, ...]
    found: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the answer is the expected one."""
        return self.expected == self.found


@dataclass(frozen=True)
class _Endpoint:
    """A ready endpoint of a headless Service."""

    hostname: str
    address: str


def check(namespace: str) -> list[Row]:
    """Ask every question of the specification about the objects of 07_services.yaml in that namespace.

    Raises Refused when an object is not there, LookupFailed when DNS does not answer.
    """
    zone = f"{namespace}.svc.{DOMAIN}"
    front = api.core().read_namespaced_service("front", namespace).spec.cluster_ip
    pods = _endpoints(namespace, "db")
    return [_asked(*row) for row in (*_basic(), *_cluster_ip(zone, front), *_headless(zone, pods), *_others(zone))]


Wanted = tuple[str, str, str, str, Iterable[str]]


def _basic() -> Iterable[Wanted]:
    yield "2.2", "the schema's version", f"dns-version.{DOMAIN}", "TXT", ['"1.1.0"']
    yield "2.1", "the zone has a start of authority", DOMAIN, "SOA", ["*"]
    yield "2.1", "and a name server", DOMAIN, "NS", ["*"]


def _cluster_ip(zone: str, address: str) -> Iterable[Wanted]:
    name = f"front.{zone}"
    yield "2.3.1", "a Service's name is its one address", name, "A", [address]
    yield "2.3.1", "which has no IPv6 twin here", name, "AAAA", [EMPTY]
    yield "2.3.2", "a named port has a SRV record", f"_client._tcp.{name}", "SRV", [f"0 100 6379 {name}."]
    yield "2.3.2", "of its own protocol only", f"_client._udp.{name}", "SRV", [DENIED]
    yield "2.3.3", "the address leads back to the name", _reverse(address), "PTR", [f"{name}."]
    yield "-", "a pod of another subdomain has no name below it", f"db-0.{name}", "A", [DENIED]


def _headless(zone: str, pods: list[_Endpoint]) -> Iterable[Wanted]:
    name = f"db.{zone}"
    yield "2.4.1", "a headless Service's name is all its ready pods", name, "A", [p.address for p in pods]
    for pod in pods:
        yield "2.4.1", "each pod has a name", f"{pod.hostname}.{name}", "A", [pod.address]
    weight = 100 // max(1, len(pods))
    for port, number in (("client", 6379), ("bus", 16379)):
        targets = [f"0 {weight} {number} {p.hostname}.{name}." for p in pods]
        yield "2.4.2", "a SRV record for each port and pod", f"_{port}._tcp.{name}", "SRV", targets
    for pod in pods:
        yield "2.4.3", "an address leads back to the pod", _reverse(pod.address), "PTR", [f"{pod.hostname}.{name}."]
    yield "2.4", "a pod that is not there has none", f"db-7.{name}", "A", [DENIED]
    yield "2.4.1", "without a ready pod there is no name", f"empty.{zone}", "A", [DENIED]


def _others(zone: str) -> Iterable[Wanted]:
    yield "2.5", "an ExternalName is an alias", f"out.{zone}", "CNAME", ["db.example.org."]
    yield "-", "an unknown Service", f"nobody.{zone}", "A", [DENIED]
    yield "-", "an unknown namespace", f"front.no-such-namespace.svc.{DOMAIN}", "A", [DENIED]
    yield "-", "case does not matter", f"FRONT.{zone}".replace("svc", "SVC"), "AAAA", [EMPTY]


def _asked(section: str, line: str, name: str, type: str, expected: Iterable[str]) -> Row:
    answer = lookup(name + ".", type)
    found = answer.records or (str(answer),)
    wanted = tuple(sorted(expected))
    if wanted == ("*",) and answer.records:
        found = wanted
    if type == "PTR":  # a pod behind several Services has a name in each: here the one that is asked about counts
        found = tuple(name for name in found if name in wanted) or found
    return Row(section, line, name, type, wanted, found)


def _endpoints(namespace: str, service: str) -> list[_Endpoint]:
    from kubernetes import client

    slices = client.DiscoveryV1Api(api.api_client()).list_namespaced_endpoint_slice(
        namespace, label_selector=f"kubernetes.io/service-name={service}"
    )
    endpoints = [
        _Endpoint(endpoint.hostname or endpoint.addresses[0].replace(".", "-"), endpoint.addresses[0])
        for each in slices.items
        if each.address_type == "IPv4"
        for endpoint in each.endpoints or ()
        if endpoint.conditions.ready
    ]
    return sorted(endpoints, key=lambda endpoint: endpoint.hostname)


def _reverse(address: str) -> str:
    return ip_address(address).reverse_pointer
