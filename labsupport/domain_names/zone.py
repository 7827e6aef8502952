"""An authoritative zone: read from a zone file, checked, and answered from, as RFC 1034 section 4.3.2 says.

The file format is that of RFC 1035 section 5. What this adds to dnspython's reader is the line and the reason of an
error, the rules that hold between records, and the algorithm that makes an answer of them.
"""

from __future__ import annotations

from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.node
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.NS
import dns.rdtypes.IN.SRV
import dns.rrset
import dns.tokenizer
import dns.zone
import dns.zonefile

from labcluster.network.dns_transport import response_to
from labsupport.errors import LabError

_ANY = dns.rdatatype.ANY
_CNAME = dns.rdatatype.CNAME
_MOST_ALIASES = 16  # of one answer: a chain that is longer, or a circle, ends there
_ADDRESSES = (dns.rdatatype.A, dns.rdatatype.AAAA)


class ZoneError(LabError):
    """The zone file cannot be served; says where and why."""


class Zone:
    """The records of one zone. `Zone(text)` reads and checks; `answer` makes the response to a query."""

    def __init__(self, text: str, origin: str = "", *, source: str = "zone") -> None:
        """Read a zone file. `origin` may be left out when the file says $ORIGIN. Raises ZoneError."""
        _check_lines(text, source)
        try:
            self._zone = dns.zone.from_text(text, origin or None, relativize=False, check_origin=False)
            if self._zone.origin is None:  # no line that would need one
                raise dns.zone.UnknownOrigin
        except dns.zone.UnknownOrigin as error:
            raise ZoneError(f"{source}: no $ORIGIN line, and no origin given: which zone is this?") from error
        except (dns.exception.DNSException, ValueError) as error:
            raise ZoneError(f"{source}{_reason(error, text, origin)}") from error
        self.origin: dns.name.Name = self._zone.origin
        self._nodes: dict[dns.name.Name, dns.node.Node] = dict(self._zone.nodes)
        self._check(source)
        _check_owners(text, self.origin, source)
        self._names = {ancestor for name in self._nodes for ancestor in _up_to(name, self.origin)}

    @classmethod
    def read(cls, file: str | Path, origin: str = "") -> Zone:
        """Read a zone from a file. Raises ZoneError, OSError."""
        return cls(Path(file).read_text(), origin, source=Path(file).name)

    @property
    def serial(self) -> int:
        """The zone's serial number, from its SOA record."""
        soa = self._nodes[self.origin].get_rdataset(dns.rdataclass.IN, dns.rdatatype.SOA)
        assert soa is not None
        return int(soa[0].serial)

    def answer(self, query: dns.message.QueryMessage, tcp: bool = False) -> dns.message.Message:
        """The authoritative response to a query, complete; the transport truncates it where it must."""
        question = query.question[0]
        if question.rdclass != dns.rdataclass.IN or not question.name.is_subdomain(self.origin):
            return response_to(query, dns.rcode.REFUSED)
        response = response_to(query)
        response.flags |= dns.flags.AA
        name = question.name
        for _ in range(_MOST_ALIASES):
            cut = self._delegation(name)
            if cut is not None:
                self._refer(response, cut)
                return response
            node = self._node(name)
            if node is None:
                if name not in self._names or not response.answer:
                    self._deny(response, exists=name in self._names)
                return response
            alias = node.get_rdataset(dns.rdataclass.IN, _CNAME)
            if alias is not None and question.rdtype not in (_CNAME, _ANY):
                response.answer.append(dns.rrset.from_rdata_list(name, alias.ttl, list(alias)))
                target = alias[0].target
                if not target.is_subdomain(self.origin):
                    return response  # somebody else's name: the resolver asks there
                name = target
                continue
            self._add(response, name, node, question.rdtype)
            return response
        return response_to(query, dns.rcode.SERVFAIL)  # aliases in a circle

    def _add(
        self, response: dns.message.Message, name: dns.name.Name, node: dns.node.Node, kind: dns.rdatatype.RdataType
    ) -> None:
        rdatasets = [s for s in node.rdatasets if kind in (s.rdtype, _ANY)]
        if not rdatasets:
            self._deny(response, exists=True)
            return
        for rdataset in rdatasets:
            response.answer.append(dns.rrset.from_rdata_list(name, rdataset.ttl, list(rdataset)))
            for rdata in rdataset:
                self._add_addresses(response, _target(rdata))

    def _add_addresses(self, response: dns.message.Message, name: dns.name.Name | None) -> None:
        """Put a target's addresses into the additional section, so that the client need not ask for them."""
        node = self._nodes.get(name) if name is not None else None
        if node is None or name is None:
            return
        for kind in _ADDRESSES:
            rdataset = node.get_rdataset(dns.rdataclass.IN, kind)
            if rdataset is not None:
                rrset = dns.rrset.from_rdata_list(name, rdataset.ttl, list(rdataset))
                if rrset not in response.additional:
                    response.additional.append(rrset)

    def _node(self, name: dns.name.Name) -> dns.node.Node | None:
        """The node of a name: its own, or that of the wildcard which covers it (RFC 4592)."""
        own = self._nodes.get(name)
        if own is not None or name in self._names:
            return own
        encloser = next(a for a in _up_to(name, self.origin) if a in self._names)
        return self._nodes.get(dns.name.Name((b"*", *encloser.labels)))

    def _delegation(self, name: dns.name.Name) -> dns.name.Name | None:
        """The zone cut at or above a name, below our apex: there somebody else is asked."""
        for ancestor in reversed(_up_to(name, self.origin)[:-1]):
            node = self._nodes.get(ancestor)
            if node is not None and node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.NS) is not None:
                return ancestor
        return None

    def _refer(self, response: dns.message.Message, cut: dns.name.Name) -> None:
        """Name the servers of the child zone, with glue where we know their addresses."""
        if not response.answer:
            response.flags &= ~dns.flags.AA
        servers = self._nodes[cut].get_rdataset(dns.rdataclass.IN, dns.rdatatype.NS)
        assert servers is not None
        response.authority.append(dns.rrset.from_rdata_list(cut, servers.ttl, list(servers)))
        for server in servers:
            self._add_addresses(response, server.target)

    def _deny(self, response: dns.message.Message, *, exists: bool) -> None:
        """No such name, or no such type there: the SOA says for how long that may be remembered (RFC 2308)."""
        soa = self._nodes[self.origin].get_rdataset(dns.rdataclass.IN, dns.rdatatype.SOA)
        assert soa is not None
        ttl = min(soa.ttl, soa[0].minimum)
        response.authority.append(dns.rrset.from_rdata_list(self.origin, ttl, list(soa)))
        if not exists:
            response.set_rcode(dns.rcode.NXDOMAIN)

    def _check(self, source: str) -> None:
        apex = self._nodes.get(self.origin)
        for kind, why in ((dns.rdatatype.SOA, "who is responsible for it"), (dns.rdatatype.NS, "who serves it")):
            if apex is None or apex.get_rdataset(dns.rdataclass.IN, kind) is None:
                word = dns.rdatatype.to_text(kind)
                raise ZoneError(f"{source}: the zone {self.origin} has no {word} record at its apex, which says {why}")


