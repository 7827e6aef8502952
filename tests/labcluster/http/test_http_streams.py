"""Logs, exec and attach over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from labcluster.http import server
from labcluster.http.subresources import proxying
from tests.labcluster.http_server import SECONDS, ApiServer, Client, pod, run_pod, running

PODS_PATH = "/api/v1/namespaces/default/pods"
V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"


@pytest.fixture
def api(api: ApiServer) -> ApiServer:
    """With two pods, of which one has two containers."""
    run_pod(api.registry, pod("one"))
    run_pod(api.registry, pod("two", "a", "b"))
    return api


async def test_a_log_is_text(call: Client) -> None:
    code, headers, body = await call.full("GET", f"{PODS_PATH}/one/log")
    assert (code, headers["Content-Type"], body) == (200, "text/plain", b"main 0\nmain 1\nmain 2\n")


async def test_log_options_reach_the_node(api: ApiServer, call: Client) -> None:
    query = "tailLines=1&timestamps=true&sinceSeconds=5&limitBytes=10"
    assert (await call("GET", f"{PODS_PATH}/one/log?{query}"))[1] == b"main 2\n"
    asked = api.runtime.asked[0]
    assert (asked.tail_lines, asked.timestamps, asked.since_seconds, asked.limit_bytes) == (1, True, 5, 10)


async def test_following_ends_with_the_client(api: ApiServer, call: Client) -> None:
    async with call.session.get(f"{api.url}{PODS_PATH}/one/log?follow=true") as response:
        async with asyncio.timeout(SECONDS):
            assert await response.content.readline() == b"main 0\n"
    async with asyncio.timeout(SECONDS):
        await api.runtime.log_ended.wait()


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("none/log", 404, 'pods "none" not found'),
        ("two/log", 400, "a container name must be specified for pod two, choose one of: [a b]"),
        ("two/log?container=c", 400, "container c is not valid for pod two"),
        ("one/log?tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("one/log?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", 422, "at most one of"),
        ("one/log?sinceTime=yesterday", 400, "parsing time"),
    ],
)
async def test_logs_that_cannot_be_had(call: Client, path: str, code: int, words: str) -> None:
    found, status = await call("GET", f"{PODS_PATH}/{path}")
    assert found == code and words in status["message"]


async def test_a_refusal_of_the_node_is_a_status(api: ApiServer, call: Client) -> None:
    run_pod(api.registry, pod("bad", "broken"))
    code, status = await call("GET", f"{PODS_PATH}/bad/log")
    assert (code, status["message"]) == (400, "this log cannot be read")


async def test_a_fault_within_a_log_is_its_last_line(api: ApiServer, call: Client) -> None:
    run_pod(api.registry, pod("torn", "tearing"))
    code, text = await call("GET", f"{PODS_PATH}/torn/log")
    assert (code, text) == (200, b"a line\nInternal error occurred: ZeroDivisionError: torn\n")


async def test_the_annotated_container_is_the_default(api: ApiServer, call: Client) -> None:
    annotations = {"kubectl.kubernetes.io/default-container": "b"}
    run_pod(api.registry, pod("marked", "a", "b", annotations=annotations))
    assert (await call("GET", f"{PODS_PATH}/marked/log?tailLines=1"))[1] == b"b 2\n"


class Exec:
    """The client's side of an exec."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(SECONDS):
            data = await self.socket.receive_bytes()
        return data[0], data[1:]

    async def rest(self) -> tuple[dict[int, bytes], Any]:
        """All output by channel and the final Status."""
        output: dict[int, bytes] = {}
        while True:
            channel, data = await self.frame()
            if channel == 3 and data:
                return output, orjson.loads(data)
            if data:
                output[channel] = output.get(channel, b"") + data


def run(api: ApiServer, command: list[str], *, protocols: tuple[str, ...] = (V5,), **query: str) -> Any:
    parameters = [("command", word) for word in command] + list({"stdout": "1", "stderr": "1", **query}.items())
    name = query.get("pod", "one")
    return api.client.session.ws_connect(
        f"{api.url}{PODS_PATH}/{name}/exec", params=[p for p in parameters if p[0] != "pod"], protocols=protocols
    )


