"""The DNS server of the cluster's zone, for pods and for the host.

No answer is cached, and none is older than the registry's last write: kubeadm's Corefile, too, switches its cache off
for the cluster's zone. A name outside the cluster is REFUSED: there is no upstream to ask, and REFUSED, unlike the
SERVFAIL of a CoreDNS whose upstream is gone, makes resolvers give up at once.

The order of the addresses in an answer changes from query to query, as with CoreDNS's `loadbalance` plugin (dnspython
shuffles a record set when it writes it).
"""

from __future__ import annotations

import socket

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass

from labcluster import settings
from labcluster.network.cluster_zone import ClusterZone
from labcluster.network.dns_transport import NameServer, response_to
from labcluster.network.service_index import ServiceIndex
from labcluster.storage.registry import Registry


class ClusterDNS:
    """The cluster's DNS server. Until `start` it answers with SERVFAIL."""

    def __init__(self, registry: Registry, *, address: str = str(settings.CONTROL_PLANE.address)) -> None:
        """address: where pods reach it (through the Services that point there)."""
        self._registry = registry
        self._address = address
        self._index = ServiceIndex()
        self._zone = ClusterZone(self._index, [address])
        self._server = NameServer(self.respond)

    async def serve(self, *sockets: socket.socket) -> None:
        """Serve on sockets that are bound already (UDP or TCP), and own them from now on."""
        for sock in sockets:
            await self._server.serve(sock)

    async def start(self, port: int = settings.DNS_PORT_ON_NODE) -> int:
        """Follow the registry and listen at the address; returns the port. Raises OSError if it cannot be bound."""
        self._index.follow(self._registry)
        return await self._server.listen(self._address, port)

    async def stop(self) -> None:
        """Close every socket and follow the registry no more."""
        await self._server.stop()
        self._index.stop()

    def respond(self, query: dns.message.QueryMessage, tcp: bool) -> dns.message.Message:
        """The response to a query (a `dns_transport.Handler`)."""
        question = query.question[0]
        if question.rdclass != dns.rdataclass.IN:
            return response_to(query, dns.rcode.REFUSED)
        if not self._index.synced:
            return response_to(query, dns.rcode.SERVFAIL)
        answer = self._zone.answer(question.name, question.rdtype)
        response = response_to(query, answer.rcode)
        if answer.zone is None:
            if query.edns >= 0:  # an Extended DNS Error (RFC 8914) tells a person why
                why = dns.edns.EDEOption(dns.edns.EDECode.NOT_AUTHORITATIVE, "the cluster has no upstream resolver")
                response.use_edns(0, payload=response.payload, options=[why])
            return response
        response.flags |= dns.flags.AA
        response.answer = answer.answer
        response.authority = answer.authority
        response.additional = answer.additional
        return response
