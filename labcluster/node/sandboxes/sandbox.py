"""Pod sandboxes: the network namespace that a pod's containers share, and the IP addresses of each node."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from ipaddress import IPv4Address

from pyroute2 import NetlinkError

from labcluster.node.linux_namespaces import NamespaceThread, entered
from labcluster.node.sandboxes.bridge import Bridge, PodNetwork, release, set_address
from labcluster.node.spec import StartError
from labcluster.settings import NODES, NodeSettings

_SPARES = 2  # pod networks made ahead of need


class AddressPool:
    """The addresses of a node's range, handed out in turn.

    In turn means that an address just freed is the last to come again (as the CNI plugin host-local does it):
    clients that still hold the old pod's address do not reach another pod.
    """

    def __init__(self, node: NodeSettings) -> None:
        self._node = node
        self._used: set[IPv4Address] = set()
        self._last = node.gateway

    def take(self) -> IPv4Address:
        """A free address. Raises StartError when the range is used up."""
        hosts = self._node.pod_cidr.num_addresses - 3  # without network, gateway and broadcast address
        first = self._node.gateway + 1
        for step in range(hosts):
            address = first + (int(self._last) - int(first) + 1 + step) % hosts
            if address not in self._used:
                self._used.add(address)
                self._last = address
                return address
        raise StartError(
            'failed to setup network for sandbox: plugin type="bridge" failed (add): failed to allocate for range 0: '
            f"no IP addresses available in range set: {first}-{self._last}"
        )

    def free(self, address: IPv4Address) -> None:
        """Return an address to the pool."""
        self._used.discard(address)


class Sandbox:
    """The sandbox of one pod, as in the CRI. `network` is None for pods with hostNetwork: they share the node's.

    With `share_processes` its containers share a PID namespace, whose PID 1 is a pause container (see Runtime).
    """

    def __init__(
        self,
        sandboxes: Sandboxes,
        ip: IPv4Address,
        hostname: str,
        network: PodNetwork | None,
        node: str,
        *,
        share_processes: bool = False,
    ) -> None:
        self.ip = str(ip)
        self.hostname = hostname
        self.node = node
        self.share_processes = share_processes
        self._sandboxes = sandboxes
        self._network = network

    @property
    def network(self) -> int | None:
        """The descriptor of the network namespace, None for hostNetwork."""
        return self._network.namespace if self._network else None

    async def dial(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a TCP port on the pod's own loopback, or on the node's address for hostNetwork. Raises OSError."""
        host = self.ip if self._network is None else "127.0.0.1"
        sock = await self._sandboxes.open_socket(self.network)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
            return await asyncio.open_connection(sock=sock)
        except BaseException:
            sock.close()
            raise

    async def close(self) -> None:
        """Free the address and remove the network. Its containers have to have ended; may be called again."""
        network, self._network = self._network, None
        if network:
            await self._sandboxes.remove(self.node, IPv4Address(self.ip), network)


class Sandboxes:
    """Makes sandboxes; keeps spare pod networks, since making one takes longer than giving it an address."""

    def __init__(self, thread: NamespaceThread) -> None:
        self._thread = thread
        self._bridge = Bridge()
        self._pools = {node.name: AddressPool(node) for node in NODES}
        self._nodes = {node.name: node for node in NODES}
        self._spares: list[PodNetwork] = []
        self._refilling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make the bridge."""
        await self._thread.run(self._bridge.create)
        self._refill()

    async def stop(self) -> None:
        """Remove the bridge. Sandboxes have to be closed."""
        if self._refilling:
            await asyncio.wait([self._refilling])
        while self._spares:
            await self._thread.run(partial(release, self._spares.pop()))
        await self._thread.run(self._bridge.close)

    async def create(self, node: str, hostname: str, *, host_network: bool, share_processes: bool = False) -> Sandbox:
        """A sandbox on `node` with a fresh address, or with the node's own. Raises StartError."""
        settings = self._nodes[node]
        if host_network:
            return Sandbox(self, settings.address, hostname, None, node, share_processes=share_processes)
        address = self._pools[node].take()

        def make() -> PodNetwork:
            network = self._spares.pop() if self._spares else self._bridge.add_pod_network()
            try:
                set_address(network, settings, address)
            except BaseException:
                release(network)
                raise
            return network

        try:
            network = await self._thread.run(make)
        except (OSError, NetlinkError) as e:
            self._pools[node].free(address)
            raise StartError(f"failed to setup network for sandbox: {e}") from e
        self._refill()
        return Sandbox(self, address, hostname, network, node, share_processes=share_processes)

    async def open_socket(self, network: int | None) -> socket.socket:
        """A TCP socket of that network namespace: a socket stays in the one that it was made in. Raises OSError."""

        def make() -> socket.socket:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            return sock

        if network is None:
            return make()

        def make_inside() -> socket.socket:
            with entered(network):
                return make()

        return await self._thread.run(make_inside)

    async def remove(self, node: str, address: IPv4Address, network: PodNetwork) -> None:
        """Undo `create`."""
        await self._thread.run(partial(release, network))
        self._pools[node].free(address)

    def _refill(self) -> None:
        if self._refilling is None or self._refilling.done():
            self._refilling = asyncio.get_running_loop().create_task(self._make_spares())

    async def _make_spares(self) -> None:
        while len(self._spares) < _SPARES:
            try:
                self._spares.append(await self._thread.run(self._bridge.add_pod_network))
            except (OSError, NetlinkError):
                return  # the next pod tries itself, and says what is wrong
