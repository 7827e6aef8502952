"""A caching resolver that shows its work: which questions it asked, what it remembered, and for how long.

It follows aliases (RFC 1034 section 3.6.2) and delegations (section 5.3.3) over the name servers it is given, and
remembers answers as well as denials (RFC 2308) until their time to live has run out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from labsupport.errors import LabError

Server = tuple[str, int]  # address and port
_MOST_STEPS = 16  # questions of one look-up: a circle of aliases or delegations ends there


class NoAnswer(LabError):
    """No server could be asked, or the chain does not end."""


@dataclass(frozen=True)
class Step:
    """One question on the way to an answer: asked of a server, or answered from the cache."""

    name: str
    type: str
    answer: str
    cached: bool
    ttl: int  # seconds that the answer may still be remembered


@dataclass(frozen=True)
class Resolved:
    """The end of a look-up: the records, the status (NOERROR, NODATA, NXDOMAIN) and the way to it."""

    records: tuple[str, ...]
    status: str
    steps: tuple[Step, ...]

    @property
    def questions(self) -> int:
        """How many questions went over the wire."""
        return sum(not step.cached for step in self.steps)


@dataclass
class _CacheEntry:
    records: tuple[str, ...]
    kind: str  # the type of the records: what was asked, CNAME, or "" for a denial
    status: str
    until: float


class Resolver:
    """Looks names up. `servers` says which server to ask for the names below a zone; "." is asked for all others.

    >>> resolver = Resolver({"lab.example.": (server.address, server.port)})
    >>> resolver.resolve("www.lab.example.", "A").records
    ('192.0.2.10',)
    """

    def __init__(
        self, servers: Mapping[str, Server], *, clock: Callable[[], float] = time.monotonic, timeout: float = 2
    ) -> None:
        """`clock` gives the time in seconds, for experiments that cannot wait; `timeout` is for one question."""
        self._servers = {dns.name.from_text(zone): server for zone, server in servers.items()}
        self._clock = clock
        self._timeout = timeout
        self._cache: dict[tuple[dns.name.Name, str], _CacheEntry] = {}

    def resolve(self, name: str, type: str = "A") -> Resolved:
        """Look a name up, from the cache where it can. Raises NoAnswer."""
        wanted = dns.name.from_text(name)
        steps: list[Step] = []
        while len(steps) < _MOST_STEPS:
            key = (wanted, type)
            entry = self._fresh(key)
            cached = entry is not None
            if entry is None:
                entry = self._ask(wanted, type)
                self._cache[key] = entry
            left = max(0, round(entry.until - self._clock()))
            answer = ", ".join(entry.records) or entry.status
            steps.append(Step(wanted.to_text(), type, answer, cached, left))
            if entry.kind != "CNAME" or type == "CNAME":
                return Resolved(entry.records, entry.status, tuple(steps))
            wanted = dns.name.from_text(entry.records[0])
        raise NoAnswer(f"{name}: still an alias after {_MOST_STEPS} questions; is the chain a circle?")

    def forget(self) -> None:
        """Empty the cache."""
        self._cache.clear()

    def _fresh(self, key: tuple[dns.name.Name, str]) -> _CacheEntry | None:
        entry = self._cache.get(key)
        return entry if entry is not None and entry.until > self._clock() else None

    def _ask(self, name: dns.name.Name, kind: str) -> _CacheEntry:
        server = self._server_for(name)
        for _ in range(_MOST_STEPS):
            reply = self._exchange(name, kind, server)
            referral = self._referral(reply)
            if referral is None:
                return self._read(reply, name, kind)
            server = referral
        raise NoAnswer(f"{name}: referred from server to server {_MOST_STEPS} times")

    def _exchange(self, name: dns.name.Name, kind: str, server: Server) -> dns.message.Message:
        query = dns.message.make_query(name, kind)
        address, port = server
        try:
            reply = dns.query.udp(query, address, port=port, timeout=self._timeout)
            if reply.flags & dns.flags.TC:
                reply = dns.query.tcp(query, address, port=port, timeout=self._timeout)
        except (dns.exception.Timeout, OSError) as error:
            raise NoAnswer(f"{name}: the server {address}:{port} does not answer ({error})") from error
        if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise NoAnswer(f"{name}: the server {address}:{port} answers {dns.rcode.to_text(reply.rcode())}")
        return reply

    def _server_for(self, name: dns.name.Name) -> Server:
        known = [zone for zone in self._servers if name.is_subdomain(zone)]
        if not known:
            raise NoAnswer(f"{name}: no server is known for it; known are {', '.join(map(str, self._servers))}")
        return self._servers[max(known, key=len)]

    def _referral(self, reply: dns.message.Message) -> Server | None:
        """The server of the child zone that a reply refers to, if it does. Ports are found by the zone's name."""
        if reply.answer or reply.flags & dns.flags.AA:
            return None
        for rrset in reply.authority:
            if rrset.rdtype == dns.rdatatype.NS:
                if rrset.name not in self._servers:
                    raise NoAnswer(f"referred to {rrset.name}, and no server is known for it")
                return self._servers[rrset.name]
        return None

    def _read(self, reply: dns.message.Message, name: dns.name.Name, kind: str) -> _CacheEntry:
        for wanted in (kind, "CNAME"):
            rrset = reply.get_rrset(
                reply.answer, name, dns.rdataclass.IN, dns.rdatatype.from_text(wanted), dns.rdatatype.NONE
            )
            if rrset is not None:
                records = tuple(sorted(record.to_text() for record in rrset))
                return _CacheEntry(records, wanted, "NOERROR", self._clock() + rrset.ttl)
        status = "NXDOMAIN" if reply.rcode() == dns.rcode.NXDOMAIN else "NODATA"
        ttl = min((s.ttl for s in reply.authority if s.rdtype == dns.rdatatype.SOA), default=0)
        return _CacheEntry((), "", status, self._clock() + ttl)
