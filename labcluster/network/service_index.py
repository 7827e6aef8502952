"""Services and their endpoints, parsed once at each change: what cluster DNS and the service proxy read."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from labcluster.api import resources
from labcluster.api.objects import JSON, labels_of, name_of, namespace_of
from labcluster.storage.registry import Change, Registry

SERVICE_NAME_LABEL = "kubernetes.io/service-name"  # on an EndpointSlice: the Service it belongs to
DEFAULT_AFFINITY_SECONDS = 10800

ServiceKey = tuple[str, str]  # namespace, name


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a Service, or of an EndpointSlice (then `port` is the target port; -1 for "no ports at all")."""

    name: str
    protocol: str  # "TCP", "UDP"
    port: int
    node_port: int = 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of an EndpointSlice. Conditions that are not given count as upstream's consumers read them."""

    address: str
    hostname: str
    node: str
    ready: bool
    serving: bool
    terminating: bool

    @property
    def dns_label(self) -> str:
        """The endpoint's label below its service's name: its hostname, else its address with dashes."""
        return self.hostname or self.address.replace(".", "-").replace(":", "-")


@dataclass(frozen=True, slots=True)
class Slice:
    """An EndpointSlice: every endpoint serves every port."""

    service: ServiceKey
    endpoints: tuple[Endpoint, ...]
    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """What cluster DNS and the service proxy need to know of a Service."""

    namespace: str
    name: str
    type: str
    cluster_ips: tuple[str, ...]  # without "None"
    headless: bool
    external_name: str
    ports: tuple[Port, ...]
    affinity_seconds: int  # 0: no session affinity
    external_policy_local: bool

    @property
    def key(self) -> ServiceKey:
        """Namespace and name."""
        return self.namespace, self.name


class ServiceIndex:
    """Services, EndpointSlices and namespaces, indexed by what DNS and proxy look up; follows the registry's writes."""

    def __init__(self) -> None:
        self.synced = False
        self.namespaces: set[str] = set()
        self.services: dict[ServiceKey, Service] = {}
        self.changed_at = int(time.time())  # Unix time of the last change: the zone's serial
        self._slices: dict[ServiceKey, dict[str, Slice]] = defaultdict(dict)  # by service, then by slice name
        self._slice_service: dict[ServiceKey, ServiceKey] = {}  # a slice's key → its service's
        self._by_cluster_ip: dict[str, ServiceKey] = {}
        self._by_endpoint: dict[str, dict[ServiceKey, int]] = defaultdict(dict)  # address → service → occurrences
        self._unsubscribe: list[Callable[[], None]] = []
        self._listeners: list[Callable[[ServiceKey], None]] = []

    def follow(self, registry: Registry) -> None:
        """Index what exists and every later change."""
        self._unsubscribe = [
            registry.subscribe(resources.NAMESPACES, self._on_namespace),
            registry.subscribe(resources.SERVICES, self._on_service),
            registry.subscribe(resources.ENDPOINT_SLICES, self._on_slice),
        ]
        self.synced = True

    def stop(self) -> None:
        """Follow no more."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe.clear()
        self.synced = False

    def on_change(self, listener: Callable[[ServiceKey], None]) -> None:
        """Call `listener` with the service's key after each change of a Service or of its slices."""
        self._listeners.append(listener)

    def slices(self, service: ServiceKey) -> Iterable[Slice]:
        """The slices of a service."""
        return self._slices[service].values() if service in self._slices else ()

    def endpoints(self, service: ServiceKey, port: Port) -> list[tuple[Endpoint, int]]:
        """Every endpoint of a service's port, whatever its conditions, with the target port."""
        return [
            (endpoint, target.port)
            for endpoint_slice in self.slices(service)
            for target in endpoint_slice.ports
            if target.name == port.name and target.protocol == port.protocol
            for endpoint in endpoint_slice.endpoints
        ]

    def service_of_cluster_ip(self, address: str) -> Service | None:
        """The Service that has that ClusterIP."""
        key = self._by_cluster_ip.get(address)
        return self.services.get(key) if key else None

    def services_with_endpoint(self, address: str) -> Iterable[ServiceKey]:
        """The services that have an endpoint of that address, ready or not."""
        return self._by_endpoint.get(address, ())

    def _on_namespace(self, change: Change) -> None:
        if change.type == "DELETED":
            self.namespaces.discard(name_of(change.object))
        else:
            self.namespaces.add(name_of(change.object))
        self.changed_at = int(time.time())

    def _on_service(self, change: Change) -> None:
        key = (namespace_of(change.object), name_of(change.object))
        old = self.services.pop(key, None)
        for address in old.cluster_ips if old else ():
            if self._by_cluster_ip.get(address) == key:
                del self._by_cluster_ip[address]
        if change.type != "DELETED":
            service = self.services[key] = parse_service(change.object)
            for address in service.cluster_ips:
                self._by_cluster_ip[address] = key
        self._changed(key)

    def _on_slice(self, change: Change) -> None:
        name = (namespace_of(change.object), name_of(change.object))
        before = self._slice_service.pop(name, None)
        if before is not None:
            self._remove_slice(before, name[1])
        after = None
        if change.type != "DELETED":
            endpoint_slice = parse_slice(change.object)
            after = endpoint_slice.service
            self._slice_service[name] = after
            self._slices[after][name[1]] = endpoint_slice
            for endpoint in endpoint_slice.endpoints:
                counts = self._by_endpoint[endpoint.address]
                counts[after] = counts.get(after, 0) + 1
        for key in {before, after} - {None}:
            self._changed(key)  # type: ignore[arg-type]  # None was taken out

    def _remove_slice(self, service: ServiceKey, slice_name: str) -> None:
        endpoint_slice = self._slices[service].pop(slice_name)
        if not self._slices[service]:
            del self._slices[service]
        for endpoint in endpoint_slice.endpoints:
            counts = self._by_endpoint[endpoint.address]
            counts[service] -= 1
            if not counts[service]:
                del counts[service]
            if not counts:
                del self._by_endpoint[endpoint.address]

    def _changed(self, key: ServiceKey) -> None:
        self.changed_at = int(time.time())
        for listener in self._listeners:
            listener(key)


