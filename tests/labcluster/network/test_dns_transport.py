"""What the DNS server owes every client, whatever its handler says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import dns.asyncquery
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labcluster.network.dns_transport import BackgroundNameServer, NameServer, response_to

LOCALHOST = "127.0.0.1"
T = TypeVar("T")
TIMEOUT = 5.0  # seconds: a bound for a broken server, never reached by a sound one


async def soon(what: Coroutine[Any, Any, T]) -> T:
    """Wait, but not for ever."""
    return await asyncio.wait_for(what, TIMEOUT)


def many_addresses(query: dns.message.QueryMessage, tcp: bool) -> dns.message.Message:
    """As many A records as the first label says; `tcp` or `udp` as TXT tells the transport."""
    response = response_to(query)
    name = query.question[0].name
    if query.question[0].rdtype == dns.rdatatype.TXT:
        response.answer.append(dns.rrset.from_text(name, 1, "IN", "TXT", "tcp" if tcp else "udp"))
    else:
        addresses = [f"10.0.{n // 250}.{n % 250}" for n in range(int(name.labels[0]))]
        response.answer.append(dns.rrset.from_text(name, 1, "IN", "A", *addresses))
    return response


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    server = NameServer(many_addresses)
    yield server
    await server.stop()


def raw(name: str = "1.test.", rdtype: str = "A") -> bytes:
    return dns.message.make_query(name, rdtype, use_edns=False).to_wire()


async def test_one_port_answers_over_udp_and_tcp(server: NameServer) -> None:
    port = await server.listen(LOCALHOST)
    query = dns.message.make_query("x.test.", "TXT")
    udp = await dns.asyncquery.udp(query, LOCALHOST, port=port, timeout=TIMEOUT)
    tcp = await dns.asyncquery.tcp(query, LOCALHOST, port=port, timeout=TIMEOUT)
    assert [r.answer[0][0].to_text() for r in (udp, tcp)] == ['"udp"', '"tcp"']


async def test_inherited_sockets_are_served(server: NameServer) -> None:
    udp, tcp = (socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM))
    for sock in (udp, tcp):
        sock.bind((LOCALHOST, 0))
    udp_port, tcp_port = udp.getsockname()[1], tcp.getsockname()[1]
    await server.serve(udp)
    await server.serve(tcp)
    query = dns.message.make_query("3.test.", "A")
    assert len((await dns.asyncquery.udp(query, LOCALHOST, port=udp_port, timeout=TIMEOUT)).answer[0]) == 3
    assert len((await dns.asyncquery.tcp(query, LOCALHOST, port=tcp_port, timeout=TIMEOUT)).answer[0]) == 3


@pytest.mark.parametrize(("payload", "records", "truncated"), [(0, 29, False), (0, 32, True), (1232, 32, False)])
def test_a_udp_answer_that_does_not_fit_is_truncated(
    server: NameServer, payload: int, records: int, truncated: bool
) -> None:
    query = dns.message.make_query(f"{records}.test.", "A", use_edns=0 if payload else False, payload=payload)
    wire = server.respond(query.to_wire(), tcp=False)
    assert wire is not None and len(wire) <= max(payload, 512)
    response = dns.message.from_wire(wire)
    assert bool(response.flags & dns.flags.TC) == truncated
    assert len(response.answer) == (0 if truncated else 1)


def test_an_edns_buffer_counts_up_to_the_servers_own_limit() -> None:
    server = NameServer(many_addresses, max_udp_payload=1232)
    wire = server.respond(dns.message.make_query("200.test.", "A", payload=60000).to_wire(), tcp=False)
    assert wire is not None and dns.message.from_wire(wire).flags & dns.flags.TC


async def test_tcp_carries_what_udp_truncates(server: NameServer) -> None:
    port = await server.listen(LOCALHOST)
    query = dns.message.make_query("2000.test.", "A")
    response, over_tcp = await dns.asyncquery.udp_with_fallback(query, LOCALHOST, port=port, timeout=TIMEOUT)
    assert over_tcp and len(response.answer[0]) == 2000


async def test_one_tcp_connection_carries_many_queries(server: NameServer) -> None:
    port = await server.listen(LOCALHOST)
    reader, writer = await asyncio.open_connection(LOCALHOST, port)
    wires = [raw(f"{n}.test.") for n in (1, 2, 3)]
    writer.write(b"".join(struct.pack("!H", len(w)) + w for w in wires))  # all before the first answer
    counts = []
    for _ in wires:
        length = struct.unpack("!H", await soon(reader.readexactly(2)))[0]
        counts.append(len(dns.message.from_wire(await soon(reader.readexactly(length))).answer[0]))
    assert counts == [1, 2, 3]
    writer.close()


async def test_an_idle_tcp_connection_is_closed() -> None:
    server = NameServer(many_addresses, idle_seconds=0.01)
    port = await server.listen(LOCALHOST)
    reader, writer = await asyncio.open_connection(LOCALHOST, port)
    writer.write(b"\0")  # half a length: never a query
    assert await soon(reader.read()) == b""
    writer.close()
    await server.stop()


async def test_connections_above_the_limit_are_closed() -> None:
    server = NameServer(many_addresses, max_connections=1)
    port = await server.listen(LOCALHOST)
    first = dns.message.make_query("1.test.", "A")
    reader, writer = await asyncio.open_connection(LOCALHOST, port)
    wire = first.to_wire()
    writer.write(struct.pack("!H", len(wire)) + wire)
    await soon(reader.readexactly(2))  # the first connection is being served
    second, second_writer = await asyncio.open_connection(LOCALHOST, port)
    with contextlib.suppress(ConnectionResetError):
        assert await soon(second.read()) == b""
    writer.close()
    second_writer.close()
    await server.stop()


def test_what_is_not_a_query_gets_no_answer(server: NameServer) -> None:
    response = dns.message.make_response(dns.message.make_query("1.test.", "A"))
    assert server.respond(response.to_wire(), tcp=False) is None
    assert server.respond(b"short", tcp=False) is None


@pytest.mark.parametrize("wire", [raw()[:-3], raw() + b"junk", struct.pack("!6H", 7, 0x0100, 0, 0, 0, 0)])
def test_a_malformed_query_is_a_format_error(server: NameServer, wire: bytes) -> None:
    answered = server.respond(wire, tcp=False)
    assert answered is not None
    response = dns.message.from_wire(answered)
    assert (response.id, response.rcode()) == (struct.unpack("!H", wire[:2])[0], dns.rcode.FORMERR)


def test_two_questions_are_a_format_error(server: NameServer) -> None:
    query = bytearray(raw())
    query[5] = 2
    answered = server.respond(bytes(query + raw()[12:]), tcp=False)
    assert answered is not None and dns.message.from_wire(answered).rcode() == dns.rcode.FORMERR


@pytest.mark.parametrize("opcode", [dns.opcode.STATUS, dns.opcode.NOTIFY, dns.opcode.UPDATE])
def test_another_opcode_is_not_implemented(server: NameServer, opcode: dns.opcode.Opcode) -> None:
    query = bytearray(raw())
    query[2] |= opcode << 3
    answered = server.respond(bytes(query), tcp=False)
    assert answered is not None and answered[3] & 0xF == dns.rcode.NOTIMP


@pytest.mark.parametrize("rdtype", ["AXFR", "IXFR"])
@pytest.mark.parametrize("tcp", [True, False])
def test_zone_transfers_are_refused(server: NameServer, rdtype: str, tcp: bool) -> None:
    answered = server.respond(raw(rdtype=rdtype), tcp=tcp)
    assert answered is not None and dns.message.from_wire(answered).rcode() == dns.rcode.REFUSED


def test_an_unknown_edns_version_is_badvers(server: NameServer) -> None:
    answered = server.respond(dns.message.make_query("1.test.", "A", use_edns=1).to_wire(), tcp=False)
    assert answered is not None and dns.message.from_wire(answered).rcode() == dns.rcode.BADVERS


def test_a_failing_handler_is_a_server_failure(server: NameServer) -> None:
    answered = server.respond(raw("notanumber.test."), tcp=False)
    assert answered is not None and dns.message.from_wire(answered).rcode() == dns.rcode.SERVFAIL


def test_the_question_comes_back_in_its_own_case(server: NameServer) -> None:
    answered = server.respond(raw("1.TeSt."), tcp=False)
    assert answered is not None
    response = dns.message.from_wire(answered)
    assert response.question[0].name.to_text() == response.answer[0].name.to_text() == "1.TeSt."


async def test_a_taken_port_is_an_error(server: NameServer) -> None:
    port = await server.listen(LOCALHOST)
    with pytest.raises(OSError):
        await server.listen(LOCALHOST, port)


async def test_stop_frees_the_port(server: NameServer) -> None:
    port = await server.listen(LOCALHOST)
    await server.stop()
    assert await server.listen(LOCALHOST, port) == port


def test_a_background_server_answers_blocking_look_ups_until_it_is_closed() -> None:
    query = dns.message.make_query("3.test.", "A")
    with BackgroundNameServer(many_addresses) as server:
        for ask in (dns.query.udp, dns.query.tcp):
            assert len(ask(query, server.address, port=server.port, timeout=TIMEOUT).answer[0]) == 3
        with pytest.raises(OSError):
            BackgroundNameServer(many_addresses, port=server.port)
    server.close()
    with pytest.raises(ConnectionRefusedError):
        dns.query.tcp(query, server.address, port=server.port, timeout=TIMEOUT)


@settings(deadline=None)
@given(flags=st.integers(0, 0xFFFF), counts=st.tuples(*[st.integers(0, 3)] * 4), rest=st.binary(max_size=100))
def test_no_message_breaks_the_server(flags: int, counts: tuple[int, int, int, int], rest: bytes) -> None:
    wire = struct.pack("!6H", 7, flags, *counts) + rest
    answered = NameServer(many_addresses).respond(wire, tcp=False)
    if flags & dns.flags.QR:
        assert answered is None
    else:
        assert answered is not None and answered[:2] == wire[:2] and answered[2] & 0x80


@settings(deadline=None)
@given(cut=st.integers(12, 60), place=st.integers(12, 59), byte=st.integers(0, 255))
def test_no_damaged_query_breaks_the_server(cut: int, place: int, byte: int) -> None:
    query = bytearray(dns.message.make_query("1.damaged.test.", "A", use_edns=0, payload=1232).to_wire())
    if place < len(query):
        query[place] = byte
    assert NameServer(many_addresses).respond(bytes(query[:cut]), tcp=True) is not None
