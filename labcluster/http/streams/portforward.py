"""port-forward: TCP connections into a pod, multiplexed over one connection of the client.

Two dialects. client-go speaks SPDY/3.1: a pair of streams for each connection, one for errors and one for data.
kubectl has it in a WebSocket (upstream: client-go tools/portforward, KEP-4006), k9s without. Other clients have two
channels of a WebSocket for each port and one connection on each (upstream: kubelet
pkg/cri/streaming/portforward/websocket.go).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from labcluster.api.errors import ApiError, bad_request
from labcluster.api.objects import JSON, name_of, uid_of
from labcluster.http.call import Call
from labcluster.http.streams import spdy, spdy_upgrade, websocket
from labcluster.http.streams.channels import PROTOCOLS, Channels
from labcluster.http.streams.lifetime import await_with_pings
from labcluster.http.streams.spdy_streams import Event, SpdyStreams
from labcluster.http.verbs.reading import namespace

TUNNEL, SPDY = "SPDY/3.1+portforward.k8s.io", "portforward.k8s.io"
_CHUNK = 1 << 16  # bytes read at once from a pod
_MAX_QUEUED = 64  # chunks that may wait for a pod to read them; then the whole tunnel waits

Send = Callable[[bytes], Awaitable[None]]

log = logging.getLogger(__name__)


@dataclass
class Connection:
    """One connection into the pod: its port, and the queue of what the client has sent; None is the end (FIN)."""

    port: int
    incoming: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(_MAX_QUEUED))


async def forward(call: Call) -> web.StreamResponse:
    """Serve one client until it disconnects. Raises ApiError before the upgrade."""
    pod = call.registry.get(call.resource, namespace(call), call.target.name)
    if not pod.get("spec", {}).get("nodeName"):
        raise bad_request(f"pod {name_of(pod)} does not have a host assigned")
    if spdy_upgrade.is_requested(call):
        return await spdy_upgrade.serve(call, (SPDY,), _Tunnel(call, pod).run)
    socket = websocket.negotiate(call, (TUNNEL, *PROTOCOLS), largest=2 * spdy.LARGEST_FRAME)
    offered = call.request.headers.get("Sec-WebSocket-Protocol", "")
    ports = [] if TUNNEL in offered else _ports(call.request.query.getall("ports", []))

    async def handle(socket: web.WebSocketResponse) -> None:
        if socket.ws_protocol != TUNNEL:
            await _serve_channels(call, pod, Channels(socket), ports)
            return
        received = (message.data async for message in socket if message.type == WSMsgType.BINARY)
        try:
            await _Tunnel(call, pod).run(SpdyStreams(received, socket.send_bytes))
        except spdy.SpdyError as error:
            await socket.close(code=1002, message=str(error).encode()[:120])

    return await websocket.serve(call, socket, handle)


def _ports(texts: list[str]) -> list[int]:
    """The ports of `?ports=80,81&ports=82`. Raises ApiError 400."""
    try:
        ports = [_port(p) for text in texts for p in text.split(",")]
    except ValueError as error:
        raise bad_request(str(error)) from error
    if not ports:
        raise bad_request('query parameter "ports" is required')
    return ports


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError(f'"{text}" is no port: must be a number from 1 to 65535')
    return int(text)


def _go_dial_error(error: OSError, port: int) -> str:
    """containerd's message for a failed connection into the pod (sandbox_portforward_linux.go)."""
    what = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"failed to connect to localhost:{port} inside namespace, IPv4: dial tcp4 127.0.0.1:{port}: connect: {what}"


async def _forward_connection(call: Call, pod: JSON, connection: Connection, send: Send) -> str:
    """Connect to the pod and copy both directions until the pod ends its side; returns the error, or "".

    When the client ends its side, only that direction ends (half-close): a reply may still follow.
    """
    try:
        reader, writer = await call.services.runtime.dial(pod, connection.port)
    except (OSError, ApiError) as error:
        why = _go_dial_error(error, connection.port) if isinstance(error, OSError) else error
        return f"error forwarding port {connection.port} to pod {name_of(pod)}, uid {uid_of(pod)}: {why}"
    sending = asyncio.ensure_future(_copy_to_pod(connection, writer))
    try:
        while data := await reader.read(_CHUNK):
            await send(data)
    except ConnectionResetError:
        pass  # by the pod: like an orderly end
    except asyncio.CancelledError:
        writer.transport.abort()  # the client has disconnected: do not wait until the pod reads the rest
        raise
    finally:
        sending.cancel()
        writer.close()
    return ""


