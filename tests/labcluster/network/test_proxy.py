"""ClusterIP and NodePort services as kube-proxy serves them; addresses of 127.0.0.0/8 play the cluster's."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network
from itertools import count
from typing import cast

import pytest

from labcluster.api.objects import JSON
from labcluster.api.resources import ENDPOINT_SLICES, EVENTS, SERVICES
from labcluster.network import proxy as proxy_module
from labcluster.network.proxy import ServiceProxy
from labcluster.settings import NodeSettings
from labcluster.storage.registry import Registry
from tests.labcluster.service_objects import add, endpoint, endpoint_slice, plain_registry, port, service
from tests.labcluster.waiting import soon, until

PODS = IPv4Network("10.244.0.0/24")  # unused here
NODES = (
    NodeSettings("one", True, IPv4Address("127.0.81.1"), PODS),
    NodeSettings("two", False, IPv4Address("127.0.81.2"), PODS),
)
_addresses = (f"127.0.82.{n}" for n in count(1))


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("0.0.0.0", 0))
        return int(sock.getsockname()[1])


def bound_pair() -> tuple[int, tuple[socket.socket, socket.socket]]:
    """What the proxy inherits for a node port: TCP and UDP at one port of the host, not listening; and that port."""
    while True:
        number = free_port()
        tcp, udp = socket.socket(socket.AF_INET, socket.SOCK_STREAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            tcp.bind(("127.0.0.1", number))  # by number: one that the kernel chose would be given back with listening
            udp.bind(("127.0.0.1", number))
        except OSError:  # somebody's by now
            tcp.close()
            udp.close()
        else:
            return number, (tcp, udp)


class Pods:
    """Servers that say who they are, all at one port, each at an address of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self._servers: list[asyncio.Server] = []
        self._transports: list[asyncio.DatagramTransport] = []

    async def start(self, *, udp: bool = False) -> str:
        """One more pod; returns its address, which is also what it says."""
        address = next(_addresses)
        if udp:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: _Says(address), (address, self.port))
            self._transports.append(transport)
        else:

            async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(address.encode())
                await reader.read()  # the client's end is ours
                writer.close()

            self._servers.append(await asyncio.start_server(say, address, self.port))
        return address

    def close(self) -> None:
        for server in self._servers:
            server.close()
        for transport in self._transports:
            transport.close()


class _Says(asyncio.DatagramProtocol):
    def __init__(self, what: str) -> None:
        self.what = what

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(self.what.encode(), addr)


async def ask(address: str, number: int, source: str = "127.0.0.1") -> str:
    """Which pod answers at an address. Raises ConnectionError when none does."""
    reader, writer = await asyncio.open_connection(address, number, local_addr=(source, 0))
    writer.write_eof()
    said = await soon(reader.read())
    writer.close()
    return said.decode()


async def ask_udp(address: str, number: int) -> str:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((address, number))
        await loop.sock_sendall(sock, b"?")
        return (await soon(loop.sock_recv(sock, 100))).decode()


async def is_refused(address: str, number: int) -> bool:
    try:
        await ask(address, number)
    except ConnectionRefusedError:
        return True
    return False


