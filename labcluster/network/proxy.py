"""The service proxy: ClusterIP and NodePort; for every port of a Service a listener, for every connection an endpoint.

kube-proxy writes rules into the kernel for this; without root it is done in user space: the node's network namespace
takes every address of the service range for its own (`ip route add local ... dev lo`), so a listener simply binds
ClusterIP:port. What a client sees is as kube-proxy's iptables mode does it (pkg/proxy/iptables/proxier.go,
pkg/proxy/topology.go):

- the endpoint is chosen at random among the ready ones; without any, among those that still serve while they terminate;
- a Service without endpoints refuses connections, as the REJECT rule does: nothing listens then;
- an endpoint that refuses is not replaced by another one: that connection fails;
- connections outlive their endpoint's place in the Service; UDP flows do not;
- sessionAffinity ClientIP keeps a client at its endpoint until it has not connected for timeoutSeconds;
- externalTrafficPolicy Local sends what arrives at a node's port to endpoints on that node.

What differs, because connections end here and begin anew: pods see the node's address as their client's, even with
externalTrafficPolicy Local (which therefore refuses, where it would drop, on a node without endpoints); and an endpoint
that refuses shows as a connection reset rather than refused.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from labcluster import settings
from labcluster.api import resources
from labcluster.network.forwarding import Address, Connection, Forwarder, TCPForwarder, UDPForwarder
from labcluster.network.service_index import Endpoint, Port, Service, ServiceIndex, ServiceKey
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Registry

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0  # after an address could not be bound
HOST = "host"  # the address of frontends on the host's 127.0.0.1, whose sockets were inherited
_SOCKET_TYPES = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


class Frontend(NamedTuple):
    """Where a port of a Service is reached: a ClusterIP and its port, or a node (or the host) and the node port."""

    protocol: str
    address: str
    port: int


@dataclass
class Route:
    """Where a frontend leads to: a Service's port, and if `node` is not "", to that node's endpoints only."""

    port: Port
    node: str
    forwarder: Forwarder | None = None


class ServiceProxy:
    """Listens for every Service that has endpoints, and follows the registry's writes."""

    def __init__(
        self,
        registry: Registry,
        host_sockets: Mapping[int, tuple[socket.socket, socket.socket]],
        *,
        nodes: Sequence[settings.NodeSettings] = settings.NODES,
    ) -> None:
        """Make a proxy that listens nowhere yet.

        host_sockets: by node port, a TCP and a UDP socket bound on the host (by number, not listening). They are served
            while a Service uses their node port, and closed by `stop`.
        """
        self._registry = registry
        self._index = ServiceIndex()
        self._recorder = EventRecorder(registry, "kube-proxy")
        self._nodes = nodes
        self._host_sockets = {
            (protocol, port): sock
            for port, pair in host_sockets.items()
            for protocol, sock in zip(("TCP", "UDP"), pair, strict=True)
        }
        self._routes: dict[ServiceKey, dict[Frontend, Route]] = {}
        # By Service; then by port name, protocol and client: the endpoint, and the loop time at which that expires.
        self._affinity: dict[ServiceKey, dict[tuple[str, str, str], tuple[Address, float]]] = {}
        self._connections: set[Connection] = set()
        self._changed: set[ServiceKey] = set()
        self._sync_handle: asyncio.Handle | None = None
        self._retries: dict[ServiceKey, asyncio.TimerHandle] = {}
        self._stopped = False

    async def start(self) -> None:
        """Follow the registry and open the listeners of its Services."""
        self._index.follow(self._registry)
        self._index.on_change(self._on_change)
        self._changed.update(self._index.services)
        self._sync()

    async def stop(self) -> None:
        """Close every listener, connection and host socket."""
        self._stopped = True
        self._index.stop()
        for handle in (self._sync_handle, *self._retries.values()):
            if handle is not None:
                handle.cancel()
        for key in list(self._routes):
            self._close(key, list(self._routes[key]))
        for connection in list(self._connections):
            connection.abort()
        for sock in self._host_sockets.values():
            sock.close()

    # ------------------------------------------------------------------ following the registry

    def _on_change(self, key: ServiceKey) -> None:
        """Queue the Service; one sync serves all changes of this turn of the event loop."""
        self._changed.add(key)
        if self._sync_handle is None and not self._stopped:
            self._sync_handle = asyncio.get_running_loop().call_soon(self._sync)

    def _sync(self) -> None:
        """Open and close the listeners of the changed services: first close, since others may need the address."""
        self._sync_handle = None
        changed, self._changed = self._changed, set()
        wanted = {key: self._wanted(key) for key in changed}
        for key, frontends in wanted.items():
            self._close(key, self._routes.get(key, {}).keys() - frontends.keys())
        for key, frontends in wanted.items():
            for frontend, (port, node) in frontends.items():
                self._open(key, frontend, port, node)

    def _wanted(self, key: ServiceKey) -> dict[Frontend, tuple[Port, str]]:
        service = self._index.services.get(key)
        if service is None:
            return {}
        return {
            frontend: (port, node)
            for port in service.ports
            if port.protocol in _SOCKET_TYPES
            for frontend, node in self._frontends(service, port)
            if self._eligible_endpoints(key, port, node)
        }

    def _frontends(self, service: Service, port: Port) -> Iterator[tuple[Frontend, str]]:
        """The frontends of a port, each with the node whose endpoints alone may serve it ("" for any)."""
        for address in service.cluster_ips:
            yield Frontend(port.protocol, address, port.port), ""
        if port.node_port:
            local = service.external_policy_local
            for node in self._nodes:
                yield Frontend(port.protocol, str(node.address), port.node_port), node.name if local else ""
            if (port.protocol, port.node_port) in self._host_sockets:  # as with kind, mapped at the control plane
                yield Frontend(port.protocol, HOST, port.node_port), self._nodes[0].name if local else ""

    def _open(self, key: ServiceKey, frontend: Frontend, port: Port, node: str) -> None:
        routes = self._routes.setdefault(key, {})
        route = routes.get(frontend)
        if route is not None:
            route.port, route.node = port, node
            if route.forwarder is not None:
                route.forwarder.drop_flows({address for _, address in self._eligible_endpoints(key, port, node)})
            return
        route = Route(port, node)
        try:
            route.forwarder = self._forwarder(key, frontend, route)
            route.forwarder.start()
        except OSError as error:
            if route.forwarder is not None:
                route.forwarder.stop()
            self._report_bind_failure(key, frontend, error)
            return
        routes[frontend] = route

    def _forwarder(self, key: ServiceKey, frontend: Frontend, route: Route) -> Forwarder:
        inherited = frontend.address == HOST
        sock = self._host_sockets[frontend.protocol, frontend.port] if inherited else _bind(frontend)

        def choose(client: str) -> Address | None:
            return self._choose(key, route, client)

        if frontend.protocol == "UDP":
            return UDPForwarder(sock, choose, close_on_stop=not inherited)
        return TCPForwarder(sock, choose, self._connections, close_on_stop=not inherited)

    def _close(self, key: ServiceKey, frontends: Iterable[Frontend]) -> None:
        routes = self._routes.get(key, {})
        for frontend in list(frontends):
            forwarder = routes.pop(frontend).forwarder
            if forwarder is not None:
                forwarder.stop()
        if not routes:
            self._routes.pop(key, None)
            self._affinity.pop(key, None)

    def _report_bind_failure(self, key: ServiceKey, frontend: Frontend, error: OSError) -> None:
        """Record that a listener could not be bound, and try again later; the others are not affected."""
        where = f"{frontend.address}:{frontend.port}/{frontend.protocol}"
        log.warning("service %s/%s: cannot listen at %s: %s", *key, where, error)
        service = self._registry.find(resources.SERVICES, *key)
        if service is not None:
            message = f"cannot listen at {where}: {error.strerror or error}; trying again every {RETRY_SECONDS:.0f} s"
            self._recorder.event(service, "Warning", "FailedToListen", message)
        if key not in self._retries:
            self._retries[key] = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._retry, key)

    def _retry(self, key: ServiceKey) -> None:
        del self._retries[key]
        self._on_change(key)

    # ------------------------------------------------------------------ choosing an endpoint

    def _eligible_endpoints(self, key: ServiceKey, port: Port, node: str) -> list[tuple[Endpoint, Address]]:
        """The ready endpoints, else those that serve while terminating (CategorizeEndpoints, pkg/proxy/topology.go)."""
        candidates = [
            (endpoint, (endpoint.address, number))
            for endpoint, number in self._index.endpoints(key, port)
            if number > 0 and ":" not in endpoint.address and (not node or endpoint.node == node)
        ]
        ready = [c for c in candidates if c[0].ready]
        return ready or [c for c in candidates if c[0].serving and c[0].terminating]

    def _choose(self, key: ServiceKey, route: Route, client: str) -> Address | None:
        service = self._index.services.get(key)
        addresses = [address for _, address in self._eligible_endpoints(key, route.port, route.node)]
        if service is None or not addresses:
            return None
        if not service.affinity_seconds:
            return random.choice(addresses)
        now = asyncio.get_running_loop().time()
        sticky = self._affinity.setdefault(key, {})
        session = (route.port.name, route.port.protocol, client)
        before, expires = sticky.get(session, (addresses[0], 0.0))
        chosen = before if before in addresses and now < expires else random.choice(addresses)
        sticky[session] = (chosen, now + service.affinity_seconds)
        return chosen


def _bind(frontend: Frontend) -> socket.socket:
    sock = socket.socket(socket.AF_INET, _SOCKET_TYPES[frontend.protocol])
    try:
        if frontend.protocol == "TCP":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((frontend.address, frontend.port))
    except OSError:
        sock.close()
        raise
    return sock
