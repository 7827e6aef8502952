"""exec over WebSocket: channels in one connection, a Status at its end.

Upstream: apimachinery pkg/util/remotecommand/constants.go, kubelet pkg/cri/streaming/remotecommand/websocket.go.
Each message begins with a byte that names its channel. v5 adds byte 255 + channel: that channel ends (half close).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import orjson
from aiohttp import WSMsgType, web

from labsupport.embedded.errors import ApiError, bad_request
from labsupport.embedded.http.call import Call
from labsupport.embedded.http.containers import all_containers, choose, default_container
from labsupport.embedded.http.options import boolean
from labsupport.embedded.http.reading import namespace
from labsupport.embedded.http.responses import internal_error, success
from labsupport.embedded.objects import JSON, name_of
from labsupport.embedded.podruntime import STDERR, STDOUT, ExecSession

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
STDIN, ERROR, RESIZE, CLOSE = 0, 3, 4, 255
_LARGEST_MESSAGE = 16 << 20  # bytes; clients send stdin in pieces of some 32 KiB

log = logging.getLogger(__name__)


async def run(call: Call) -> web.StreamResponse:
    """Run a program in a container, its streams on the WebSocket. Raises ApiError before the upgrade."""
    query = call.request.query
    pod = call.registry.get(call.resource, namespace(call), call.target.name)
    container = choose(pod, query.get("container", ""), all_containers(pod), default_container(pod))
    command = query.getall("command", [])
    stdin, tty = boolean(query, "stdin"), boolean(query, "tty")
    stdout, stderr = boolean(query, "stdout"), boolean(query, "stderr") and not tty
    if not command:
        raise bad_request("you must specify at least 1 command for the container")
    if not (stdin or stdout or stderr):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    if not pod.get("spec", {}).get("nodeName"):
        raise bad_request(f"pod {name_of(pod)} does not have a host assigned")
    socket = web.WebSocketResponse(protocols=(V5, V4), max_msg_size=_LARGEST_MESSAGE, compress=False)
    if not socket.can_prepare(call.request):
        raise bad_request(
            "you must request an upgrade to a WebSocket (protocol v5.channel.k8s.io or v4.channel.k8s.io)"
        )
    await socket.prepare(call.request)
    if socket.ws_protocol is None:
        await socket.close(code=1002, message=b"none of the offered subprotocols is v5 or v4.channel.k8s.io")
        return socket
    task = asyncio.current_task()
    if task is not None:
        call.services.closers.add(task.cancel)
    try:
        wanted = {channel for channel, on in ((STDOUT, stdout), (STDERR, stderr)) if on}
        await socket.send_bytes(bytes([min(wanted, default=ERROR)]))  # tells the client that it is heard
        status = await _session(call, socket, pod, container, command, wanted, stdin=stdin, tty=tty)
        await socket.send_bytes(bytes([ERROR]) + orjson.dumps(status))
        await socket.close()
    except ConnectionError:
        pass  # the client has gone
    except Exception as error:
        log.exception("exec in %s", name_of(pod))
        with contextlib.suppress(ConnectionError):
            await socket.send_bytes(bytes([ERROR]) + orjson.dumps(internal_error(error).status()))
            await socket.close()
    finally:
        if task is not None:
            call.services.closers.discard(task.cancel)
    return socket


async def _session(
    call: Call,
    socket: web.WebSocketResponse,
    pod: JSON,
    container: str,
    command: list[str],
    wanted: set[int],
    *,
    stdin: bool,
    tty: bool,
) -> JSON:
    """Start the program and carry its streams until it ends; the Status that tells how."""
    try:
        session = await call.services.runtime.exec(pod, container, command, stdin=stdin, tty=tty)
    except ApiError as error:
        return error.status()
    reading = asyncio.ensure_future(_read(socket, session, stdin=stdin, half_close=socket.ws_protocol == V5))
    writing = asyncio.ensure_future(_write(socket, session, wanted))
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
                await session.kill()


async def _write(socket: web.WebSocketResponse, session: ExecSession, wanted: set[int]) -> None:
    async for channel, data in session.output():
        if channel in wanted and data:
            await socket.send_bytes(bytes([channel]) + data)


async def _read(socket: web.WebSocketResponse, session: ExecSession, *, stdin: bool, half_close: bool) -> None:
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


def _resize(session: ExecSession, data: bytes) -> None:
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
