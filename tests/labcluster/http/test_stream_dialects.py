"""exec and port-forward in the dialects that kubectl does not speak by itself: plain SPDY, base64, no subprotocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest

from labcluster.http.streams import spdy
from tests.labcluster.http_server import SECONDS, ApiServer, pod, run_pod

POD = "/api/v1/namespaces/default/pods/one"
UPGRADE = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def api(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    """A pod "one" that echoes on port 7, and a kubectl that speaks SPDY as all did before 1.31."""
    monkeypatch.setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
    monkeypatch.setenv("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")
    run_pod(api.registry, pod("one"))
    listener = await asyncio.start_server(_echo, "127.0.0.1", 0)
    api.runtime.listening = {7: listener.sockets[0].getsockname()[1]}
    yield api
    listener.close()


async def test_kubectl_really_speaks_spdy_here(api: ApiServer) -> None:
    _, _, said = await api.kubectl("exec", "one", "-v=8", "--", "both")
    assert "101 Switching Protocols" in said and "Upgrade: SPDY/3.1" in said


async def test_both_streams_come_apart(api: ApiServer) -> None:
    assert await api.kubectl("exec", "one", "--", "both") == (0, "to stdout\n", "to stderr\n")


async def test_the_exit_code_is_the_programs(api: ApiServer) -> None:
    code, _, said = await api.kubectl("exec", "one", "--", "exit", "7")
    assert (code, said) == (7, "command terminated with exit code 7\n")


async def test_a_megabyte_of_input_and_its_end_reach_the_program(api: ApiServer) -> None:
    sent = "0123456789abcde\n" * (1 << 16)
    assert await api.kubectl("exec", "-i", "one", "--", "cat", stdin=sent) == (0, sent, "")


async def test_a_program_that_cannot_start_is_told(api: ApiServer) -> None:
    code, _, said = await api.kubectl("exec", "one", "--", "nothing")
    assert code == 1 and "no program called nothing in main" in said


async def test_attach(api: ApiServer) -> None:
    run_pod(api.registry, pod("streams", "both"))
    code, out, err = await api.kubectl("attach", "streams")
    assert (code, out) == (0, "to stdout\n") and "to stderr\n" in err


async def test_a_client_that_leaves_ends_the_program(api: ApiServer) -> None:
    process = await api.start_kubectl("exec", "one", "--", "sleep")
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        assert await process.stdout.readline() == b"asleep\n"
        process.kill()
        await process.wait()
        await api.runtime.sessions[0].closed.wait()


async def test_a_client_that_leaves_is_seen_to_leave_while_the_program_reads_nothing(api: ApiServer) -> None:
    process = await api.start_kubectl("exec", "-i", "one", "--", "deaf")
    assert process.stdin is not None
    process.stdin.write(bytes(20 << 20))
    async with asyncio.timeout(SECONDS):
        while not (api.runtime.sessions and api.runtime.sessions[0].blocked.is_set()):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)  # the server has stopped reading, and has sent pings
        assert process.returncode is None
        process.kill()
        await api.runtime.sessions[0].closed.wait()
        await process.wait()


async def test_a_server_that_stops_ends_the_session(api: ApiServer) -> None:
    process = await api.start_kubectl("exec", "one", "--", "sleep")
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        assert await process.stdout.readline() == b"asleep\n"
        await api.server.stop()
        await process.wait()
    assert api.runtime.sessions[0].closed.is_set()


async def test_ports_are_forwarded(api: ApiServer) -> None:
    process = await api.start_kubectl("port-forward", "pod/one", ":7")
    assert process.stdout is not None
    sent = bytes(range(256)) * 4096
    async with asyncio.timeout(SECONDS):
        found = re.search(rb"127\.0\.0\.1:(\d+)", await process.stdout.readline())
        assert found
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(found[1]))
            writing = asyncio.ensure_future(_write(writer, sent))
            assert await reader.readexactly(len(sent)) == sent
            await writing
            writer.close()
        process.kill()
        await process.wait()


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


@contextlib.asynccontextmanager
async def upgraded(api: ApiServer, path: str, protocol: str) -> AsyncIterator[tuple[Any, asyncio.StreamWriter, bytes]]:
    """A connection by hand, after the upgrade: its reader and writer, and the head of the answer."""
    host, port = api.url.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=api.client.session.connector._ssl)  # type: ignore[union-attr]
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Length: 0", f"X-Stream-Protocol-Version: {protocol}"]
    lines += [f"{name}: {value}" for name, value in UPGRADE.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    async with asyncio.timeout(SECONDS):
        yield reader, writer, await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_what_is_not_spdy_ends_the_connection(api: ApiServer) -> None:
    async with upgraded(api, POD + "/portforward", "portforward.k8s.io") as (reader, writer, head):
        assert head.startswith(b"HTTP/1.1 101") and b"X-Stream-Protocol-Version: portforward.k8s.io" in head
        writer.write(spdy.Writer.ping(5) + b"\x80\x09\x00\x01\x00\x00\x00\x00")
        assert await reader.read() == spdy.Writer.ping(5)


async def test_a_client_that_opens_no_streams_and_leaves_is_let_go(api: ApiServer) -> None:
    async with upgraded(api, POD + "/exec?command=sleep&stdout=1", "v4.channel.k8s.io") as (reader, writer, _):
        writer.write_eof() if writer.can_write_eof() else writer.close()
        assert await reader.read() == b""
    assert not api.runtime.sessions


class Opening:
    """Frames that open streams, as a client makes them."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=spdy.DICTIONARY)

    def frame(self, stream: int, headers: dict[str, str]) -> bytes:
        """The frame with which the client opens a stream."""
        words = [word.encode() for pair in headers.items() for word in pair]
        block = struct.pack("!I", len(headers)) + b"".join(struct.pack("!I", len(word)) + word for word in words)
        body = struct.pack("!IIH", stream, 0, 0) + self._deflate.compress(block)
        body += self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return struct.pack("!II", 0x80030001, len(body)) + body


