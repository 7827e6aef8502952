"""The records of cluster DNS: from a name and a type to an answer, as CoreDNS's `kubernetes` plugin gives it.

The Kubernetes DNS specification 1.1.0 says which names exist; where it is silent, this follows CoreDNS
(plugin/kubernetes, plugin/backend_lookup.go) with the options of kubeadm's Corefile: `pods insecure`, `ttl 30`.
A name that exists without the queried type gets NODATA, any other name NXDOMAIN, and both carry the zone's SOA.

Two differences, because this cluster has no upstream resolver: an ExternalName's target outside the zone is given
as the CNAME alone, and reverse names are served for the cluster's own ranges only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address

import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from labcluster import settings
from labcluster.kinds import formats
from labcluster.network.service_index import Port, Service, ServiceIndex, ServiceKey

SCHEMA_VERSION = "1.1.0"  # of the specification, as TXT at dns-version.<zone>
SCHEMA_VERSION_TTL = 28800  # seconds
MAX_CNAMES = 8  # how long a chain of ExternalNames may be

Labels = tuple[str, ...]

_ZONE = tuple(settings.CLUSTER_DOMAIN.split("."))
_SERVICES, _PODS = "svc", "pod"


@dataclass(frozen=True, slots=True)
class Record:
    """One (host, port) of a name. `name` is the name by which the host itself is resolved."""

    host: str  # an address, or a DNS name for an ExternalName
    port: int  # -1: none
    name: str


@dataclass
class Answer:
    """The rcode and sections of a response. `zone` is None for a name outside every zone of the cluster."""

    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    zone: dns.name.Name | None = None
    answer: list[dns.rrset.RRset] = field(default_factory=list)
    authority: list[dns.rrset.RRset] = field(default_factory=list)
    additional: list[dns.rrset.RRset] = field(default_factory=list)


class _NoSuchName(Exception):
    """NXDOMAIN."""


class ClusterZone:
    """Answers queries for the cluster's names from an index of its services."""

    def __init__(self, index: ServiceIndex, addresses: Sequence[str]) -> None:
        """addresses: where this DNS server itself listens; from them follow the names in the zone's NS records."""
        self._index = index
        self._addresses = tuple(addresses)

    def answer(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> Answer:
        """The answer to a query of class IN; owner names keep the case of `name`."""
        labels = tuple(label.decode("latin-1").lower() for label in name.labels[:-1])
        if labels[-len(_ZONE) :] == _ZONE:
            return self._complete(_ZONE, labels[: -len(_ZONE)], name, rdtype)
        for zone in _REVERSE_ZONES:
            if labels[-len(zone) :] == zone:
                return self._complete(zone, labels[: -len(zone)], name, rdtype)
        return Answer(rcode=dns.rcode.REFUSED)

    def _complete(self, zone: Labels, relative: Labels, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> Answer:
        answer = Answer(zone=_name(".".join(zone) + "."))
        try:
            if not relative and rdtype == dns.rdatatype.SOA:
                answer.answer.append(self._soa(answer.zone))
            elif not relative and rdtype == dns.rdatatype.NS:
                self._name_servers(name, answer)
            elif zone is _ZONE:
                self._forward(relative, name, rdtype, answer)
            else:
                self._reverse(relative + zone, name, rdtype, answer)
        except _NoSuchName:
            answer.rcode = dns.rcode.NXDOMAIN
        if not answer.answer:
            answer.authority.append(self._soa(answer.zone))
        return answer

    # --- names of services and pods

    def _forward(self, relative: Labels, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, answer: Answer) -> None:
        """Dispatch as CoreDNS does: types it never serves get an A look-up, to tell NODATA from NXDOMAIN."""
        if rdtype == dns.rdatatype.TXT:
            if relative == ("dns-version",):
                answer.answer.append(_rrset(name, SCHEMA_VERSION_TTL, rdtype, [f'"{SCHEMA_VERSION}"']))
        elif rdtype == dns.rdatatype.SOA:
            pass  # at the zone's apex only
        elif relative == ("ns", "dns"):
            hosts = [host for _, host in self._name_server_hosts()]
            answer.answer.extend(_addresses(name, rdtype, hosts))
        elif rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
            answer.answer.extend(self._resolve(relative, name, rdtype, depth=0))
        elif rdtype == dns.rdatatype.SRV:
            self._srv(self._records(relative), name, answer)
        elif rdtype == dns.rdatatype.CNAME:
            hosts = [record.host for record in self._records(relative)[:1] if not _is_address(record.host)]
            if hosts:
                answer.answer.append(_rrset(name, settings.DNS_TTL, rdtype, [_absolute(hosts[0])]))
        else:
            self._records(relative)

    def _resolve(
        self, relative: Labels, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, depth: int
    ) -> list[dns.rrset.RRset]:
        """A or AAAA records; an ExternalName gives its CNAME and, if that stays in the zone, what it leads to."""
        records = self._records(relative)
        rrsets = _addresses(name, rdtype, [r.host for r in records])
        for record in records:
            if _is_address(record.host) or depth >= MAX_CNAMES:
                continue
            target = _absolute(record.host)
            cname = _rrset(name, settings.DNS_TTL, dns.rdatatype.CNAME, [target])
            labels = tuple(target.lower().rstrip(".").split("."))
            if labels[-len(_ZONE) :] != _ZONE:
                rrsets.append(cname)
                continue
            try:
                resolved = self._resolve(labels[: -len(_ZONE)], _name(target), rdtype, depth + 1)
            except _NoSuchName:
                resolved = []
            if resolved:
                rrsets += [cname, *resolved]
        return rrsets

    def _records(self, relative: Labels) -> list[Record]:
        """The records of a name of the zone; [] for a name that exists with none of its own (an empty non-terminal).

        Raises _NoSuchName. The shapes (plugin/kubernetes/parse.go), from the right: `svc` or `pod`, the namespace,
        the service, and then either an endpoint or `_protocol` and `_port`.
        """
        if relative in ((), (_SERVICES,), (_PODS,)):
            return []
        if relative[-1] not in (_SERVICES, _PODS) or len(relative) > 5:
            raise _NoSuchName
        *below, namespace, kind = relative
        if namespace not in self._index.namespaces:
            raise _NoSuchName
        if not below:
            return []
        *prefix, name = below
        if kind == _PODS:
            return [_pod_record(namespace, name)]
        service = self._index.services.get((namespace, name))
        records = list(self._service_records(service, prefix)) if service else []
        if not records:
            raise _NoSuchName
        return records

    def _service_records(self, service: Service, prefix: list[str]) -> Iterator[Record]:
        label = prefix[0] if len(prefix) == 1 else ""
        port, protocol = (p.removeprefix("_") for p in prefix) if len(prefix) == 2 else ("", "")
        own_name = f"{service.name}.{service.namespace}.{_SERVICES}.{settings.CLUSTER_DOMAIN}."
        if service.type == "ExternalName":
            if not label and not _is_address(service.external_name):
                yield Record(service.external_name, -1, own_name)
        elif service.headless or label:
            for endpoint_slice in self._index.slices(service.key):
                for endpoint in endpoint_slice.endpoints:
                    if not endpoint.ready or (label and label != endpoint.dns_label.lower()):
                        continue
                    for target in endpoint_slice.ports:
                        if _matches(target, port, protocol):
                            yield Record(endpoint.address, target.port, f"{endpoint.dns_label}.{own_name}")
        else:
            for target in service.ports:
                if _matches(target, port, protocol):
                    for address in service.cluster_ips:
                        yield Record(address, target.port, own_name)

    def _srv(self, records: list[Record], name: dns.name.Name, answer: Answer) -> None:
        """SRV records of equal weight (100 shared among them all), and their targets' addresses as additional."""
        records = [r for r in records if _is_address(r.host)]
        weight = max(1, 100 // len(records)) if records else 0
        targets = dict.fromkeys(f"0 {weight} {r.port} {r.name}" for r in records if r.port != -1)
        if not targets:
            return
        answer.answer.append(_rrset(name, settings.DNS_TTL, dns.rdatatype.SRV, targets))
        hosts: dict[str, list[str]] = {}
        for record in records:
            hosts.setdefault(record.name, []).append(record.host)
        for target, addresses in hosts.items():
            for rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
                answer.additional += _addresses(_name(target), rdtype, addresses)

    # --- the zones themselves

    def _soa(self, zone: dns.name.Name | None) -> dns.rrset.RRset:
        assert zone is not None
        domain, ttl = settings.CLUSTER_DOMAIN, settings.DNS_TTL
        text = f"ns.dns.{domain}. hostmaster.{domain}. {self._index.changed_at} 7200 1800 86400 {ttl}"
        return _rrset(zone, ttl, dns.rdatatype.SOA, [text])

    def _name_servers(self, name: dns.name.Name, answer: Answer) -> None:
        hosts = dict(self._name_server_hosts())
        answer.answer.append(_rrset(name, settings.DNS_TTL, dns.rdatatype.NS, hosts))
        for server, host in hosts.items():
            answer.additional += _addresses(_name(server), dns.rdatatype.A, [host])

    def _name_server_hosts(self) -> Iterator[tuple[str, str]]:
        """Names and addresses of this server: of its Services, else `ns.dns` (CoreDNS's ns.go)."""
        index, has_service = self._index, False
        for address in self._addresses:
            for key in index.services_with_endpoint(address):
                service = index.services.get(key)
                if service is not None and not service.headless and service.cluster_ips and _serves_dns(service):
                    has_service = True
                    yield f"{_service_name(key)}.", service.cluster_ips[0]
        if not has_service:
            for address in self._addresses:
                yield f"ns.dns.{settings.CLUSTER_DOMAIN}.", address

    # --- reverse names

    def _reverse(self, labels: Labels, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, answer: Answer) -> None:
        """PTR: the Service with that ClusterIP, else every service's endpoint of that address (reverse.go)."""
        octets = labels[:-2]  # without in-addr.arpa
        if len(octets) < 4:
            return
        address = ".".join(reversed(octets))
        if not _is_address(address):
            raise _NoSuchName
        names = list(self._reverse_names(str(address)))
        if not names:
            raise _NoSuchName
        if rdtype == dns.rdatatype.PTR:
            answer.answer.append(_rrset(name, settings.DNS_TTL, rdtype, dict.fromkeys(names)))

    def _reverse_names(self, address: str) -> Iterator[str]:
        service = self._index.service_of_cluster_ip(address)
        if service is not None:
            yield f"{_service_name(service.key)}."
            return
        for key in self._index.services_with_endpoint(address):
            for endpoint_slice in self._index.slices(key):
                for endpoint in endpoint_slice.endpoints:
                    if endpoint.address == address and endpoint.ready:
                        yield f"{endpoint.dns_label}.{_service_name(key)}."


def _reverse_zone(octets: int, address: IPv4Address) -> Labels:
    return tuple(address.reverse_pointer.split(".")[4 - octets :])


_REVERSE_ZONES = tuple(
    _reverse_zone(cidr.prefixlen // 8, cidr.network_address)
    for cidr in (settings.SERVICE_CIDR, settings.POD_CIDR, settings.NODE_CIDR)
)


def _pod_record(namespace: str, dashed: str) -> Record:
    """`10-244-1-5.<ns>.pod`: the address in the name, whether or not a pod has it (`pods insecure`)."""
    separator = "." if dashed.count("-") == 3 and "--" not in dashed else ":"
    host = dashed.replace("-", separator)
    if not _is_address(host):
        raise _NoSuchName
    return Record(host, -1, f"{dashed}.{namespace}.{_PODS}.{settings.CLUSTER_DOMAIN}.")


def _matches(target: Port, port: str, protocol: str) -> bool:
    """Whether a port is the one in `_port._protocol`; what the name leaves out matches every port."""
    return (not port or port == target.name.lower()) and (not protocol or protocol == target.protocol.lower())


def _serves_dns(service: Service) -> bool:
    return any(port.port == settings.DNS_PORT_ON_NODE for port in service.ports)


def _service_name(key: ServiceKey) -> str:
    namespace, name = key
    return f"{name}.{namespace}.{_SERVICES}.{settings.CLUSTER_DOMAIN}"


def _absolute(host: str) -> str:
    return host if host.endswith(".") else host + "."


_is_address = lru_cache(4096)(formats.is_address)


@lru_cache(4096)
def _name(text: str) -> dns.name.Name:
    return dns.name.from_text(text)


@lru_cache(4096)
def _rdata(rdtype: dns.rdatatype.RdataType, text: str) -> dns.rdata.Rdata:
    return dns.rdata.from_text(dns.rdataclass.IN, rdtype, text)


def _rrset(name: dns.name.Name, ttl: int, rdtype: dns.rdatatype.RdataType, texts: Iterable[str]) -> dns.rrset.RRset:
    return dns.rrset.from_rdata_list(name, ttl, [_rdata(rdtype, text) for text in texts])


def _addresses(name: dns.name.Name, rdtype: dns.rdatatype.RdataType, hosts: Iterable[str]) -> list[dns.rrset.RRset]:
    """One record set with those of the hosts that are addresses of the wanted family; [] without any."""
    separator = {dns.rdatatype.A: ".", dns.rdatatype.AAAA: ":"}.get(rdtype)
    wanted = [h for h in dict.fromkeys(hosts) if separator and separator in h and _is_address(h)]
    return [_rrset(name, settings.DNS_TTL, rdtype, wanted)] if wanted else []