async def _copy_to_pod(connection: Connection, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while (data := await connection.incoming.get()) is not None:
            writer.write(data)
            await writer.drain()
        writer.write_eof()
        return
    while await connection.incoming.get() is not None:
        pass  # the pod reads no more: what still comes must not block the other connections


class _Tunnel:
    """The connections of one SPDY client."""

    def __init__(self, call: Call, pod: JSON) -> None:
        self._call = call
        self._pod = pod
        self._errors: dict[str, int] = {}  # request id -> its error stream
        self._connections: dict[int, Connection] = {}  # by data stream
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self, streams: SpdyStreams) -> None:
        """Serve until the client disconnects. Raises SpdyError, ConnectionError."""
        try:
            async for event in streams.events():
                await self._handle(streams, event)
        finally:
            tasks = tuple(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _handle(self, streams: SpdyStreams, event: Event) -> None:
        match event:
            case spdy.Opened():
                await self._open(streams, event)
            case spdy.Data() if event.stream in self._connections:
                incoming = self._connections[event.stream].incoming
                if event.data:
                    await await_with_pings(incoming.put(event.data), streams.ping)
                if event.ended:
                    await await_with_pings(incoming.put(None), streams.ping)
            case spdy.Reset() if event.stream in self._tasks:
                self._tasks[event.stream].cancel()

    async def _open(self, streams: SpdyStreams, event: spdy.Opened) -> None:
        headers, request = event.headers, event.headers.get("requestid", "")
        kind = headers.get("streamtype")
        try:
            port = _port(headers.get("port", ""))
        except ValueError:
            port = 0
        is_known = event.stream in self._connections
        if is_known or not port or kind not in ("error", "data") or (kind == "data" and request not in self._errors):
            await streams.refuse(event.stream)
            return
        await streams.accept(event.stream)
        if kind == "error":
            self._errors[request] = event.stream
            return
        connection = self._connections[event.stream] = Connection(port)
        if event.ended:
            connection.incoming.put_nowait(None)
        task = asyncio.create_task(self._serve(streams, event.stream, self._errors.pop(request), connection))
        self._tasks[event.stream] = task
        task.add_done_callback(lambda _: self._forget(event.stream))

    def _forget(self, stream: int) -> None:
        """The connection has ended, or was cancelled before it began."""
        del self._tasks[stream]
        incoming = self._connections.pop(stream).incoming
        while not incoming.empty():  # unblocks a put that waits
            incoming.get_nowait()

    async def _serve(self, streams: SpdyStreams, stream: int, error_stream: int, connection: Connection) -> None:
        async def send(data: bytes) -> None:
            await streams.send(stream, data)

        try:
            error = await _forward_connection(self._call, self._pod, connection, send)
            await streams.send(error_stream, error.encode(), end=True)
            await streams.send(stream, b"", end=True)
        except ConnectionError:
            pass  # the client has disconnected: `run` notices


async def _serve_channels(call: Call, pod: JSON, channels: Channels, ports: list[int]) -> None:
    """Two channels for each port: the even one for data, the odd one for errors; the first message is the port."""
    connections = [Connection(port) for port in ports]
    for channel in range(2 * len(ports)):
        await channels.send(channel, struct.pack("<H", ports[channel // 2]))

    async def serve(number: int) -> None:
        async def send(data: bytes) -> None:
            await channels.send(2 * number, data)

        error = await _forward_connection(call, pod, connections[number], send)
        if error:
            await channels.send(2 * number + 1, error.encode())

    async def read() -> None:
        async for channel, data in channels.messages():
            if channel % 2 == 0 and channel < 2 * len(ports) and data:
                await await_with_pings(connections[channel // 2].incoming.put(data), channels.ping)

    reading = asyncio.ensure_future(read())
    serving = asyncio.gather(*(serve(number) for number in range(len(ports))))
    try:
        await asyncio.wait((reading, serving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for part in (reading, serving):
            part.cancel()
        await asyncio.gather(reading, serving, return_exceptions=True)
