"""Asking the cluster's DNS from the notebook."""

from __future__ import annotations

from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype

from labsupport import paths, settings
from labsupport.cluster import asking, scope
from labsupport.errors import LabError

DOMAIN = "cluster.local"


class LookupFailed(LabError):
    """The name server did not answer at all."""


@dataclass(frozen=True)
class Answer:
    """What came back: the status (NOERROR, NXDOMAIN ...) and the records of the answer section, sorted."""

    name: str
    type: str
    status: str
    records: tuple[str, ...]
    ttl: int | None  # seconds; None without records

    def __str__(self) -> str:
        if self.records:
            return ", ".join(self.records)
        return "NODATA" if self.status == "NOERROR" else self.status


def lookup(name: str, type: str = "A", *, tcp: bool = False, timeout: float = 5) -> Answer:
    """Ask the cluster's DNS for one name and type. A name without a dot at its end is completed.

    "web-0.web" becomes web-0.web.<the chapter's namespace>.svc.cluster.local; a name that ends in
    cluster.local or in .arpa is taken as it is. `timeout` is in seconds. Raises LookupFailed when nothing answers.

    >>> lookup("web-0.web").status
    'NOERROR'
    """
    full = qualified(name)
    query = dns.message.make_query(full, type)
    port = paths.host_port(settings.DNS_NODE_PORT)
    try:
        ask = dns.query.tcp if tcp else dns.query.udp
        reply = ask(query, "127.0.0.1", port=port, timeout=timeout)
        if reply.flags & dns.flags.TC:  # too long for UDP: the rest comes over TCP (RFC 1035 section 4.2.1)
            reply = dns.query.tcp(query, "127.0.0.1", port=port, timeout=timeout)
    except (dns.exception.Timeout, OSError) as error:
        raise LookupFailed(
            f"no answer for {full} from 127.0.0.1 port {port}: {error}. Look at `lab status`."
        ) from error
    wanted = dns.rdatatype.from_text(type)
    rrsets = [s for s in reply.answer if s.rdtype in (wanted, dns.rdatatype.CNAME)]
    records = tuple(sorted(record.to_text() for s in rrsets for record in s))
    ttl = min((s.ttl for s in rrsets), default=None)
    return Answer(full, type, dns.rcode.to_text(reply.rcode()), records, ttl)


def wait_for_name(name: str, type: str = "A", *, timeout: float = 90) -> Answer:
    """Ask until there is an answer with records, and return it. A name that was asked for too early takes its time.

    A name server may remember for up to 30 seconds that a name did not exist, and nothing tells when DNS changes, so
    this asks again, with growing pauses. `timeout` is in seconds. Raises LookupFailed.

    >>> wait_for_name("web-0.web").status
    'NOERROR'
    """
    try:
        return asking.until(
            lambda: lookup(name, type),
            lambda answer: answer.records,
            what=f"{name} {type} has records",
            timeout=timeout,
            longest_pause=2.0,
        )
    except asking.NotInTime as error:
        answer: Answer = error.last
        raise LookupFailed(f"{answer.name} {type} was still {answer} after {timeout:g} s. Is its pod Ready?") from error


def qualified(name: str) -> str:
    """The full name, with its dot at the end, that `lookup` asks for.

    >>> qualified("web.chapter-01.svc.cluster.local")
    'web.chapter-01.svc.cluster.local.'
    """
    if name.endswith("."):
        return name
    if name.endswith((DOMAIN, ".arpa")):
        return name + "."
    return f"{name}.{scope.namespace()}.svc.{DOMAIN}."
