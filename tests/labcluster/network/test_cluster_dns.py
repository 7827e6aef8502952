"""The server of cluster DNS: flags, EDNS, the order of addresses, and its sockets."""

from __future__ import annotations

import socket

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest

from labcluster.network.cluster_dns import ClusterDNS
from labcluster.storage.registry import Registry
from tests.labcluster.network.dns_registry import dns_registry


@pytest.fixture
def registry() -> Registry:
    return dns_registry()


def respond(server: ClusterDNS, name: str, rdtype: str = "A", **options: object) -> dns.message.Message:
    query = dns.message.make_query(name, rdtype, **options)  # type: ignore[arg-type]
    assert isinstance(query, dns.message.QueryMessage)
    return dns.message.from_wire(server.respond(query, False).to_wire())


async def test_servfail_until_synced(registry: Registry) -> None:
    server = ClusterDNS(registry, address="127.0.0.1")
    assert respond(server, "web.db.svc.cluster.local").rcode() == dns.rcode.SERVFAIL
    await server.start(port=0)
    try:
        assert respond(server, "web.db.svc.cluster.local").rcode() == dns.rcode.NOERROR
    finally:
        await server.stop()


async def test_responses_are_authoritative_and_offer_no_recursion(registry: Registry) -> None:
    server = ClusterDNS(registry, address="127.0.0.1")
    await server.start(port=0)
    try:
        for name in ("web.db.svc.cluster.local", "nosuch.db.svc.cluster.local"):
            flags = respond(server, name).flags
            assert dns.flags.to_text(flags) == "QR AA RD"
        assert not respond(server, "example.org").flags & dns.flags.AA
    finally:
        await server.stop()


async def test_a_refusal_says_why_to_a_client_with_edns(registry: Registry) -> None:
    server = ClusterDNS(registry, address="127.0.0.1")
    await server.start(port=0)
    try:
        refusal = respond(server, "example.org", use_edns=0)
        assert [o.to_text() for o in refusal.options] == [
            "EDE 20 (Not Authoritative): the cluster has no upstream resolver"
        ]
        assert respond(server, "example.org", use_edns=False).edns == -1
        assert respond(server, "version.bind", "TXT", rdclass="CH").rcode() == dns.rcode.REFUSED
    finally:
        await server.stop()


async def test_the_order_of_the_addresses_varies(registry: Registry) -> None:
    server = ClusterDNS(registry, address="127.0.0.1")
    await server.start(port=0)
    try:
        responses = [respond(server, "redis.db.svc.cluster.local") for _ in range(64)]
        assert len({tuple(r.answer[0].to_text().splitlines()) for r in responses}) == 2
    finally:
        await server.stop()


async def test_inherited_sockets_and_the_clusters_address_are_served_alike(registry: Registry) -> None:
    host = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    host.bind(("127.0.0.1", 0))
    host_port = host.getsockname()[1]
    server = ClusterDNS(registry, address="127.0.0.1")
    await server.serve(host)
    cluster_port = await server.start(port=0)
    query = dns.message.make_query("web.db.svc.cluster.local", "A")
    try:
        for port_ in (host_port, cluster_port):
            response = await dns.asyncquery.udp(query, "127.0.0.1", port=port_, timeout=5)
            assert response.answer[0][0].to_text() == "10.96.7.7"
        response = await dns.asyncquery.tcp(query, "127.0.0.1", port=cluster_port, timeout=5)
        assert response.answer[0][0].to_text() == "10.96.7.7"
    finally:
        await server.stop()