def parse_service(obj: JSON) -> Service:
    """Read a Service object."""
    spec = obj.get("spec") or {}
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP", "")]
    external = spec.get("type") == "ExternalName"
    affinity = 0
    if spec.get("sessionAffinity") == "ClientIP":
        config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        affinity = config.get("timeoutSeconds") or DEFAULT_AFFINITY_SECONDS
    return Service(
        namespace=namespace_of(obj),
        name=name_of(obj),
        type=spec.get("type") or "ClusterIP",
        cluster_ips=() if external else tuple(a for a in addresses if a and a != "None"),
        headless=not external and "None" in addresses,
        external_name=spec.get("externalName", "") if external else "",
        ports=tuple(
            Port(p.get("name") or "", p.get("protocol") or "TCP", p["port"], p.get("nodePort") or 0)
            for p in spec.get("ports") or ()
        ),
        affinity_seconds=affinity,
        external_policy_local=spec.get("externalTrafficPolicy") == "Local",
    )


def parse_slice(obj: JSON) -> Slice:
    """Read an EndpointSlice object; a slice without ports gets the port -1, as CoreDNS does it."""
    ports = tuple(
        Port(p.get("name") or "", p.get("protocol") or "TCP", p["port"] if p.get("port") is not None else -1)
        for p in obj.get("ports") or ()
    )
    entries = () if obj.get("addressType") == "FQDN" else obj.get("endpoints") or ()  # kube-proxy, too, skips names
    return Slice(
        service=(namespace_of(obj), labels_of(obj).get(SERVICE_NAME_LABEL, "")),
        endpoints=tuple(e for entry in entries for e in _parse_endpoints(entry)),
        ports=ports or (Port("", "", -1),),
    )


def _parse_endpoints(entry: JSON) -> Iterable[Endpoint]:
    conditions = entry.get("conditions") or {}
    ready = conditions.get("ready") is not False  # unknown counts as ready: discovery/v1's documentation
    serving = conditions.get("serving")
    for address in entry.get("addresses") or ():
        yield Endpoint(
            address=address,
            hostname=entry.get("hostname") or "",
            node=entry.get("nodeName") or "",
            ready=ready,
            serving=ready if serving is None else bool(serving),
            terminating=bool(conditions.get("terminating")),
        )
