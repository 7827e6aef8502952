"""The zone of one's own: what it answers, what it refuses, and what it says of a broken file."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from labsupport.domain_names.resolver import NoAnswer, Resolver
from labsupport.domain_names.zone import Zone, ZoneError
from labsupport.domain_names.zone_server import ZoneServer

TEXT = """\
$ORIGIN lab.example.
$TTL 300
@        IN SOA ns1 admin ( 7 3600 600 86400 60 )
         IN NS  ns1
         IN NS  ns2.other.example.
         IN MX  10 mail
         IN TXT "hello; world"
ns1      IN A   192.0.2.1
mail     IN A   192.0.2.2
www  30  IN A   192.0.2.10
         IN A   192.0.2.11
         IN AAAA 2001:db8::10
blog     IN CNAME www
news     IN CNAME blog
away     IN CNAME www.other.example.
round    IN CNAME about
about    IN CNAME round
a.deep.name IN A 192.0.2.20
*.wild   IN A   192.0.2.30
_redis._tcp IN SRV 10 60 6379 www
sub      IN NS  ns.sub
ns.sub   IN A   192.0.2.40
"""


def ask(name: str, kind: str = "A") -> dns.message.Message:
    return Zone(TEXT).answer(dns.message.make_query(name, kind))  # type: ignore[arg-type]


def records(message: dns.message.Message) -> list[str]:
    return sorted(record.to_text() for rrset in message.answer for record in rrset)


def test_several_addresses_of_one_name() -> None:
    assert records(ask("www.lab.example.")) == ["192.0.2.10", "192.0.2.11"]
    assert records(ask("www.lab.example.", "AAAA")) == ["2001:db8::10"]


def test_answers_are_authoritative_and_keep_the_ttl() -> None:
    reply = ask("www.lab.example.")
    assert reply.flags & dns.flags.AA
    assert reply.answer[0].ttl == 30


def test_an_alias_is_followed_within_the_zone() -> None:
    reply = ask("news.lab.example.")
    assert [rrset.to_text().split()[3] for rrset in reply.answer][:2] == ["CNAME", "CNAME"]
    assert records(reply)[:2] == ["192.0.2.10", "192.0.2.11"]


def test_an_alias_to_somebody_else_s_name_ends_there() -> None:
    reply = ask("away.lab.example.")
    assert records(reply) == ["www.other.example."] and reply.rcode() == dns.rcode.NOERROR


def test_aliases_in_a_circle_are_servfail() -> None:
    assert ask("round.lab.example.").rcode() == dns.rcode.SERVFAIL


def test_a_name_without_the_type_is_nodata_and_an_unknown_one_nxdomain() -> None:
    nodata, unknown = ask("mail.lab.example.", "AAAA"), ask("nosuch.lab.example.")
    assert (nodata.rcode(), unknown.rcode()) == (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
    for reply in (nodata, unknown):
        assert reply.answer == [] and reply.authority[0].ttl == 60, "the SOA's minimum bounds negative caching"


def test_a_name_between_others_exists_without_records() -> None:
    assert ask("deep.lab.example.").rcode() == dns.rcode.NXDOMAIN
    for between in ("name.lab.example.", "deep.name.lab.example."):
        reply = ask(between)
        assert reply.rcode() == dns.rcode.NOERROR and reply.answer == []


def test_a_wildcard_covers_what_is_below_it_only() -> None:
    assert records(ask("anything.wild.lab.example.")) == ["192.0.2.30"]
    assert records(ask("any.thing.wild.lab.example.")) == ["192.0.2.30"]
    assert ask("wild.lab.example.").answer == []


def test_srv_and_mx_bring_the_address_of_their_target() -> None:
    srv, mx = ask("_redis._tcp.lab.example.", "SRV"), ask("lab.example.", "MX")
    assert records(srv) == ["10 60 6379 www.lab.example."]
    assert {rrset.name.to_text() for rrset in srv.additional} == {"www.lab.example."}
    assert [rrset.name.to_text() for rrset in mx.additional] == ["mail.lab.example."]


def test_a_delegated_name_is_referred_with_glue() -> None:
    reply = ask("host.sub.lab.example.")
    assert not reply.flags & dns.flags.AA and reply.answer == []
    assert [r.to_text() for r in reply.authority[0]] == ["ns.sub.lab.example."]
    assert reply.additional[0][0].to_text() == "192.0.2.40"


def test_names_outside_of_the_zone_are_refused() -> None:
    assert ask("www.other.example.").rcode() == dns.rcode.REFUSED


def test_case_does_not_matter() -> None:
    assert records(ask("WWW.Lab.Example.")) == ["192.0.2.10", "192.0.2.11"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("@ IN CNAME www", "line 23: @ has an SOA record already .line 3., so it cannot be an alias.*own name"),
        ("www IN CNAME blog", "line 23: www has an A record already"),
        ("blog IN A 192.0.2.9", "line 23: blog is an alias .CNAME, line 13., so it cannot have an A record"),
        ("blog IN CNAME mail", "line 23: blog has a CNAME already .line 13.: one is the most"),
        ("bad IN A 192.0.2.999", "line 23"),
        ("bad IN NOSUCH x", "line 23"),
        ("bad IN SRV 10 60 www", "line 23"),
        ("outside.other.example. IN A 192.0.2.1", "line 23: outside.other.example. is not inside the zone"),
    ],
)
def test_an_error_names_the_line_and_the_reason(line: str, reason: str) -> None:
    with pytest.raises(ZoneError, match=reason):
        Zone(TEXT + line + "\n")


def test_a_zone_needs_an_soa_and_an_ns() -> None:
    with pytest.raises(ZoneError, match="no SOA record at its apex"):
        Zone("$ORIGIN lab.example.\n@ 300 IN NS ns1\n")
    with pytest.raises(ZoneError, match="no NS record at its apex"):
        Zone("$ORIGIN lab.example.\n@ 300 IN SOA ns1 admin 1 2 3 4 5\n")


def test_a_served_zone_can_be_changed_and_a_broken_change_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "lab.zone"
    file.write_text(TEXT)
    with ZoneServer(file) as server:
        resolver = Resolver({"lab.example.": (server.address, server.port)})
        assert resolver.resolve("mail.lab.example.").records == ("192.0.2.2",)
        file.write_text(TEXT.replace("192.0.2.2\n", "192.0.2.3\n").replace("( 7", "( 8"))
        assert server.reload() == "lab.example. serial 8"
        resolver.forget()
        assert resolver.resolve("mail.lab.example.").records == ("192.0.2.3",)
        file.write_text("nonsense")
        with pytest.raises(ZoneError):
            server.reload()
        resolver.forget()
        assert resolver.resolve("mail.lab.example.").records == ("192.0.2.3",)


def test_the_resolver_follows_a_chain_and_remembers_it_for_its_ttl(tmp_path: Path) -> None:
    file = tmp_path / "lab.zone"
    file.write_text(TEXT)
    now = [0.0]
    with ZoneServer(file) as server:
        resolver = Resolver({"lab.example.": (server.address, server.port)}, clock=lambda: now[0])
        first = resolver.resolve("news.lab.example.")
        assert [step.name for step in first.steps] == ["news.lab.example.", "blog.lab.example.", "www.lab.example."]
        assert first.questions == 3
        now[0] = 29
        again = resolver.resolve("news.lab.example.")
        assert again.questions == 0 and again.steps[-1].ttl == 1
        now[0] = 30
        assert resolver.resolve("news.lab.example.").questions == 1, "only the address had run out"
        assert resolver.resolve("nosuch.lab.example.").status == "NXDOMAIN"
        now[0] = 89
        assert resolver.resolve("nosuch.lab.example.").questions == 0, "a denial is remembered too"
        now[0] = 90
        assert resolver.resolve("nosuch.lab.example.").questions == 1
        assert resolver.resolve("mail.lab.example.", "AAAA").status == "NODATA"


def test_the_resolver_follows_a_delegation(tmp_path: Path) -> None:
    parent, child = tmp_path / "lab.zone", tmp_path / "sub.zone"
    parent.write_text(TEXT)
    child.write_text("$ORIGIN sub.lab.example.\n$TTL 60\n@ IN SOA ns a 1 2 3 4 5\n@ IN NS ns\nhost IN A 192.0.2.50\n")
    with ZoneServer(parent) as above, ZoneServer(child) as below:
        above_only = Resolver({"lab.example.": (above.address, above.port)})
        with pytest.raises(NoAnswer, match=r"referred to sub\.lab\.example\."):
            above_only.resolve("host.sub.lab.example.")
        both = Resolver({"lab.example.": (above.address, above.port), "sub.lab.example.": (below.address, below.port)})
        assert both.resolve("host.sub.lab.example.").records == ("192.0.2.50",)
        assert below.questions == 1


def test_udp_answers_that_are_too_long_come_over_tcp(tmp_path: Path) -> None:
    file = tmp_path / "lab.zone"
    many = "".join(f"many IN A 198.51.{n // 250}.{n % 250 + 1}\n" for n in range(400))
    file.write_text(TEXT + many)
    with ZoneServer(file) as server:
        query = dns.message.make_query("many.lab.example.", "A")
        short = dns.query.udp(query, server.address, port=server.port, timeout=5)
        assert short.flags & dns.flags.TC
        resolver = Resolver({"lab.example.": (server.address, server.port)})
        assert len(resolver.resolve("many.lab.example.").records) == 400


def told_by_dnspython(server: ZoneServer, name: str, kind: str, *, tcp: bool) -> tuple[str, list[str]]:
    query = dns.query.tcp if tcp else dns.query.udp
    reply = query(dns.message.make_query(name, kind), server.address, port=server.port, timeout=5)  # type: ignore[arg-type]
    return dns.rcode.to_text(reply.rcode()), records(reply)


def told_by_dig(server: ZoneServer, name: str, kind: str, *, tcp: bool) -> tuple[str, list[str]]:
    transport = "+tcp" if tcp else "+notcp"
    command = ["dig", "-p", str(server.port), f"@{server.address}", name, kind, transport, "+time=5"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    section = told.partition(";; ANSWER SECTION:\n")[2].partition("\n\n")[0]
    status = told.partition("status: ")[2].partition(",")[0]
    return status, sorted(line.split(None, 4)[4] for line in section.splitlines())


without_dig = pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not installed (Debian: dnsutils)")


@pytest.mark.parametrize("told", [told_by_dnspython, pytest.param(told_by_dig, marks=without_dig)])
@pytest.mark.parametrize(
    ("name", "kind", "status", "answers"),
    [
        ("www.lab.example", "A", "NOERROR", ["192.0.2.10", "192.0.2.11"]),
        ("mail.lab.example", "A", "NOERROR", ["192.0.2.2"]),
        ("news.lab.example", "A", "NOERROR", ["192.0.2.10", "192.0.2.11", "blog.lab.example.", "www.lab.example."]),
        ("lab.example", "MX", "NOERROR", ["10 mail.lab.example."]),
        ("lab.example", "TXT", "NOERROR", ['"hello; world"']),
        ("_redis._tcp.lab.example", "SRV", "NOERROR", ["10 60 6379 www.lab.example."]),
        ("mail.lab.example", "AAAA", "NOERROR", []),
        ("nosuch.lab.example", "A", "NXDOMAIN", []),
        ("www.other.example", "A", "REFUSED", []),
    ],
)
def test_the_server_answers_dnspython_and_dig(
    tmp_path: Path, told: Callable[..., Any], name: str, kind: str, status: str, answers: list[str]
) -> None:
    file = tmp_path / "lab.zone"
    file.write_text(TEXT)
    with ZoneServer(file) as server:
        for tcp in (False, True):
            assert told(server, name, kind, tcp=tcp) == (status, answers)


@pytest.mark.skipif(shutil.which("nslookup") is None, reason="nslookup is not installed (Debian: dnsutils)")
def test_nslookup_reads_the_same(tmp_path: Path) -> None:
    file = tmp_path / "lab.zone"
    file.write_text(TEXT)
    with ZoneServer(file) as server:
        command = ["nslookup", "-type=a", f"-port={server.port}", "mail.lab.example", server.address]
        told = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    assert "Address: 192.0.2.2" in told