def _check_lines(text: str, source: str) -> None:
    """Read line by line what dnspython would refuse, or drop without a word, and name the line."""
    reader = _Records(text)
    for line, name, kind in reader.records():
        kinds = reader.kinds.setdefault(name, {})
        others = [k for k in kinds if k != kind]
        if kind == "CNAME" and others:
            apex = "; and the zone's own name always has an SOA and an NS record" if "SOA" in kinds else ""
            raise ZoneError(
                f"{source}, line {line}: {name} has {_with_article(others[0])} record already "
                f"(line {kinds[others[0]]}), so it cannot be an alias: a CNAME stands alone "
                f"(RFC 1034 section 3.6.2){apex}"
            )
        if "CNAME" in others:
            raise ZoneError(
                f"{source}, line {line}: {name} is an alias (CNAME, line {kinds['CNAME']}), so it cannot have "
                f"{_with_article(kind)} record: a CNAME stands alone (RFC 1034 section 3.6.2)"
            )
        if kind == "CNAME" and kind in kinds:
            raise ZoneError(f"{source}, line {line}: {name} has a CNAME already (line {kinds[kind]}): one is the most")
        kinds.setdefault(kind, line)


def _check_owners(text: str, origin: dns.name.Name, source: str) -> None:
    """Refuse what dnspython leaves out without a word: records of names that are not the zone's."""
    for line, owner, _ in _Records(text).records():
        if owner.endswith(".") and not dns.name.from_text(owner).is_subdomain(origin):
            raise ZoneError(f"{source}, line {line}: {owner} is not inside the zone {origin}")


class _Records:
    """The owner name and the type of each record of a zone file, with its line; nothing more is understood."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.kinds: dict[str, dict[str, int]] = {}

    def records(self) -> list[tuple[int, str, str]]:
        """(line, owner as it was written last, type) of every record."""
        records: list[tuple[int, str, str]] = []
        owner, depth = "@", 0
        for number, raw in enumerate(self.text.splitlines(), 1):
            line = raw.split(";", 1)[0] if '"' not in raw else raw
            inside, depth = depth > 0, depth + line.count("(") - line.count(")")
            words = line.split()
            if inside or not words or words[0].startswith("$"):
                continue
            if not line[0].isspace():
                owner = words.pop(0).lower()
            while words and (words[0].isdigit() or words[0].upper() == "IN" or _is_ttl(words[0])):
                words.pop(0)
            if words:
                records.append((number, owner, words[0].upper()))
        return records


def _with_article(kind: str) -> str:
    """The type with its article, as it is read aloud: an A, an NS, a CNAME."""
    return f"an {kind}" if kind[0] in "AEFHILMNORSX" else f"a {kind}"


def _is_ttl(word: str) -> bool:
    return word[0].isdigit() and word[-1].lower() in "smhdw" and word[:-1].isalnum()


def _reason(error: Exception, text: str, origin: str) -> str:
    """dnspython's text, with the line in front where it names one."""
    message = str(error) or type(error).__name__
    head, _, rest = message.partition(": ")
    file, _, number = head.rpartition(":")
    if not (file and number.isdigit()):
        return f": {message}"
    return f", line {_broken_line(text, origin, int(number))}: {rest}"


def _broken_line(text: str, origin: str, reported: int) -> int:
    """The line of an error. The reader has often read on to the next line when it notices."""
    before = "\n".join(text.splitlines()[: reported - 1]) + "\n"
    try:
        dns.zone.from_text(before, origin or None, relativize=False, check_origin=False)
    except (dns.exception.DNSException, ValueError):
        return reported - 1
    return reported


def _up_to(name: dns.name.Name, origin: dns.name.Name) -> list[dns.name.Name]:
    """The name and its ancestors up to the zone's apex."""
    names = [name]
    while names[-1] != origin:
        names.append(names[-1].parent())
    return names


def _target(rdata: object) -> dns.name.Name | None:
    """The host that a record points to, whose addresses a client will need next."""
    match rdata:
        case dns.rdtypes.IN.SRV.SRV() | dns.rdtypes.ANY.NS.NS():
            return rdata.target
        case dns.rdtypes.ANY.MX.MX():
            return rdata.exchange
    return None
