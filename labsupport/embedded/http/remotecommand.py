"""exec and attach over WebSocket: channels in one connection, a Status at its end.

Upstream: apimachinery pkg/util/remotecommand/constants.go, kubelet pkg/cri/streaming/remotecommand/websocket.go.
Each message begins with a byte that names its channel. v5 adds byte 255 + channel: that channel ends (half close).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
from aiohttp import WSMsgType, web

from labsupport.embedded.errors import ApiError, bad_request
from labsupport.embedded.http import websocket
from labsupport.embedded.http.call import Call
from labsupport.embedded.http.containers import all_containers, choose, default_container
from labsupport.embedded.http.options import boolean
from labsupport.embedded.http.reading import namespace
from labsupport.embedded.http.responses import internal_error, success
from labsupport.embedded.objects import JSON, name_of
from labsupport.embedded.podruntime import STDERR, STDOUT, StreamSession

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
STDIN, ERROR, RESIZE, CLOSE = 0, 3, 4, 255
_LARGEST_MESSAGE = 16 << 20  # bytes; clients send stdin in pieces of some 32 KiB

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """Whose streams a client wants, and which."""

    pod: JSON
    container: str
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def parse(cls, call: Call) -> Wanted:
        """Read the request. Raises ApiError 400 and 404."""
        query = call.request.query
        pod = call.registry.get(call.resource, namespace(call), call.target.name)
        container = choose(pod, query.get("container", ""), all_containers(pod), default_container(pod))
        tty = boolean(query, "tty")
        return cls(
            pod,
            container,
            stdin=boolean(query, "stdin"),
            stdout=boolean(query, "stdout"),
            stderr=boolean(query, "stderr") and not tty,
            tty=tty,
        )


Open = Callable[[], Awaitable[StreamSession]]


async def run(call: Call) -> web.StreamResponse:
    """Run a program in a container, its streams on the WebSocket. Raises ApiError before the upgrade."""
    wanted = Wanted.parse(call)
    command = call.request.query.getall("command", [])
    if not command:
        raise bad_request("you must specify at least 1 command for the container")
    exec_ = call.services.runtime.exec
    return await _serve(
        call, wanted, lambda: exec_(wanted.pod, wanted.container, command, stdin=wanted.stdin, tty=wanted.tty)
    )


async def attach(call: Call) -> web.StreamResponse:
    """The streams of a container itself, on the WebSocket. Raises ApiError before the upgrade."""
    wanted = Wanted.parse(call)
    attach_ = call.services.runtime.attach
    return await _serve(
        call, wanted, lambda: attach_(wanted.pod, wanted.container, stdin=wanted.stdin, stderr=wanted.stderr)
    )


async def _serve(call: Call, wanted: Wanted, open_session: Open) -> web.StreamResponse:
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    if not wanted.pod.get("spec", {}).get("nodeName"):
        raise bad_request(f"pod {name_of(wanted.pod)} does not have a host assigned")
    socket = websocket.requested(call, (V5, V4), largest=_LARGEST_MESSAGE)

    async def talk(socket: web.WebSocketResponse) -> None:
        channels = {channel for channel, on in ((STDOUT, wanted.stdout), (STDERR, wanted.stderr)) if on}
        await socket.send_bytes(bytes([min(channels, default=ERROR)]))  # tells the client that it is heard
        try:
            status = await _session(socket, open_session, channels, stdin=wanted.stdin)
        except ConnectionError:
            raise
        except Exception as error:
            log.exception("%s of %s", call.target.subresource, name_of(wanted.pod))
            status = internal_error(error).status()
        await socket.send_bytes(bytes([ERROR]) + orjson.dumps(status))

    return await websocket.serve(call, socket, talk)


async def _session(socket: web.WebSocketResponse, open_session: Open, channels: set[int], *, stdin: bool) -> JSON:
    """Carry the streams of a session until it ends; the Status that tells how."""
    try:
        session = await open_session()
    except ApiError as error:
        return error.status()
    reading = asyncio.ensure_future(_read(socket, session, stdin=stdin, half_close=socket.ws_protocol == V5))
    writing = asyncio.ensure_future(_write(socket, session, channels))
    ended = False
    try:
        await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
        if not writing.done():
            # The client has gone: nobody is left to see the rest.
            raise ConnectionResetError
        await writing
        code = await session.wait()
        ended = True
        return exit_status(code)
    finally:
        for part in (reading, writing):
            part.cancel()
        with contextlib.suppress(Exception):
            if not ended:
                await session.close()


async def _write(socket: web.WebSocketResponse, session: StreamSession, channels: set[int]) -> None:
    async for channel, data in session.output():
        if channel in channels and data:
            await socket.send_bytes(bytes([channel]) + data)


async def _read(socket: web.WebSocketResponse, session: StreamSession, *, stdin: bool, half_close: bool) -> None:
    """Carry stdin and sizes to the program until the client leaves."""
    async for message in socket:
        if message.type == WSMsgType.BINARY:
            data: bytes = message.data
        elif message.type == WSMsgType.TEXT:
            data = message.data.encode()  # the Python client sends text as text
        else:
            continue
        if not data:
            continue
        channel, rest = data[0], data[1:]
        if channel == STDIN and stdin:
            if rest:
                await session.write_stdin(rest)
        elif channel == RESIZE:
            _resize(session, rest)
        elif channel == CLOSE and half_close and rest == bytes([STDIN]) and stdin:
            await session.close_stdin()


def _resize(session: StreamSession, data: bytes) -> None:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        size = orjson.loads(data)
        session.resize(int(size["Width"]), int(size["Height"]))


def exit_status(code: int) -> JSON:
    """The Status of a program's end, on the error channel."""
    if code == 0:
        return success()
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
