"""TCP and UDP forwarding in user space: each connection, and each client's datagrams, to an endpoint chosen for it.

A connection is two one-way pumps on the event loop's readiness callbacks: no task and no stream object between a
`recv` and its `send`, so a hop costs little more than the two system calls. Each direction ends by itself
(half-close), a slow reader stops the reading of its peer (back-pressure), and a reset is passed on as a reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)

Address = tuple[str, int]
# Chooses the endpoint of a client's connection (or UDP flow); None refuses it. Called with the client's address.
ChooseEndpoint = Callable[[str], Address | None]

CHUNK = 256 * 1024  # bytes read at a time
BACKLOG = 512
CONNECT_SECONDS = 30.0  # the timeout of a connection to an endpoint
UDP_IDLE_SECONDS = 30.0  # as netfilter's conntrack keeps an unanswered UDP flow
MAX_UDP_FLOWS = 256  # of one listener; the least recently used is dropped for a new one
ACCEPT_PAUSE_SECONDS = 0.2  # when the process has no file descriptor left
_DATAGRAM = 65535
_EVENTS_PER_WAKE = 32  # then the event loop's other work has its turn
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


class Forwarder(Protocol):
    """A listener of either protocol, as the service proxy uses it."""

    def start(self) -> None:
        """Begin to accept."""

    def drop_flows(self, alive: set[Address]) -> None:
        """Forget the UDP flows to targets that are no longer among `alive`; connections live on."""

    def stop(self) -> None:
        """Accept no more; established connections live on."""


class TCPForwarder:
    """Accepts connections on a bound socket and pumps each to the target chosen for it.

    close_on_stop=False keeps the socket bound, so that `start` can be called again: for sockets that were inherited.
    (Linux keeps only a port that was bound by its number; one it chose itself, for port 0, it takes back.)
    `connections` holds the established connections; they outlive the listener.
    """

    def __init__(
        self, sock: socket.socket, choose: ChooseEndpoint, connections: set[Connection], *, close_on_stop: bool = True
    ) -> None:
        sock.setblocking(False)
        # Older connections at this port (in TIME_WAIT, or still open) must not keep it from listening again.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock = sock
        self._choose = choose
        self._close_on_stop = close_on_stop
        self._loop = asyncio.get_running_loop()
        self._resume: asyncio.TimerHandle | None = None
        self._connections = connections

    def start(self) -> None:
        """Listen. Raises OSError if the kernel refuses."""
        self._sock.listen(BACKLOG)
        self._loop.add_reader(self._sock, self._accept)

    def drop_flows(self, alive: set[Address]) -> None:
        """Nothing: an established connection outlives its endpoint's place in the Service, as with conntrack."""

    def stop(self) -> None:
        """Close the listener: new connections are refused, established ones live on."""
        self._loop.remove_reader(self._sock)
        if self._resume:
            self._resume.cancel()
        if self._close_on_stop:
            self._sock.close()
        else:
            try:
                self._sock.shutdown(socket.SHUT_RD)  # leaves the listening state, stays bound
            except OSError as error:
                if error.errno != errno.ENOTCONN:
                    raise

    def _accept(self) -> None:
        for _ in range(_EVENTS_PER_WAKE):
            try:
                client, (host, *_) = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("accepting on %s: %s", self._sock.getsockname(), error)
                self._loop.remove_reader(self._sock)
                self._resume = self._loop.call_later(
                    ACCEPT_PAUSE_SECONDS, self._loop.add_reader, self._sock, self._accept
                )
                return
            target = self._choose(host)
            if target is None:
                _close_with_reset(client)
            else:
                Connection(client, target, self._connections)


class Connection:
    """A client's connection and the one made for it: two pumps that end together when either fails."""

    def __init__(self, client: socket.socket, target: Address, connections: set[Connection]) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._connections = connections
        self._target = target
        self._pumps: tuple[_Pump, ...] = ()
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections.add(self)
        try:
            self._server = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            log.warning("no socket towards %s:%d: %s", *target, error)
            connections.discard(self)
            _close_with_reset(client)
            return
        self._timer = self._loop.call_later(CONNECT_SECONDS, self._fail, TimeoutError("no answer"))
        failure = self._server.connect_ex(target)
        if failure in (0, errno.EINPROGRESS):
            self._loop.add_writer(self._server, self._connected)
        else:
            self._fail(OSError(failure, "connect"))

    def _connected(self) -> None:
        failure = self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            self._fail(OSError(failure, "connect"))
            return
        self._timer.cancel()
        self._loop.remove_writer(self._server)
        self._server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pumps = (
            _Pump(self._loop, self._client, self._server, self._pump_ended),
            _Pump(self._loop, self._server, self._client, self._pump_ended),
        )
        self._pumps[0].fill()  # the client has often sent something by now

    def _pump_ended(self, error: OSError | None) -> None:
        if error is not None:
            self._fail(error)
        elif all(pump.ended for pump in self._pumps):
            self._connections.discard(self)
            self._client.close()
            self._server.close()

    def _fail(self, error: Exception) -> None:
        log.debug("connection to %s:%d: %s", *self._target, error)
        self.abort()

    def abort(self) -> None:
        """Reset both sides."""
        if self not in self._connections:
            return
        self._connections.discard(self)
        self._timer.cancel()
        for sock in (self._client, self._server):
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
            _close_with_reset(sock)