@pytest.mark.parametrize("protocols", [(V5,), (V4,), (V5, V4), ("other", V4)])
async def test_streams_come_on_their_channels(api: ApiServer, protocols: tuple[str, ...]) -> None:
    async with run(api, ["both"], protocols=protocols) as socket:
        assert socket.protocol in (V5, V4)
        output, status = await Exec(socket).rest()
    assert output == {1: b"to stdout\n", 2: b"to stderr\n"}
    assert status == {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


async def test_a_stream_that_was_not_asked_for_is_left_out(api: ApiServer) -> None:
    async with run(api, ["both"], stderr="0") as socket:
        output, _ = await Exec(socket).rest()
    assert output == {1: b"to stdout\n"}


async def test_the_exit_code_is_a_cause(api: ApiServer) -> None:
    async with run(api, ["exit", "7"]) as socket:
        _, status = await Exec(socket).rest()
        async with asyncio.timeout(SECONDS):
            assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE
    assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
    assert status["details"] == {"causes": [{"reason": "ExitCode", "message": "7"}]}


async def test_stdin_ends_by_half_close(api: ApiServer) -> None:
    async with run(api, ["cat"], stdin="1") as socket:
        await socket.send_bytes(b"\0hello ")
        await socket.send_str("\0wörld")
        await socket.send_bytes(b"\xff\0")
        output, status = await Exec(socket).rest()
    assert (output[1].decode(), status["status"]) == ("hello wörld", "Success")


async def test_a_terminal_is_resized(api: ApiServer) -> None:
    async with run(api, ["cat"], stdin="1", tty="1") as socket:
        await socket.send_bytes(b'\4{"Width":132,"Height":43}')
        await socket.send_bytes(b"\4nonsense")
        await socket.send_bytes(b"\xff\0")
        await Exec(socket).rest()
    assert api.runtime.sessions[0].size == (132, 43)


async def test_a_client_that_leaves_ends_the_program(api: ApiServer) -> None:
    async with run(api, ["sleep"]) as socket:
        session = Exec(socket)
        while (await session.frame())[1] != b"asleep\n":
            pass
    async with asyncio.timeout(SECONDS):
        await api.runtime.sessions[0].closed.wait()


@pytest.mark.parametrize("size", [1, 1 << 20])  # the second fills every buffer: the server has stopped reading
async def test_a_client_that_leaves_is_seen_to_leave_while_the_program_reads_nothing(api: ApiServer, size: int) -> None:
    async with run(api, ["deaf"], stdin="1") as socket:
        sending = asyncio.ensure_future(_send(socket, size))
        while not api.runtime.sessions:
            await socket.receive_bytes()
        async with asyncio.timeout(SECONDS):
            await api.runtime.sessions[0].blocked.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(sending), 0.5)
            sending.cancel()
            socket._response.connection.transport.abort()
            await api.runtime.sessions[0].closed.wait()


async def _send(socket: Any, size: int) -> None:
    for _ in range(20):
        await socket.send_bytes(b"\0" + bytes(size))


async def test_a_program_that_cannot_start_is_told_on_the_error_channel(api: ApiServer) -> None:
    async with run(api, ["nothing"]) as socket:
        _, status = await Exec(socket).rest()
    assert (status["status"], status["message"]) == ("Failure", "no program called nothing in main")


async def test_a_fault_within_an_exec_is_its_status(api: ApiServer) -> None:
    async with run(api, ["fail"]) as socket:
        _, status = await Exec(socket).rest()
    assert (status["reason"], status["code"]) == ("InternalError", 500)
    assert api.runtime.sessions[0].closed.is_set()


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("one/exec?command=ls&stdout=1", 400, "you must request an upgrade to a WebSocket"),
        ("one/exec?stdout=1", 400, "you must specify at least 1 command for the container"),
        ("one/exec?command=ls", 400, "at least 1 of stdin, stdout, stderr"),
        ("one/exec?command=ls&stdout=1&container=x", 400, "container x is not valid for pod one"),
        ("two/exec?command=ls&stdout=1", 400, "a container name must be specified for pod two"),
        ("none/exec?command=ls&stdout=1", 404, 'pods "none" not found'),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_execs_that_cannot_be(call: Client, method: str, path: str, code: int, words: str) -> None:
    found, status = await call(method, f"{PODS_PATH}/{path}")
    assert found == code and words in status["message"]


