"""The pumps: what goes in comes out, ends when it ends, and waits for slow readers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from labcluster.network.forwarding import Address, Connection, TCPForwarder, UDPForwarder
from tests.labcluster.waiting import soon, until

LOCALHOST = "127.0.0.1"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def bound(kind: socket.SocketKind = socket.SOCK_STREAM) -> tuple[socket.socket, Address]:
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind((LOCALHOST, 0))
    return sock, sock.getsockname()


class Bench:
    """A forwarder in front of a server that the test plays itself."""

    def __init__(self) -> None:
        self.accepted: asyncio.Queue[Streams] = asyncio.Queue()
        self.connections: set[Connection] = set()
        self.target: Address | None = None
        self.sock, self.address = bound()
        self.forwarder = TCPForwarder(self.sock, lambda client: self.target, self.connections)

    async def start(self) -> None:
        self.server = await asyncio.start_server(lambda r, w: self.accepted.put_nowait((r, w)), LOCALHOST, 0)
        self.target = self.server.sockets[0].getsockname()
        self.forwarder.start()

    async def connect(self) -> tuple[Streams, Streams]:
        """The client's side and the server's side of a new connection."""
        client = await asyncio.open_connection(*self.address)
        return client, await soon(self.accepted.get())


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.start()
    yield bench
    with contextlib.suppress(OSError, ValueError):
        bench.forwarder.stop()
    for connection in list(bench.connections):
        connection.abort()
    bench.server.close()


async def test_bytes_pass_in_both_directions(bench: Bench) -> None:
    (reader, writer), (server_reader, server_writer) = await bench.connect()
    writer.write(b"ping")
    assert await soon(server_reader.readexactly(4)) == b"ping"
    server_writer.write(b"pong")
    assert await soon(reader.readexactly(4)) == b"pong"
    writer.close()
    server_writer.close()


async def test_what_the_client_says_while_connecting_is_not_lost(bench: Bench) -> None:
    client = socket.create_connection(bench.address)
    client.sendall(b"early")  # before the event loop has accepted
    reader, writer = await soon(bench.accepted.get())
    assert await soon(reader.readexactly(5)) == b"early"
    client.close()
    writer.close()


async def test_each_direction_ends_by_itself(bench: Bench) -> None:
    (reader, writer), (server_reader, server_writer) = await bench.connect()
    writer.write(b"question")
    writer.write_eof()
    assert await soon(server_reader.read()) == b"question"
    server_writer.write(b"answer after the end")
    server_writer.close()
    assert await soon(reader.read()) == b"answer after the end"
    writer.close()


async def test_both_ends_closed_leave_nothing_behind(bench: Bench) -> None:
    (reader, writer), (server_reader, server_writer) = await bench.connect()
    assert len(bench.connections) == 1
    writer.close()
    assert await soon(server_reader.read()) == b""
    server_writer.close()
    await until(lambda: not bench.connections)
    assert await soon(reader.read()) == b""


async def test_a_slow_reader_stops_its_writer_and_loses_nothing(bench: Bench) -> None:
    (_, writer), (server_reader, server_writer) = await bench.connect()
    data = bytes(range(256)) * (128 * 1024)  # 32 MiB: more than all socket buffers on the way
    writer.write(data)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.drain(), 0.2)  # nobody reads at the far end
    writer.write_eof()
    digest = hashlib.sha256()
    while chunk := await soon(server_reader.read(1 << 20)):
        digest.update(chunk)
    assert digest.digest() == hashlib.sha256(data).digest()
    writer.close()
    server_writer.close()


async def test_a_reset_is_passed_on(bench: Bench) -> None:
    (reader, writer), (server_reader, server_writer) = await bench.connect()
    writer.write(b"x")
    await soon(server_reader.readexactly(1))
    server_writer.transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
    )
    server_writer.transport.abort()
    with pytest.raises(ConnectionResetError):
        await soon(reader.read())
    await until(lambda: not bench.connections)


async def test_a_target_that_refuses_resets_the_client(bench: Bench) -> None:
    closed, bench.target = bound()
    closed.close()
    reader, _ = await asyncio.open_connection(*bench.address)
    with pytest.raises(ConnectionResetError):
        await soon(reader.read())
    assert not bench.connections


async def test_no_target_resets_the_client(bench: Bench) -> None:
    bench.target = None
    with pytest.raises(ConnectionResetError):  # at once, or at the first read
        reader, _ = await asyncio.open_connection(*bench.address)
        await soon(reader.read())


async def test_a_stopped_listener_refuses_while_its_connections_go_on(bench: Bench) -> None:
    (_, writer), (server_reader, server_writer) = await bench.connect()
    bench.forwarder.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*bench.address)
    writer.write(b"still here")
    assert await soon(server_reader.readexactly(10)) == b"still here"
    writer.close()
    server_writer.close()


async def test_an_inherited_socket_can_listen_again(bench: Bench) -> None:
    free, address = bound()
    free.close()
    sock = socket.socket()
    sock.bind(address)  # by its number: a port the kernel chose for port 0 would be given back at `stop`
    writers = []
    for _ in range(3):
        forwarder = TCPForwarder(sock, lambda client: bench.target, bench.connections, close_on_stop=False)
        forwarder.start()
        _, writer = await asyncio.open_connection(*address)  # stays open while the port listens again
        writers.append(writer)
        await soon(bench.accepted.get())
        forwarder.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
    assert len(bench.connections) == 3
    for writer in writers:
        writer.close()
    sock.close()


# --- UDP


class UDPBench:
    """A UDP echo server that says which peer it heard, and a forwarder in front of it."""

    def __init__(self, **options: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.echo, self.target = bound(socket.SOCK_DGRAM)
        self.echo.setblocking(False)
        self.peers: list[Address] = []
        self.loop.add_reader(self.echo, self._echo)
        sock, self.address = bound(socket.SOCK_DGRAM)
        self.chosen: list[str] = []
        self.forwarder = UDPForwarder(sock, self._choose, **options)  # type: ignore[arg-type]
        self.forwarder.start()
        self.clients: list[socket.socket] = []

    def _choose(self, client: str) -> Address:
        self.chosen.append(client)
        return self.target

    def _echo(self) -> None:
        data, peer = self.echo.recvfrom(100)
        self.peers.append(peer)
        self.echo.sendto(data.upper(), peer)

    def client(self) -> Callable[[bytes], Awaitable[bytes]]:
        sock, _ = bound(socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect(self.address)
        self.clients.append(sock)

        async def ask(data: bytes) -> bytes:
            await self.loop.sock_sendall(sock, data)
            return await soon(self.loop.sock_recv(sock, 100))

        return ask

    def close(self) -> None:
        self.forwarder.stop()
        self.loop.remove_reader(self.echo)
        for sock in (self.echo, *self.clients):
            sock.close()


@pytest.fixture
async def udp() -> AsyncIterator[UDPBench]:
    bench = UDPBench()
    yield bench
    bench.close()


async def test_datagrams_pass_and_the_answer_finds_its_client(udp: UDPBench) -> None:
    one, two = udp.client(), udp.client()
    assert await asyncio.gather(one(b"one"), two(b"two")) == [b"ONE", b"TWO"]


async def test_a_clients_datagrams_are_one_flow(udp: UDPBench) -> None:
    ask = udp.client()
    assert [await ask(b"a"), await ask(b"b")] == [b"A", b"B"]
    assert len(udp.chosen) == 1 and len(set(udp.peers)) == 1


async def test_a_flow_to_a_removed_target_is_chosen_anew(udp: UDPBench) -> None:
    ask = udp.client()
    await ask(b"a")
    udp.forwarder.drop_flows({("10.0.0.1", 1)})
    await ask(b"b")
    assert len(udp.chosen) == 2


async def test_a_flow_to_a_target_that_stays_goes_on(udp: UDPBench) -> None:
    ask = udp.client()
    await ask(b"a")
    udp.forwarder.drop_flows({udp.target})
    await ask(b"b")
    assert len(udp.chosen) == 1


async def test_an_idle_flow_ends() -> None:
    udp = UDPBench(idle_seconds=0.01)
    ask = udp.client()
    await ask(b"a")
    await until(lambda: not udp.forwarder._flows)
    await ask(b"b")
    assert len(udp.chosen) == 2
    udp.close()


async def test_the_longest_unused_flow_makes_room() -> None:
    udp = UDPBench(max_flows=2)
    one, two, three = udp.client(), udp.client(), udp.client()
    for ask in (one, two, one, three, one):  # `two` is the longest unused when `three` comes
        await ask(b"x")
    assert len(udp.chosen) == 3
    await two(b"x")
    assert len(udp.chosen) == 4
    udp.close()