class _Pump:
    """One direction of a connection. Reads only when everything before is written."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: socket.socket,
        sink: socket.socket,
        on_end: Callable[[OSError | None], None],
    ) -> None:
        self.ended = False
        self._loop = loop
        self._source = source
        self._sink = sink
        self._on_end = on_end
        self._unsent = memoryview(b"")
        loop.add_reader(source, self.fill)

    def fill(self) -> None:
        """Move what can be read from the source."""
        try:
            data = self._source.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._on_end(error)
            return
        if not data:
            self._end()
            return
        self._unsent = memoryview(data)
        if self._send() and self._unsent:
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._sink, self._drain)

    def _drain(self) -> None:
        if self._send() and not self._unsent:
            self._loop.remove_writer(self._sink)
            self._loop.add_reader(self._source, self.fill)

    def _send(self) -> bool:
        """Write what the sink takes of what is unsent; False if the connection is broken."""
        try:
            self._unsent = self._unsent[self._sink.send(self._unsent) :]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._on_end(error)
            return False
        return True

    def _end(self) -> None:
        """The source has sent FIN: pass it on (half-close); the other direction goes on."""
        self.ended = True
        self._loop.remove_reader(self._source)
        try:
            self._sink.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                self._on_end(error)
                return
        self._on_end(None)


class UDPForwarder:
    """Passes each client's datagrams to the endpoint chosen for it, and the replies back, until the flow is idle."""

    def __init__(
        self,
        sock: socket.socket,
        choose: ChooseEndpoint,
        *,
        close_on_stop: bool = True,
        idle_seconds: float = UDP_IDLE_SECONDS,
        max_flows: int = MAX_UDP_FLOWS,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._choose = choose
        self._close_on_stop = close_on_stop
        self._idle_seconds = idle_seconds
        self._max_flows = max_flows
        self._loop = asyncio.get_running_loop()
        self._flows: OrderedDict[Address, _Flow] = OrderedDict()  # least recently used first
        self._sweeper: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Forward from now on; what was received before is dropped."""
        while True:
            try:
                self._sock.recvfrom(_DATAGRAM)
            except OSError:
                break
        self._loop.add_reader(self._sock, self._receive)

    def drop_flows(self, alive: set[Address]) -> None:
        """Forget the flows to other targets (kube-proxy deletes their conntrack entries: proxy/conntrack)."""
        for client, flow in list(self._flows.items()):
            if flow.target not in alive:
                self._drop(client)

    def stop(self) -> None:
        """Forward no more."""
        self._loop.remove_reader(self._sock)
        for client in list(self._flows):
            self._drop(client)
        if self._sweeper:
            self._sweeper.cancel()
            self._sweeper = None
        if self._close_on_stop:
            self._sock.close()

    def _receive(self) -> None:
        for _ in range(_EVENTS_PER_WAKE):
            try:
                data, client = self._sock.recvfrom(_DATAGRAM)
            except OSError:  # nothing more; or an ICMP port unreachable of a client that has gone
                return
            flow = self._flows.get(client) or self._open(client)
            if flow is not None:
                flow.used = self._loop.time()
                self._flows.move_to_end(client)
                try:
                    flow.sock.send(data)
                except OSError:  # the target refuses, or its queue is full: the datagram is lost
                    log.debug("datagram to %s:%d lost", *flow.target)

    def _open(self, client: Address) -> _Flow | None:
        target = self._choose(client[0])
        if target is None:
            return None
        if len(self._flows) >= self._max_flows:
            self._drop(next(iter(self._flows)))
        sock = None
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            sock.connect(target)
        except OSError as error:
            log.debug("no flow to %s:%d: %s", *target, error)
            if sock:
                sock.close()
            return None
        flow = self._flows[client] = _Flow(sock, target)
        self._loop.add_reader(sock, self._reply, client, flow)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._idle_seconds, self._sweep)
        return flow

    def _reply(self, client: Address, flow: _Flow) -> None:
        for _ in range(_EVENTS_PER_WAKE):
            try:
                data = flow.sock.recv(_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # ICMP port unreachable: the next datagram may get another endpoint
                self._drop(client)
                return
            flow.used = self._loop.time()
            self._flows.move_to_end(client)
            try:
                self._sock.sendto(data, client)
            except OSError:
                log.debug("answer to %s:%d lost", *client)

    def _sweep(self) -> None:
        """Drop the idle flows, and come back when the next one may be idle."""
        self._sweeper = None
        now = self._loop.time()
        while self._flows:
            client, flow = next(iter(self._flows.items()))
            left = flow.used + self._idle_seconds - now
            if left > 0:
                self._sweeper = self._loop.call_later(left, self._sweep)
                return
            self._drop(client)

    def _drop(self, client: Address) -> None:
        flow = self._flows.pop(client)
        self._loop.remove_reader(flow.sock)
        flow.sock.close()


class _Flow:
    """The socket of one client towards its endpoint, as a conntrack entry."""

    __slots__ = ("sock", "target", "used")

    def __init__(self, sock: socket.socket, target: Address) -> None:
        self.sock = sock
        self.target = target
        self.used = 0.0  # event loop time of the last datagram in either direction


def _close_with_reset(sock: socket.socket) -> None:
    """Close so that the peer sees a reset, not an orderly end."""
    with contextlib.suppress(OSError):  # it may be disconnected already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    sock.close()