async def settled() -> None:
    """After this the proxy has seen every write: it follows in the next turn of the event loop."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.fixture
def registry() -> Registry:
    return plain_registry("db")


@pytest.fixture
async def pods() -> AsyncIterator[Pods]:
    pods = Pods()
    yield pods
    pods.close()


@pytest.fixture
def cluster_ip() -> str:
    return next(_addresses)


@pytest.fixture
async def proxy(registry: Registry) -> AsyncIterator[ServiceProxy]:
    proxy = ServiceProxy(registry, {}, nodes=NODES)
    await proxy.start()
    yield proxy
    await proxy.stop()


def conditions(registry: Registry, *each: JSON) -> None:
    """Set the conditions of the endpoints of `web`, in their order."""

    def change(obj: JSON) -> None:
        for entry, wanted in zip(obj["endpoints"], each, strict=True):
            entry["conditions"] = wanted

    registry.modify(ENDPOINT_SLICES, "db", "web-1", change)


def web(cluster_ip: str, **spec: object) -> JSON:
    return service("web", cluster_ip, port(8080, "http"), **spec)


def slice_of(pods: Pods, *addresses: str) -> JSON:
    return endpoint_slice("web", *(endpoint(a) for a in addresses), ports=[port(pods.port, "http")])


async def test_a_cluster_ip_leads_to_every_ready_endpoint(
    proxy: ServiceProxy, registry: Registry, pods: Pods, cluster_ip: str
) -> None:
    addresses = [await pods.start() for _ in range(3)]
    add(registry, web(cluster_ip), slice_of(pods, *addresses))
    conditions(registry, {"ready": True}, {"ready": True}, {"ready": False, "serving": False})
    await settled()
    answers = Counter([await ask(cluster_ip, 8080) for _ in range(64)])
    assert set(answers) == set(addresses[:2])


async def test_services_from_before_the_start_are_served(registry: Registry, pods: Pods, cluster_ip: str) -> None:
    address = await pods.start()
    add(registry, web(cluster_ip), slice_of(pods, address))
    proxy = ServiceProxy(registry, {}, nodes=NODES)
    await proxy.start()
    assert await ask(cluster_ip, 8080) == address
    await proxy.stop()
    assert await is_refused(cluster_ip, 8080)


async def test_a_service_without_endpoints_refuses_connections(
    proxy: ServiceProxy, registry: Registry, pods: Pods, cluster_ip: str
) -> None:
    address = await pods.start()
    add(registry, web(cluster_ip), slice_of(pods, address))
    await settled()
    assert await ask(cluster_ip, 8080) == address
    conditions(registry, {"ready": False, "serving": False})
    await settled()
    assert await is_refused(cluster_ip, 8080)
    conditions(registry, {"ready": True})
    await settled()
    assert await ask(cluster_ip, 8080) == address
    registry.delete(SERVICES, "db", "web")
    await settled()
    assert await is_refused(cluster_ip, 8080)


async def test_a_terminating_endpoint_serves_only_while_none_is_ready(
    proxy: ServiceProxy, registry: Registry, pods: Pods, cluster_ip: str
) -> None:
    ready, leaving = await pods.start(), await pods.start()
    add(registry, web(cluster_ip), slice_of(pods, ready, leaving))
    terminating = {"ready": False, "serving": True, "terminating": True}
    conditions(registry, {"ready": True}, terminating)
    await settled()
    assert {await ask(cluster_ip, 8080) for _ in range(16)} == {ready}
    conditions(registry, {"ready": False, "serving": False}, terminating)
    await settled()
    assert {await ask(cluster_ip, 8080) for _ in range(16)} == {leaving}


async def test_an_endpoint_that_refuses_is_not_replaced_by_another(
    proxy: ServiceProxy, registry: Registry, pods: Pods, cluster_ip: str
) -> None:
    add(registry, web(cluster_ip), slice_of(pods, next(_addresses)))  # nobody is there
    await settled()
    with pytest.raises(ConnectionResetError):
        reader, _ = await asyncio.open_connection(cluster_ip, 8080)
        await soon(reader.read())


async def test_a_connection_outlives_its_endpoint(
    proxy: ServiceProxy, registry: Registry, pods: Pods, cluster_ip: str
) -> None:
    address = await pods.start()
    add(registry, web(cluster_ip), slice_of(pods, address))
    await settled()
    reader, writer = await asyncio.open_connection(cluster_ip, 8080)
    assert (await soon(reader.readexactly(len(address)))).decode() == address
    registry.delete(ENDPOINT_SLICES, "db", "web-1")
    await settled()
    assert await is_refused(cluster_ip, 8080)
    writer.write_eof()
    assert await soon(reader.read()) == b""  # the pod answered our end with its own
    writer.close()


async def test_session_affinity_keeps_a_client_at_its_endpoint(
    proxy: ServiceProxy, registry: Registry, pods: Pods, cluster_ip: str
) -> None:
    addresses = [await pods.start() for _ in range(3)]
    add(registry, web(cluster_ip, sessionAffinity="ClientIP"), slice_of(pods, *addresses))
    await settled()
    clients = [f"127.0.83.{n}" for n in range(1, 25)]
    first = {client: await ask(cluster_ip, 8080, client) for client in clients}
    assert len(set(first.values())) > 1
    assert {client: await ask(cluster_ip, 8080, client) for client in clients} == first


async def test_session_affinity_moves_on_when_its_endpoint_is_gone(
    proxy: ServiceProxy, registry: Registry, pods: Pods, cluster_ip: str
) -> None:
    one, two = await pods.start(), await pods.start()
    add(registry, web(cluster_ip, sessionAffinity="ClientIP"), slice_of(pods, one, two))
    await settled()
    first = await ask(cluster_ip, 8080)
    alive = [{"ready": address != first, "serving": address != first} for address in (one, two)]
    conditions(registry, *alive)
    await settled()
    assert await ask(cluster_ip, 8080) == ({one, two} - {first}).pop()


async def test_a_node_port_is_served_at_every_node(
    proxy: ServiceProxy, registry: Registry, pods: Pods, cluster_ip: str
) -> None:
    address, node_port = await pods.start(), free_port()
    spec = service("web", cluster_ip, port(8080, "http", nodePort=node_port), type="NodePort")
    add(registry, spec, slice_of(pods, address))
    await settled()
    for where, number in ((cluster_ip, 8080), ("127.0.81.1", node_port), ("127.0.81.2", node_port)):
        assert await ask(where, number) == address


async def test_external_traffic_policy_local_keeps_to_the_node(
    proxy: ServiceProxy, registry: Registry, pods: Pods, cluster_ip: str
) -> None:
    address, node_port = await pods.start(), free_port()
    web_port = port(8080, "http", nodePort=node_port)
    add(
        registry,
        service("web", cluster_ip, web_port, type="NodePort", externalTrafficPolicy="Local"),
        endpoint_slice("web", endpoint(address, node="two"), ports=[port(pods.port, "http")]),
    )
    await settled()
    assert await ask("127.0.81.2", node_port) == address
    assert await is_refused("127.0.81.1", node_port)
    assert await ask(cluster_ip, 8080) == address


async def test_a_host_socket_listens_while_its_node_port_is_used(
    registry: Registry, pods: Pods, cluster_ip: str
) -> None:
    address, node_port = await pods.start(), free_port()
    host_port, inherited = bound_pair()
    proxy = ServiceProxy(registry, {node_port: inherited}, nodes=NODES)
    await proxy.start()
    for _ in range(2):
        assert await is_refused("127.0.0.1", host_port)
        spec = service("web", cluster_ip, port(8080, "http", nodePort=node_port), type="NodePort")
        add(registry, spec, slice_of(pods, address))
        await settled()
        assert await ask("127.0.0.1", host_port) == address
        registry.delete(SERVICES, "db", "web")
        registry.delete(ENDPOINT_SLICES, "db", "web-1")
        await settled()
    await proxy.stop()
    assert await is_refused("127.0.0.1", host_port)


async def test_udp_services(registry: Registry, pods: Pods, cluster_ip: str) -> None:
    address, node_port = await pods.start(udp=True), free_port(socket.SOCK_DGRAM)
    host_port, inherited = bound_pair()
    proxy = ServiceProxy(registry, {node_port: inherited}, nodes=NODES)
    await proxy.start()
    web_port = port(5353, "dns", "UDP", nodePort=node_port)
    add(
        registry,
        service("web", cluster_ip, web_port, type="NodePort"),
        endpoint_slice("web", endpoint(address), ports=[port(pods.port, "dns", "UDP")]),
    )
    await settled()
    for where, number in ((cluster_ip, 5353), ("127.0.81.2", node_port), ("127.0.0.1", host_port)):
        assert await ask_udp(where, number) == address
    await proxy.stop()


async def test_headless_services_and_external_names_are_not_listened_for(
    proxy: ServiceProxy, registry: Registry, pods: Pods
) -> None:
    address = await pods.start()
    add(registry, service("web", "None", port(8080, "http")), slice_of(pods, address))
    add(registry, {"metadata": {"name": "out", "namespace": "db"}, "spec": {"type": "ExternalName", "ports": []}})
    await settled()
    assert not proxy._routes


async def test_a_changed_port_moves_the_listener(
    proxy: ServiceProxy, registry: Registry, pods: Pods, cluster_ip: str
) -> None:
    address = await pods.start()
    add(registry, web(cluster_ip), slice_of(pods, address))
    await settled()
    registry.modify(SERVICES, "db", "web", lambda o: o["spec"]["ports"][0].update(port=8081))
    await settled()
    assert await is_refused(cluster_ip, 8080)
    assert await ask(cluster_ip, 8081) == address


async def test_an_address_passes_from_one_service_to_another_at_once(
    proxy: ServiceProxy, registry: Registry, pods: Pods, cluster_ip: str
) -> None:
    old, new = await pods.start(), await pods.start()
    add(registry, web(cluster_ip), slice_of(pods, old))
    await settled()
    registry.delete(SERVICES, "db", "web")
    ports = [port(pods.port, "http")]
    add(
        registry,
        service("next", cluster_ip, port(8080, "http")),
        endpoint_slice("next", endpoint(new), ports=ports),
    )
    await settled()
    assert await ask(cluster_ip, 8080) == new


async def test_an_address_that_cannot_be_bound_is_reported_and_tried_again(
    proxy: ServiceProxy, registry: Registry, pods: Pods, cluster_ip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_module, "RETRY_SECONDS", 0.01)
    address = await pods.start()
    squatter = socket.create_server((cluster_ip, 8080))
    spec = service("web", cluster_ip, port(8080, "http"), port(8081, "more"))
    ports = [port(pods.port, "http"), port(pods.port, "more")]
    add(registry, spec, endpoint_slice("web", endpoint(address), ports=ports))
    await settled()
    assert await ask(cluster_ip, 8081) == address  # the others go on
    (event,) = registry.list(EVENTS, "db")
    assert (event["type"], event["reason"]) == ("Warning", "FailedToListen")
    assert event["message"].startswith(f"cannot listen at {cluster_ip}:8080/TCP: Address already in use")
    squatter.close()
    await until(lambda: len(proxy._routes["db", "web"]) == 2)
    assert await ask(cluster_ip, 8080) == address