async def test_a_stream_is_opened_once(api: ApiServer) -> None:
    opening = Opening()
    about = {"port": "7", "requestid": "0"}
    async with upgraded(api, POD + "/portforward", "portforward.k8s.io") as (reader, writer, _):
        for stream, kind in ((1, "error"), (3, "data"), (5, "error"), (3, "data")):
            writer.write(opening.frame(stream, {**about, "streamtype": kind}))
        refusal = spdy.Writer.reset(3, spdy.REFUSED_STREAM)
        assert (await reader.readuntil(refusal)).endswith(refusal)
        writer.write(spdy.Writer.data(3, b"hello", end=True))
        assert b"hello" in await reader.readuntil(b"hello")


async def test_a_stream_given_up_at_once_holds_up_nothing(api: ApiServer) -> None:
    opening = Opening()
    about = {"port": "7", "requestid": "0"}
    frames = [opening.frame(1, {**about, "streamtype": "error"}), opening.frame(3, {**about, "streamtype": "data"})]
    frames += [spdy.Writer.reset(3, spdy.CANCEL), *(spdy.Writer.data(3, b"x") for _ in range(200))]
    async with upgraded(api, POD + "/portforward", "portforward.k8s.io") as (reader, writer, _):
        writer.write(b"".join([*frames, spdy.Writer.ping(5)]))
        await reader.readuntil(spdy.Writer.ping(5))


async def test_input_before_the_streams_are_open_is_bounded(api: ApiServer) -> None:
    async with upgraded(api, POD + "/exec?command=cat&stdin=1&stdout=1", "v4.channel.k8s.io") as (reader, writer, _):
        writer.write(b"".join(spdy.Writer.data(1, bytes(1 << 16)) for _ in range(17)))
        assert await reader.read() == b""


@pytest.mark.parametrize(
    ("path", "served"), [("exec?command=ls&stdout=1", "v4.channel.k8s.io"), ("portforward", "por")]
)
async def test_protocols_in_common_there_must_be(api: ApiServer, path: str, served: str) -> None:
    headers = {**UPGRADE, "X-Stream-Protocol-Version": "v9.channel.k8s.io"}
    code, status = await api.client("POST", f"{POD}/{path}", headers=headers)
    assert (code, status["reason"]) == (403, "Forbidden")
    wanted = f"unable to negotiate protocol: client supports ['v9.channel.k8s.io'], server accepts ['{served}"
    assert wanted in status["message"]


async def test_a_websocket_whose_protocols_are_all_unknown_is_refused(api: ApiServer) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await api.client.session.ws_connect(f"{api.url}{POD}/exec?command=both&stdout=1", protocols=["other"])
    assert caught.value.status == 403


async def heard(socket: aiohttp.ClientWebSocketResponse) -> list[Any]:
    """All messages until the server closes."""
    async with asyncio.timeout(SECONDS):
        return [message.data async for message in socket]


@pytest.mark.parametrize("protocols", [(), ("channel.k8s.io",)])
async def test_before_v4_an_error_is_plain_text(api: ApiServer, protocols: tuple[str, ...]) -> None:
    url = f"{api.url}{POD}/exec?stdout=1&stderr=1&command="
    async with api.client.session.ws_connect(url + "both", protocols=protocols) as socket:
        assert await heard(socket) == [b"\1", b"\1to stdout\n", b"\2to stderr\n"]
    async with api.client.session.ws_connect(f"{url}exit&command=3", protocols=protocols) as socket:
        assert await heard(socket) == [b"\1", b"\3command terminated with non-zero exit code: exit status 3"]


async def test_base64_is_text_with_a_digit_for_the_channel(api: ApiServer) -> None:
    url = f"{api.url}{POD}/exec?stdin=1&stdout=1&tty=1&command=cat"
    async with api.client.session.ws_connect(url, protocols=["v4.base64.channel.k8s.io"]) as socket:
        await socket.send_str("4" + base64.b64encode(b'{"Width":132,"Height":43}').decode())
        await socket.send_str("0this is not base64")
        await socket.send_str("0" + base64.b64encode(b"typed\n").decode())
        async with asyncio.timeout(SECONDS):
            assert [await socket.receive_str() for _ in range(2)] == ["1", "1" + base64.b64encode(b"typed\n").decode()]
        await api.runtime.sessions[0].close_stdin()
        (last,) = await heard(socket)
    assert last[0] == "3" and orjson.loads(base64.b64decode(last[1:]))["status"] == "Success"
    assert api.runtime.sessions[0].size == (132, 43)


async def test_port_forward_without_a_named_protocol(api: ApiServer) -> None:
    async with api.client.session.ws_connect(f"{api.url}{POD}/portforward?ports=7") as socket, asyncio.timeout(SECONDS):
        assert [await socket.receive_bytes() for _ in range(2)] == [b"\0\7\0", b"\1\7\0"]
        await socket.send_bytes(b"\0ping")
        assert await socket.receive_bytes() == b"\0ping"
