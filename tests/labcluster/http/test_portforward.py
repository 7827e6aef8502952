"""port-forward with the clients that people use: kubectl (SPDY in a WebSocket), the Python client (channels)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import re
import socket
import struct
import zlib
from collections.abc import AsyncIterator

import aiohttp
import kubernetes
import pytest
from kubernetes.stream import portforward

from labcluster.api.objects import JSON
from labcluster.http.streams import spdy
from labsupport.backends.current.connection import Connection
from tests.labcluster.http_server import SECONDS, ApiServer, pod, run_pod

PATH = "/api/v1/namespaces/default/pods/one/portforward"
V4 = "v4.channel.k8s.io"
PAGE = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes; the end when the end comes."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
    writer.write(PAGE)
    writer.close()


@pytest.fixture
async def api(api: ApiServer) -> AsyncIterator[ApiServer]:
    """A pod "one" that echoes on port 7 and serves a page on port 80."""
    run_pod(api.registry, pod("one"))
    listeners = {7: await asyncio.start_server(_echo, "127.0.0.1", 0)}
    listeners[80] = await asyncio.start_server(_page, "127.0.0.1", 0)
    api.runtime.listening = {port: s.sockets[0].getsockname()[1] for port, s in listeners.items()}
    yield api
    for listener in listeners.values():
        listener.close()


@contextlib.asynccontextmanager
async def forwarded(api: ApiServer, port: int) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """kubectl port-forward on a free port: that port, and the process."""
    process = await api.start_kubectl("port-forward", "pod/one", f":{port}")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SECONDS):
            line = (await process.stdout.readline()).decode()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found, line
        yield int(found[1]), process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_kubectl_carries_several_connections_at_once(api: ApiServer) -> None:
    async with forwarded(api, 7) as (local, _), asyncio.timeout(SECONDS):
        pairs = [await asyncio.open_connection("127.0.0.1", local) for _ in range(3)]
        for number, (_, writer) in enumerate(pairs):
            writer.write(b"hello %d" % number)
        for number, (reader, writer) in reversed(list(enumerate(pairs))):
            assert await reader.readexactly(7) == b"hello %d" % number
            writer.close()


async def test_a_megabyte_comes_back_whole_and_in_order(api: ApiServer) -> None:
    sent = b"".join(struct.pack("!I", n) for n in range(1 << 18))
    async with forwarded(api, 7) as (local, _), asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", local)
        writing = asyncio.ensure_future(_write(writer, sent))
        back = await reader.readexactly(len(sent))
        await writing
        assert hashlib.sha256(back).digest() == hashlib.sha256(sent).digest()
        writer.close()


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


@pytest.mark.parametrize("websockets", ["true", "false"])
async def test_a_client_that_goes_is_noticed_while_the_pod_reads_nothing(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch, websockets: str
) -> None:
    """Nothing is read from the client then, not even its end; the connection into the pod must not stay for ever."""
    monkeypatch.setenv("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
    dialled: list[asyncio.StreamWriter] = []
    dial = api.runtime.dial

    async def recorded(pod: JSON, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await dial(pod, port)
        dialled.append(writer)
        return reader, writer

    monkeypatch.setattr(api.runtime, "dial", recorded)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        api.runtime.listening[9] = deaf.getsockname()[1]
        async with forwarded(api, 9) as (local, process), asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection("127.0.0.1", local)
            with pytest.raises(TimeoutError):  # all buffers on the way are full
                await asyncio.wait_for(_write(writer, bytes(1 << 26)), 1)
            process.kill()
            await dialled[0].wait_closed()
            writer.transport.abort()


async def test_the_pods_end_of_a_connection_reaches_the_client(api: ApiServer) -> None:
    async with forwarded(api, 80) as (local, _), asyncio.timeout(SECONDS):
        for _ in range(2):  # the tunnel outlives the connection
            reader, writer = await asyncio.open_connection("127.0.0.1", local)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            assert await reader.read() == PAGE
            writer.close()


async def test_a_port_where_nobody_listens_is_told_by_kubectl(api: ApiServer) -> None:
    async with forwarded(api, 81) as (local, process), asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", local)
        assert await reader.read() == b""
        writer.close()
        assert process.stderr is not None
        said = b""
        while b"nobody listens on 81" not in said:
            line = await process.stderr.readline()
            assert line, said
            said += line


async def test_the_python_client_talks_through_its_channels(api: ApiServer) -> None:
    def talk() -> bytes:
        client = kubernetes.config.new_client_from_config(str(api.kubeconfig))
        core = kubernetes.client.CoreV1Api(client)
        forward = portforward(core.connect_get_namespaced_pod_portforward, "one", "default", ports="7,80")
        back = b""
        echo, page = forward.socket(7), forward.socket(80)
        for one in (echo, page):
            one.settimeout(SECONDS)
        echo.sendall(b"ping")
        assert echo.recv(4) == b"ping"
        page.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while len(back) < len(PAGE):
            back += page.recv(100)
        echo.close()
        page.close()
        client.close()
        return back

    assert await asyncio.to_thread(talk) == PAGE


@pytest.mark.parametrize(
    ("query", "words"),
    [("", 'query parameter "ports" is required'), ("?ports=0", '"0" is no port'), ("?ports=80,x", '"x" is no port')],
)
async def test_channels_need_ports(api: ApiServer, query: str, words: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await api.client.session.ws_connect(f"{api.url}{PATH}{query}", protocols=[V4])
    assert caught.value.status == 400
    code, body = await api.client(
        "GET",
        f"{PATH}{query}",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Protocol": V4,
        },
    )
    assert code == 400
    assert words in body["message"]


async def test_what_is_not_spdy_ends_the_tunnel_with_a_reason(api: ApiServer) -> None:
    protocol = "SPDY/3.1+portforward.k8s.io"
    async with asyncio.timeout(SECONDS), api.client.session.ws_connect(api.url + PATH, protocols=[protocol]) as socket:
        await socket.send_bytes(b"\x80\x09\x00\x01\x00\x00\x00\x00")
        message = await socket.receive()
        assert (message.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1002)
        assert "version 9" in str(message.extra)


async def test_a_server_that_stops_ends_the_tunnels(api: ApiServer) -> None:
    async with forwarded(api, 7) as (local, _), asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", local)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        await api.server.stop()
        assert await reader.read() == b""
        writer.close()


def test_the_dictionary_is_the_one_of_the_protocol() -> None:
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


def test_frames_may_come_cut_anywhere() -> None:
    frames = spdy.Writer.data(5, b"abc") + spdy.Writer.ping(7) + spdy.Writer.reset(5, spdy.CANCEL)
    reader = spdy.Reader()
    events = [event for n in range(len(frames)) for event in reader.feed(frames[n : n + 1])]
    assert events == [spdy.Data(5, b"abc", False), spdy.Ping(7), spdy.Reset(5)]


def test_headers_that_deflate_a_hundredfold_do_not_take_the_memory() -> None:
    block = zlib.compressobj(zdict=spdy.DICTIONARY)
    deflated = block.compress(bytes(1 << 24)) + block.flush(zlib.Z_SYNC_FLUSH)
    body = struct.pack("!IIH", 1, 0, 0) + deflated
    with pytest.raises(spdy.SpdyError, match="larger than 65536 bytes"):
        list(spdy.Reader().feed(struct.pack("!II", 0x80030001, len(body)) + body))


async def test_the_labs_own_forwarder_carries_a_connection_and_tells_a_refusal(api: ApiServer) -> None:
    refused: asyncio.Queue[str] = asyncio.Queue()

    async with Connection(api.kubeconfig) as connection:

        async def carry(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await connection.forward("default", "one", port, reader, writer)
            except ConnectionRefusedError as error:
                refused.put_nowait(str(error))
            writer.close()

        async with asyncio.timeout(SECONDS):
            for port, wanted in ((80, PAGE), (81, b"")):
                server = await asyncio.start_server(functools.partial(carry, port), "127.0.0.1", 0)
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                assert await reader.read() == wanted
                writer.close()
                server.close()
            assert "nobody listens on 81" in await refused.get()
