"""The server of one's own zones: which zone answers, what is counted, and what a changed file does."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from labsupport.domain_names.zone import ZoneError
from labsupport.domain_names.zone_server import ZoneServer

TEXT = """\
$ORIGIN lab.example.
$TTL 300
@     IN SOA ns1 admin 7 3600 600 86400 60
      IN NS  ns1
      IN MX  10 mail
      IN TXT "hello; world"
ns1   IN A   192.0.2.1
www   IN A   192.0.2.10
      IN A   192.0.2.11
mail  IN A   192.0.2.2
blog  IN CNAME www
news  IN CNAME blog
_redis._tcp IN SRV 10 60 6379 www
sub   IN NS  ns.sub
"""
CHILD = """\
$ORIGIN sub.lab.example.
$TTL 60
@     IN SOA ns admin 1 2 3 4 5
      IN NS  ns
host  IN A   192.0.2.50
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "lab.zone"
    file.write_text(TEXT)
    return file


@pytest.fixture
def server(file: Path) -> Iterator[ZoneServer]:
    with ZoneServer(file) as server:
        yield server


def ask(server: ZoneServer, name: str, kind: str = "A", *, tcp: bool = False) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    return (dns.query.tcp if tcp else dns.query.udp)(query, server.address, port=server.port, timeout=30)


def records(reply: dns.message.Message) -> list[str]:
    return sorted(record.to_text() for rrset in reply.answer for record in rrset)


@pytest.mark.parametrize("tcp", [False, True])
def test_it_answers_over_udp_and_tcp_and_counts_the_questions(server: ZoneServer, tcp: bool) -> None:
    reply = ask(server, "www.lab.example.", tcp=tcp)
    assert records(reply) == ["192.0.2.10", "192.0.2.11"] and reply.flags & dns.flags.AA
    assert server.questions == 1


def test_a_name_outside_of_its_zones_is_refused_and_counted(server: ZoneServer) -> None:
    assert ask(server, "www.other.example.").rcode() == dns.rcode.REFUSED
    assert server.questions == 1


def test_of_two_zones_the_one_nearer_to_the_name_answers(file: Path, tmp_path: Path) -> None:
    child = tmp_path / "sub.zone"
    child.write_text(CHILD)
    with ZoneServer(file, child) as server:
        reply = ask(server, "host.sub.lab.example.")
        assert records(reply) == ["192.0.2.50"] and reply.flags & dns.flags.AA
        assert records(ask(server, "mail.lab.example.")) == ["192.0.2.2"]
        assert server.reload() == "lab.example. serial 7, sub.lab.example. serial 1"


def test_a_changed_file_counts_from_the_reload_on(server: ZoneServer, file: Path) -> None:
    file.write_text(TEXT.replace("192.0.2.2\n", "192.0.2.3\n").replace("admin 7", "admin 8"))
    assert records(ask(server, "mail.lab.example.")) == ["192.0.2.2"]
    assert server.reload() == "lab.example. serial 8"
    assert records(ask(server, "mail.lab.example.")) == ["192.0.2.3"]


@pytest.mark.parametrize("broken", ["nonsense", None])
def test_a_file_with_an_error_leaves_the_zones_as_they_are(server: ZoneServer, file: Path, broken: str | None) -> None:
    if broken is None:
        file.unlink()
    else:
        file.write_text(broken)
    with pytest.raises(ZoneError if broken else FileNotFoundError):
        server.reload()
    assert records(ask(server, "mail.lab.example.")) == ["192.0.2.2"]


def test_without_a_zone_that_holds_there_is_no_server(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ZoneServer(tmp_path / "missing.zone")


def test_after_it_is_closed_nobody_answers_and_closing_again_is_harmless(file: Path) -> None:
    server = ZoneServer(file)
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        ask(server, "www.lab.example.", tcp=True)


def test_an_answer_that_is_too_long_for_udp_comes_over_tcp(file: Path) -> None:
    file.write_text(TEXT + "".join(f"many IN A 198.51.{n // 250}.{n % 250 + 1}\n" for n in range(400)))
    with ZoneServer(file) as server:
        assert ask(server, "many.lab.example.").flags & dns.flags.TC
        assert len(records(ask(server, "many.lab.example.", tcp=True))) == 400


def by_dnspython(server: ZoneServer, name: str, kind: str, *, tcp: bool) -> tuple[str, list[str]]:
    query = dns.query.tcp if tcp else dns.query.udp
    reply = query(dns.message.make_query(name, kind), server.address, port=server.port, timeout=30)
    return dns.rcode.to_text(reply.rcode()), records(reply)


def by_dig(server: ZoneServer, name: str, kind: str, *, tcp: bool) -> tuple[str, list[str]]:
    transport = "+tcp" if tcp else "+notcp"
    command = ["dig", "-p", str(server.port), f"@{server.address}", name, kind, transport, "+time=30"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    section = printed.partition(";; ANSWER SECTION:\n")[2].partition("\n\n")[0]
    status = printed.partition("status: ")[2].partition(",")[0]
    return status, sorted(line.split(None, 4)[4] for line in section.splitlines())


without_dig = pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not installed (Debian: dnsutils)")


@pytest.mark.parametrize("answer", [by_dnspython, pytest.param(by_dig, marks=without_dig)])
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
    server: ZoneServer,
    answer: Callable[..., tuple[str, list[str]]],
    name: str,
    kind: str,
    status: str,
    answers: list[str],
) -> None:
    for tcp in (False, True):
        assert answer(server, name, kind, tcp=tcp) == (status, answers)


@pytest.mark.skipif(shutil.which("nslookup") is None, reason="nslookup is not installed (Debian: dnsutils)")
def test_nslookup_reads_the_same(server: ZoneServer) -> None:
    command = ["nslookup", "-type=a", "-timeout=30", f"-port={server.port}", "mail.lab.example", server.address]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    assert "Address: 192.0.2.2" in printed