def attach(api: ApiServer, container: str, *, protocols: tuple[str, ...] = (V5,), **query: str) -> Any:
    """To the pod `streams`, whose containers are called as what they do."""
    parameters = {"container": container, "stdout": "1", "stderr": "1", **query}
    return api.client.session.ws_connect(f"{api.url}{PODS_PATH}/streams/attach", params=parameters, protocols=protocols)


@pytest.fixture
def streams(api: ApiServer) -> ApiServer:
    run_pod(api.registry, pod("streams", "both", "cat", "sleep", "gone"))
    return api


@pytest.mark.parametrize("protocols", [(V5,), (V4,)])
async def test_the_streams_of_a_container_come_on_their_channels(
    streams: ApiServer, protocols: tuple[str, ...]
) -> None:
    async with attach(streams, "both", protocols=protocols) as socket:
        output, status = await Exec(socket).rest()
    assert output == {1: b"to stdout\n", 2: b"to stderr\n"}
    assert status == {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    assert streams.runtime.attached == [("both", False, True)]


async def test_the_input_of_a_container_is_written_and_ended(streams: ApiServer) -> None:
    async with attach(streams, "cat", stdin="1", tty="1") as socket:
        await socket.send_bytes(b'\4{"Width":132,"Height":43}')
        await socket.send_bytes(b"\0typed")
        await socket.send_bytes(b"\xff\0")
        output, _ = await Exec(socket).rest()
    assert output == {1: b"typed"}
    assert streams.runtime.sessions[0].size == (132, 43)
    assert streams.runtime.attached == [("cat", True, False)]  # a terminal has no stderr of its own


async def test_a_client_that_leaves_is_detached(streams: ApiServer) -> None:
    async with attach(streams, "sleep") as socket:
        session = Exec(socket)
        while (await session.frame())[1] != b"asleep\n":
            pass
    async with asyncio.timeout(SECONDS):
        await streams.runtime.sessions[0].closed.wait()


async def test_a_container_that_is_not_there_is_told_on_the_error_channel(streams: ApiServer) -> None:
    async with attach(streams, "gone") as socket:
        _, status = await Exec(socket).rest()
    assert (status["status"], status["message"]) == ("Failure", "container gone not found in pod streams_default")


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("one/attach?stdout=1", 400, "you must request an upgrade to a WebSocket"),
        ("one/attach", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("one/attach?stdout=1&container=x", 400, "container x is not valid for pod one"),
        ("two/attach?stdout=1", 400, "a container name must be specified for pod two, choose one of: [a b]"),
        ("none/attach?stdout=1", 404, 'pods "none" not found'),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_attaching_that_cannot_be(call: Client, method: str, path: str, code: int, words: str) -> None:
    found, status = await call(method, f"{PODS_PATH}/{path}")
    assert found == code and words in status["message"]


async def test_stopping_the_server_ends_every_stream(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        run_pod(api.registry, pod("one"))
        logs = await api.client.session.get(f"{api.url}{PODS_PATH}/one/log?follow=true")
        watch = await api.client.session.get(f"{api.url}{PODS_PATH}?watch=true")
        socket = await run(api, ["sleep"])
        await socket.receive()
        session = api.runtime.sessions[0]
        async with asyncio.timeout(SECONDS):
            await api.server.stop()
            await session.closed.wait()
            await api.runtime.log_ended.wait()
        assert not api.services.closers
        for response in (logs, watch):
            response.close()


async def test_stopping_the_server_ends_an_answer_that_a_pod_goes_on_giving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun")
        await reader.read()
        left.set()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    monkeypatch.setattr(proxying, "_pod", lambda call, name: listener.sockets[0].getsockname())
    monkeypatch.setattr(server, "_SHUTDOWN", 10 * SECONDS)
    async with running(tmp_path) as api:
        run_pod(api.registry, pod("one"))
        response = await api.client.session.get(f"{api.url}{PODS_PATH}/one/proxy/")
        assert await response.content.readexactly(5) == b"begun"
        async with asyncio.timeout(SECONDS):
            await api.server.stop()
            await left.wait()
        response.close()
    listener.close()
