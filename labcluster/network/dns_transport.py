"""A small DNS server: any function from a query to a response, served over UDP and TCP.

What a name means is for the handler to know. Here is the transport (RFC 1035 section 4.2, RFC 7766), and what is the
same for every zone: FORMERR for what cannot be parsed, NOTIMP for other opcodes, REFUSED for zone transfers, BADVERS
for an unknown EDNS version (RFC 6891), and truncation with the TC bit where a UDP answer does not fit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype

log = logging.getLogger(__name__)

# Called with the query and whether it came over TCP. When it raises, the response is SERVFAIL.
Handler = Callable[[dns.message.QueryMessage, bool], dns.message.Message]

_HEADER = struct.Struct("!6H")  # id, flags, and the counts of the four sections
_TRANSFERS = (dns.rdatatype.AXFR, dns.rdatatype.IXFR)
_LARGEST_DATAGRAM = 65535
_DATAGRAMS_PER_WAKE = 32  # then the event loop's other work has its turn


class NameServer:
    """Answers DNS queries on any number of sockets with one handler."""

    def __init__(
        self,
        handler: Handler,
        *,
        max_udp_payload: int = 4096,
        idle_seconds: float = 10.0,
        max_connections: int = 256,
    ) -> None:
        """Make a server that listens nowhere yet.

        max_udp_payload: bytes of a UDP response at most, even when the client's EDNS buffer is larger.
        idle_seconds: a TCP connection is closed when its next query takes longer than this.
        max_connections: TCP connections at a time; further ones are closed at once.
        """
        self._handler = handler
        self._max_udp_payload = max_udp_payload
        self._idle_seconds = idle_seconds
        self._max_connections = max_connections
        self._udp: list[socket.socket] = []
        self._tcp: list[asyncio.Server] = []
        self._connections: set[asyncio.StreamWriter] = set()

    async def listen(self, address: str, port: int = 0) -> int:
        """Serve UDP and TCP at an address and the same port of both; returns the port (a free one for port 0).

        Raises OSError if the address or port cannot be bound.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for attempts_left in reversed(range(10)):
            udp = socket.socket(family, socket.SOCK_DGRAM)
            tcp = socket.socket(family, socket.SOCK_STREAM)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                udp.bind((address, port))
                bound: int = udp.getsockname()[1]
                tcp.bind((address, bound))
            except OSError:
                udp.close()
                tcp.close()
                if port or not attempts_left:
                    raise
            else:
                await self.serve(udp)
                await self.serve(tcp)
                return bound
        raise AssertionError("unreachable")

    async def serve(self, sock: socket.socket) -> None:
        """Serve a bound socket, UDP or TCP, which the server owns (and closes) from now on."""
        sock.setblocking(False)
        if sock.type == socket.SOCK_STREAM:
            self._tcp.append(await asyncio.start_server(self._serve_connection, sock=sock))
        else:
            self._udp.append(sock)
            asyncio.get_running_loop().add_reader(sock, self._receive, sock)

    async def stop(self) -> None:
        """Close every socket and connection."""
        loop = asyncio.get_running_loop()
        for sock in self._udp:
            loop.remove_reader(sock)
            sock.close()
        for server in self._tcp:
            server.close()
        for writer in list(self._connections):
            writer.transport.abort()
        for server in self._tcp:
            await server.wait_closed()
        self._udp.clear()
        self._tcp.clear()

    def respond(self, wire: bytes, *, tcp: bool) -> bytes | None:
        """The response to a message in wire format, None for what is itself a response, or too short."""
        if len(wire) < _HEADER.size:
            return None
        ident, flags, questions, *_ = _HEADER.unpack_from(wire)
        if flags & dns.flags.QR:
            return None
        if dns.opcode.from_flags(flags) != dns.opcode.QUERY:
            return _header_only(ident, flags, dns.rcode.NOTIMP)
        try:
            query = dns.message.from_wire(wire)
        except (dns.exception.DNSException, ValueError):
            return _header_only(ident, flags, dns.rcode.FORMERR)
        if questions != 1 or not isinstance(query, dns.message.QueryMessage):  # one question: RFC 9619
            return _header_only(ident, flags, dns.rcode.FORMERR)
        limit = 65535 if tcp else min(max(query.payload, 512), self._max_udp_payload)
        try:
            return self._answer(query, tcp).to_wire(max_size=limit, prefer_truncation=True)
        except Exception:
            log.exception("no answer to %s", query.question[0].to_text())
            return response_to(query, dns.rcode.SERVFAIL).to_wire(max_size=limit)

    def _answer(self, query: dns.message.QueryMessage, tcp: bool) -> dns.message.Message:
        if query.edns > 0:
            return response_to(query, dns.rcode.BADVERS)
        if query.question[0].rdtype in _TRANSFERS:
            return response_to(query, dns.rcode.REFUSED)
        return self._handler(query, tcp)

    def _receive(self, sock: socket.socket) -> None:
        for _ in range(_DATAGRAMS_PER_WAKE):
            try:
                wire, client = sock.recvfrom(_LARGEST_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # an ICMP port unreachable of an earlier client, for example
                log.debug("receiving a query: %s", error)
                return
            response = self.respond(wire, tcp=False)
            if response is not None:
                with contextlib.suppress(OSError):  # a lost datagram: the client asks again
                    sock.sendto(response, client)

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection: queries with two bytes of length in front, answered in order (RFC 7766)."""
        if len(self._connections) >= self._max_connections:
            writer.transport.abort()
            return
        self._connections.add(writer)
        try:
            while True:
                async with asyncio.timeout(self._idle_seconds):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    wire = await reader.readexactly(length)
                response = self.respond(wire, tcp=True)
                if response is None:
                    break
                writer.write(len(response).to_bytes(2, "big") + response)
                async with asyncio.timeout(self._idle_seconds):
                    await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, OSError):
            pass  # idle, or gone
        finally:
            self._connections.discard(writer)
            writer.close()


class BackgroundNameServer:
    """A NameServer in a thread of its own, for programs whose own look-ups block, as a notebook's do.

    The handler is called in that thread. Example:

        with BackgroundNameServer(handler) as server:
            dns.query.udp(query, server.address, port=server.port)
    """

    def __init__(self, handler: Handler, address: str = "127.0.0.1", port: int = 0) -> None:
        """Serve at once. Raises OSError if the address or port cannot be bound."""
        self.address = address
        self._server = NameServer(handler)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nameserver", daemon=True)
        self._thread.start()
        try:
            self.port = asyncio.run_coroutine_threadsafe(self._server.listen(address, port), self._loop).result()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Stop serving; again is harmless."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def response_to(query: dns.message.QueryMessage, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> dns.message.Message:
    """An empty response: the query's id, question (in its own case) and RD bit, with EDNS if the query had it."""
    response = dns.message.make_response(query, our_payload=1232)
    response.set_rcode(rcode)
    return response


def _header_only(ident: int, flags: int, rcode: dns.rcode.Rcode) -> bytes:
    """A response without sections, for a query whose question was not understood."""
    kept = flags & (0x7800 | dns.flags.RD)  # the opcode and RD
    return _HEADER.pack(ident, dns.flags.QR | kept | rcode, 0, 0, 0, 0)
