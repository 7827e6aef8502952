"""exec and attach: the standard streams of a program over one connection, and a Status at the end.

Upstream: kubelet pkg/cri/streaming/remotecommand.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
from aiohttp import web

from labcluster.api.errors import ApiError, bad_request
from labcluster.api.objects import JSON, name_of
from labcluster.api.pod_runtime import STDERR, STDOUT, StreamSession
from labcluster.http.call import Call
from labcluster.http.messages.options import boolean
from labcluster.http.messages.responses import internal_error, success
from labcluster.http.streams import spdy_upgrade, websocket
from labcluster.http.streams.channels import V4, Channels
from labcluster.http.streams.lifetime import await_with_pings
from labcluster.http.streams.remote_streams import (
    CLOSE,
    ERROR,
    RESIZE,
    STDIN,
    WEBSOCKET_PROTOCOLS,
    ChannelsRemote,
    RemoteStreams,
    SpdyRemote,
)
from labcluster.http.streams.spdy import SpdyError
from labcluster.http.subresources.container_choice import all_containers, choose, default_container
from labcluster.http.verbs.reading import namespace

_LARGEST_MESSAGE = 16 << 20  # bytes; clients send stdin in pieces of some 32 KiB

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StreamRequest:
    """The options of an exec or attach request (core/v1 PodExecOptions, PodAttachOptions)."""

    pod: JSON
    container: str
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def parse(cls, call: Call) -> StreamRequest:
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


OpenSession = Callable[[], Awaitable[StreamSession]]


async def run(call: Call) -> web.StreamResponse:
    """Run a program in a container, its streams on a WebSocket or SPDY. Raises ApiError before the upgrade."""
    request = StreamRequest.parse(call)
    command = call.request.query.getall("command", [])
    if not command:
        raise bad_request("you must specify at least 1 command for the container")
    exec_ = call.services.runtime.exec
    return await _serve(
        call, request, lambda: exec_(request.pod, request.container, command, stdin=request.stdin, tty=request.tty)
    )


async def attach(call: Call) -> web.StreamResponse:
    """The streams of a container itself, on a WebSocket or SPDY. Raises ApiError before the upgrade."""
    request = StreamRequest.parse(call)
    attach_ = call.services.runtime.attach
    return await _serve(
        call, request, lambda: attach_(request.pod, request.container, stdin=request.stdin, stderr=request.stderr)
    )


async def _serve(call: Call, request: StreamRequest, open_session: OpenSession) -> web.StreamResponse:
    if not (request.stdin or request.stdout or request.stderr):
        raise bad_request("you must specify at least 1 of stdin, stdout, stderr")
    if not request.pod.get("spec", {}).get("nodeName"):
        raise bad_request(f"pod {name_of(request.pod)} does not have a host assigned")
    channels = {channel for channel, on in ((STDOUT, request.stdout), (STDERR, request.stderr)) if on}

    async def handle(streams: RemoteStreams) -> None:
        await streams.open()
        try:
            status = await _session(streams, open_session, channels, stdin=request.stdin)
        except ConnectionError:
            raise
        except Exception as error:
            log.exception("%s of %s", call.target.subresource, name_of(request.pod))
            status = internal_error(error).status()
        await streams.end(status)

    if spdy_upgrade.is_requested(call):
        channels_of = {STDIN: request.stdin, STDOUT: request.stdout, STDERR: request.stderr, RESIZE: request.tty}
        requested = {ERROR, *(channel for channel, on in channels_of.items() if on)}
        return await spdy_upgrade.serve(call, (V4,), lambda streams: handle(SpdyRemote(streams, requested)))
    first = min(channels, default=ERROR)
    socket = websocket.negotiate(call, WEBSOCKET_PROTOCOLS, largest=_LARGEST_MESSAGE)
    return await websocket.serve(call, socket, lambda socket: handle(ChannelsRemote(Channels(socket), first)))


async def _session(streams: RemoteStreams, open_session: OpenSession, channels: set[int], *, stdin: bool) -> JSON:
    """Copy the streams of a session until it ends; returns the final Status."""
    try:
        session = await open_session()
    except ApiError as error:
        return error.status()
    reading = asyncio.ensure_future(_copy_input(streams, session, stdin=stdin))
    writing = asyncio.ensure_future(_copy_output(streams, session, channels))
    ended = False
    try:
        await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
        if not writing.done():
            # The client has disconnected: nobody is left to read the rest.
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


async def _copy_output(streams: RemoteStreams, session: StreamSession, channels: set[int]) -> None:
    async for channel, data in session.output():
        if channel in channels and data:
            await streams.send(channel, data)


async def _copy_input(streams: RemoteStreams, session: StreamSession, *, stdin: bool) -> None:
    """Pass stdin and terminal sizes to the program until the client disconnects."""
    with contextlib.suppress(ConnectionError, SpdyError):  # it has disconnected, or broken the protocol
        async for channel, data in streams.events():
            if channel == STDIN and stdin:
                if data:
                    await await_with_pings(session.write_stdin(data), streams.ping)
            elif channel == RESIZE:
                _resize(session, data)
            elif channel == CLOSE and data == bytes([STDIN]) and stdin:
                await session.close_stdin()


def _resize(session: StreamSession, data: bytes) -> None:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        size = orjson.loads(data)
        session.resize(int(size["Width"]), int(size["Height"]))


def exit_status(code: int) -> JSON:
    """The Status of a program's exit code, for the error channel."""
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
