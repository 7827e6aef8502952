"""Pod sandboxes: the network identity that a pod's containers share, and the addresses of each node."""

from __future__ import annotations

import asyncio
import signal
import socket
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from pyroute2 import NetlinkError

from labcluster.node.containers.spec import StartError
from labcluster.node.sandboxes.bridge import Bridge, Plug, set_address
from labcluster.node.sandboxes.netns import NamespaceThread, entered
from labcluster.settings import NODES, NodeSettings

if TYPE_CHECKING:
    from labcluster.node.containers.container import Container

_SPARES = 2  # namespaces made ahead of need


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
        """Take an address back."""
        self._used.discard(address)


class Sandbox:
    """The network namespace of one pod. `network` is None for pods with hostNetwork: they share the node's.

    With `share_processes` its containers join the PID namespace of `pause`, which the runtime starts for them.
    """

    def __init__(
        self,
        sandboxes: Sandboxes,
        ip: IPv4Address,
        hostname: str,
        plug: Plug | None,
        node: str,
        *,
        share_processes: bool = False,
    ) -> None:
        self.ip = str(ip)
        self.hostname = hostname
        self.host_network = plug is None
        self.node = node
        self.share_processes = share_processes
        self.pause: Container | None = None
        self._sandboxes = sandboxes
        self._plug = plug

    @property
    def network(self) -> int | None:
        """The descriptor of the network namespace, None for hostNetwork."""
        return self._plug.namespace if self._plug else None

    async def dial(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a TCP port on the pod's own loopback, or on the node's address for hostNetwork. Raises OSError."""
        host = self.ip if self._plug is None else "127.0.0.1"
        one = await self._sandboxes.open_socket(self.network)
        try:
            await asyncio.get_running_loop().sock_connect(one, (host, port))
            return await asyncio.open_connection(sock=one)
        except BaseException:
            one.close()
            raise

    async def close(self) -> None:
        """Give the address back and drop the namespace. Its containers have to have ended; may be called again."""
        if self.pause is not None:
            self.pause.signal(signal.SIGKILL)
            await self.pause.wait()
        plug, self._plug = self._plug, None
        if plug:
            await self._sandboxes.release(self.node, IPv4Address(self.ip), plug)


class Sandboxes:
    """Makes sandboxes; keeps a few namespaces ready, since making one takes longer than giving it an address."""

    def __init__(self, thread: NamespaceThread) -> None:
        self._thread = thread
        self._bridge = Bridge()
        self._pools = {node.name: AddressPool(node) for node in NODES}
        self._nodes = {node.name: node for node in NODES}
        self._spares: list[Plug] = []
        self._filling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make the bridge."""
        await self._thread.run(self._bridge.create)
        self._fill()

    async def stop(self) -> None:
        """Take the bridge away. Sandboxes have to be closed."""
        if self._filling:
            await asyncio.wait([self._filling])
        while self._spares:
            plug = self._spares.pop()
            await self._thread.run(lambda plug=plug: self._bridge.unplug(plug))  # type: ignore[misc]
        await self._thread.run(self._bridge.close)

    async def create(self, node: str, hostname: str, *, host_network: bool, share_processes: bool = False) -> Sandbox:
        """A sandbox on `node` with a fresh address, or with the node's own. Raises StartError."""
        settings = self._nodes[node]
        if host_network:
            return Sandbox(self, settings.address, hostname, None, node, share_processes=share_processes)
        address = self._pools[node].take()

        def make() -> Plug:
            plug = self._spares.pop() if self._spares else self._bridge.plug()
            try:
                set_address(plug, settings, address)
            except BaseException:
                self._bridge.unplug(plug)
                raise
            return plug

        try:
            plug = await self._thread.run(make)
        except (OSError, NetlinkError) as e:
            self._pools[node].free(address)
            raise StartError(f"failed to setup network for sandbox: {e}") from e
        self._fill()
        return Sandbox(self, address, hostname, plug, node, share_processes=share_processes)

    async def open_socket(self, network: int | None) -> socket.socket:
        """A TCP socket of that network namespace: a socket stays in the one that it was made in. Raises OSError."""

        def make() -> socket.socket:
            one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            one.setblocking(False)
            return one

        if network is None:
            return make()

        def make_inside() -> socket.socket:
            with entered(network):
                return make()

        return await self._thread.run(make_inside)

    async def release(self, node: str, address: IPv4Address, plug: Plug) -> None:
        """Undo `create`."""
        await self._thread.run(lambda: self._bridge.unplug(plug))
        self._pools[node].free(address)

    def _fill(self) -> None:
        if self._filling is None or self._filling.done():
            self._filling = asyncio.get_running_loop().create_task(self._make_spares())

    async def _make_spares(self) -> None:
        while len(self._spares) < _SPARES:
            try:
                self._spares.append(await self._thread.run(self._bridge.plug))
            except (OSError, NetlinkError):
                return  # the next pod tries itself, and says what is wrong
