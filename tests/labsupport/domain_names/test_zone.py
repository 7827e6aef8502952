"""The zone of one's own: what it answers, what it refuses, and what it says of a broken file."""

from __future__ import annotations

from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from labsupport.domain_names.zone import Zone, ZoneError

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


def test_a_zone_is_read_from_a_file_and_its_errors_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "lab.zone"
    file.write_text(TEXT)
    zone = Zone.read(file)
    assert (zone.origin.to_text(), zone.serial) == ("lab.example.", 7)
    file.write_text(TEXT + "bad IN A 192.0.2.999\n")
    with pytest.raises(ZoneError, match=r"^lab\.zone, line 23: "):
        Zone.read(file)


def test_a_zone_has_an_origin_from_its_file_or_from_outside() -> None:
    without = TEXT.partition("\n")[2]
    assert Zone(without, "lab.example.").origin.to_text() == "lab.example."
    for text in (without, ""):
        with pytest.raises(ZoneError, match=r"no \$ORIGIN line, and no origin given"):
            Zone(text)


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
