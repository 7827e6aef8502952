"""The port forwarder: on 127.0.0.1 it stands in for the cluster's NodePorts and its DNS.

A process of its own, `python -m labsupport.backends.current.forwarder STATE`, that lives until `lab down`. A
connection to a NodePort is carried by port-forward to one of the ready pods of the learner's Service that asked for
that NodePort, chosen at random, as kube-proxy does. DNS goes to the relay pod (relay.py), over TCP.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import random
import signal
import struct
import sys
from pathlib import Path
from typing import IO, Any

import aiohttp
import dns.exception
import dns.flags
import dns.message

from labsupport.backends.current import relay
from labsupport.backends.current.connection import JSON, Connection
from labsupport.cluster import scope, sharing
from labsupport.settings import DNS_NODE_PORT, NODE_PORTS

LOCK, LOG = "forwarder.lock", "forwarder.log"
READY = "ready"  # written to standard output once every port is open
_HOST = "127.0.0.1"
_OFFSETS = range(0, 2700, 100)
_PATIENCE = 5  # seconds that a connection waits for a pod to become ready
_DNS_SECONDS = 4.0

log = logging.getLogger(__name__)


def take_lock(state: Path) -> IO[str] | None:
    """The lock that a running forwarder holds; None when one runs. Its process id is in the file."""
    file = (state / LOCK).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


class Forwarder:
    """Listens for one learner."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._api = connection
        self._prefix = prefix
        self._servers: list[asyncio.Server] = []
        self._datagrams: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> dict[str, Any]:
        """Open all ports, moved by one offset if one of them is taken. The content of ports.json. Raises OSError."""
        for offset in _OFFSETS:
            try:
                await self._listen(offset)
            except OSError as error:
                self.close()
                last = error
                continue
            nodes = {str(port): port + offset for port in NODE_PORTS}
            return {"dns": DNS_NODE_PORT + offset, "nodePorts": nodes}
        raise last

    async def _listen(self, offset: int) -> None:
        loop = asyncio.get_running_loop()
        where = (_HOST, DNS_NODE_PORT + offset)
        self._datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), where)
        self._servers.append(await asyncio.start_server(self._dns_stream, *where))
        for port in NODE_PORTS:

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int = port) -> None:
                await self._serve(port, reader, writer)

            self._servers.append(await asyncio.start_server(serve, _HOST, port + offset))

    def close(self) -> None:
        """Close the ports."""
        for server in self._servers:
            server.close()
        if self._datagrams:
            self._datagrams.close()
        self._servers, self._datagrams = [], None

    async def _serve(self, node_port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target = await self._target(node_port)
            if target is None:
                writer.transport.abort()  # what a NodePort of nobody does: no connection
                return
            await self._api.forward(*target, reader, writer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("NodePort %d: %s", node_port, error)
            writer.transport.abort()
        finally:
            writer.close()

    async def _target(self, node_port: int) -> tuple[str, str, int] | None:
        """A ready pod behind a NodePort: its namespace, name and port."""
        wanted = f"{scope.LABEL}={self._prefix}"
        for namespace in (await self._api.get("/api/v1/namespaces", labelSelector=wanted))["items"]:
            name = namespace["metadata"]["name"]
            for service in (await self._api.get(f"/api/v1/namespaces/{name}/services"))["items"]:
                port = port_of(service, node_port)
                if port is not None:
                    return await self._ready_pod(name, service["metadata"]["name"], str(port.get("name") or ""))
        return None

    async def _ready_pod(self, namespace: str, service: str, port_name: str) -> tuple[str, str, int] | None:
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        selector = f"kubernetes.io/service-name={service}"
        slices = (await self._api.get(path, labelSelector=selector))["items"]
        found = [pod for one in slices for pod in ready_pods(one, port_name)]
        if not found:
            async for one in self._api.watch(path, _PATIENCE, labelSelector=selector):
                found = list(ready_pods(one, port_name))
                if found:
                    break
        if not found:
            return None
        name, port = random.choice(found)
        return namespace, name, port

    # ---------------------------------------------------------------- DNS

    async def _dns_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._api.forward(*relay.address(self._prefix), reader, writer)
        except (aiohttp.ClientError, OSError) as error:
            log.warning("DNS: %s", error)
        finally:
            writer.close()

    def datagram(self, data: bytes, sender: tuple[str, int]) -> None:
        """Take a query that came over UDP."""
        task = asyncio.get_running_loop().create_task(self._answer(data, sender))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, data: bytes, sender: tuple[str, int]) -> None:
        """Ask over TCP, and send back what fits into a datagram."""
        try:
            async with asyncio.timeout(_DNS_SECONDS):
                reply = await self._ask(data)
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            log.warning("DNS: %s", error)
            return  # the client asks again, or gives up
        if self._datagrams:
            self._datagrams.sendto(fitted(data, reply), sender)

    async def _ask(self, query: bytes) -> bytes:
        requests, answers = asyncio.StreamReader(), asyncio.StreamReader()
        requests.feed_data(struct.pack("!H", len(query)) + query)
        carrying = asyncio.ensure_future(
            self._api.forward(*relay.address(self._prefix), requests, _Into(answers))  # type: ignore[arg-type]
        )
        carrying.add_done_callback(lambda _: answers.feed_eof())
        try:
            (length,) = struct.unpack("!H", await answers.readexactly(2))
            return await answers.readexactly(length)
        finally:
            carrying.cancel()
            await asyncio.gather(carrying, return_exceptions=True)


class _Into:
    """As much of a StreamWriter as `forward` needs: what is written can be read from a StreamReader."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def write(self, data: bytes) -> None:
        self._reader.feed_data(data)

    async def drain(self) -> None:
        pass


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        self._forwarder.datagram(data, sender)


def port_of(service: JSON, node_port: int) -> JSON | None:
    """The port of a Service that is meant by a NodePort: by its annotation if it has one, else by its nodePort."""
    wishes = json.loads((service["metadata"].get("annotations") or {}).get(sharing.NODE_PORTS, "null"))
    for port in service["spec"].get("ports") or ():
        asked = wishes.get(str(port["port"])) if wishes else port.get("nodePort")
        if asked == node_port and port.get("protocol", "TCP") == "TCP":
            found: JSON = port
            return found
    return None


def ready_pods(one: JSON, port_name: str) -> list[tuple[str, int]]:
    """The ready pods of an EndpointSlice, each with the number of the named port."""
    numbers = [p["port"] for p in one.get("ports") or () if (p.get("name") or "") == port_name]
    return [
        (endpoint["targetRef"]["name"], numbers[0])
        for endpoint in one.get("endpoints") or ()
        if numbers
        and (endpoint.get("conditions") or {}).get("ready", True)
        and (endpoint.get("targetRef") or {}).get("kind") == "Pod"
    ]


def fitted(query: bytes, reply: bytes) -> bytes:
    """The reply, or its head with the TC bit where the client takes no datagram of that size (RFC 2181 section 9)."""
    try:
        asked = dns.message.from_wire(query)
        limit = max(512, asked.payload) if asked.edns >= 0 else 512
        if len(reply) <= limit:
            return reply
        short = dns.message.make_response(asked, recursion_available=True)
        short.set_rcode(dns.message.from_wire(reply).rcode())
    except dns.exception.DNSException:
        return reply
    short.flags |= dns.flags.TC
    return short.to_wire()


async def run(state: Path) -> None:
    """Listen until a signal ends it. Raises OSError when no block of ports is free."""
    prefix = str(json.loads((state / scope.RECORD).read_text())["prefix"])
    async with Connection(state / "kubeconfig") as connection:
        forwarder = Forwarder(connection, prefix)
        ports = await forwarder.listen()
        (state / "ports.json").write_text(json.dumps({"api": 0, **ports}, indent=1) + "\n")
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        print(READY, flush=True)
        await ended.wait()
        forwarder.close()


def main(state: Path) -> int:
    """Run for the lab in `state`, unless a forwarder runs for it already."""
    logging.basicConfig(filename=state / LOG, level=logging.WARNING, format="%(asctime)s %(message)s")
    lock = take_lock(state)
    if lock is None:
        print(READY, flush=True)
        return 0
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(state))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
