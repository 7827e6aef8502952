"""The caching resolver: aliases, delegations and its cache, over name servers in this process; the clock is turned."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from labcluster.network.dns_transport import BackgroundNameServer, response_to
from labsupport.domain_names.caching_resolver import NoAnswer, Resolver, Server
from labsupport.domain_names.zone_server import ZoneServer

TEXT = """\
$ORIGIN lab.example.
$TTL 300
@     IN SOA ns1 admin 7 3600 600 86400 60
      IN NS  ns1
ns1   IN A   192.0.2.1
mail  IN A   192.0.2.2
www   30 IN A 192.0.2.11
      30 IN A 192.0.2.10
blog  IN CNAME www
news  IN CNAME blog
away  IN CNAME back.other.example.
sub   IN NS  ns.sub
ns.sub IN A  192.0.2.40
"""
CHILD = "$ORIGIN sub.lab.example.\n$TTL 60\n@ IN SOA ns a 1 2 3 4 5\n@ IN NS ns\nhost IN A 192.0.2.50\n"
OTHER = "$ORIGIN other.example.\n$TTL 60\n@ IN SOA ns a 1 2 3 4 5\n@ IN NS ns\nback IN CNAME away.lab.example.\n"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def serving(directory: Path, *texts: str) -> ZoneServer:
    files = [directory / f"{number}.zone" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return ZoneServer(*files)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ZoneServer]:
    with serving(tmp_path, TEXT) as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def resolver(server: ZoneServer, clock: Clock) -> Resolver:
    return Resolver({"lab.example.": (server.address, server.port)}, clock=clock, timeout=30)


def place(server: ZoneServer) -> Server:
    return server.address, server.port


def test_records_are_sorted_and_the_one_question_is_shown(resolver: Resolver) -> None:
    answer = resolver.resolve("www.lab.example.")
    assert (answer.records, answer.status, answer.questions) == (("192.0.2.10", "192.0.2.11"), "NOERROR", 1)
    (step,) = answer.steps
    assert (step.name, step.type, step.answer) == ("www.lab.example.", "A", "192.0.2.10, 192.0.2.11")
    assert (step.cached, step.ttl) == (False, 30)


def test_a_chain_is_followed_and_each_link_is_remembered_for_its_ttl(resolver: Resolver, clock: Clock) -> None:
    first = resolver.resolve("news.lab.example.")
    assert [step.name for step in first.steps] == ["news.lab.example.", "blog.lab.example.", "www.lab.example."]
    assert first.questions == 3
    clock.now = 29
    again = resolver.resolve("news.lab.example.")
    assert again.questions == 0 and again.steps[-1].ttl == 1
    assert all(step.cached for step in again.steps)
    clock.now = 30
    assert resolver.resolve("news.lab.example.").questions == 1, "only the address had run out"


def test_an_alias_that_is_asked_for_itself_is_not_followed(resolver: Resolver) -> None:
    answer = resolver.resolve("news.lab.example.", "CNAME")
    assert answer.records == ("blog.lab.example.",) and answer.questions == 1


def test_a_denial_is_remembered_as_long_as_the_soa_says(resolver: Resolver, clock: Clock) -> None:
    assert resolver.resolve("nosuch.lab.example.").status == "NXDOMAIN"
    clock.now = 59
    again = resolver.resolve("nosuch.lab.example.")
    assert (again.status, again.questions, again.steps[0].answer) == ("NXDOMAIN", 0, "NXDOMAIN")
    clock.now = 60
    assert resolver.resolve("nosuch.lab.example.").questions == 1


def test_each_type_of_a_name_is_remembered_by_itself(resolver: Resolver) -> None:
    assert resolver.resolve("mail.lab.example.", "AAAA").status == "NODATA"
    assert resolver.resolve("mail.lab.example.", "A").records == ("192.0.2.2",)
    assert resolver.resolve("mail.lab.example.", "AAAA").questions == 0


def test_forget_empties_the_cache(resolver: Resolver) -> None:
    resolver.resolve("mail.lab.example.")
    assert resolver.resolve("mail.lab.example.").questions == 0
    resolver.forget()
    assert resolver.resolve("mail.lab.example.").questions == 1


def test_a_delegation_is_followed_to_the_child_s_server(tmp_path: Path, server: ZoneServer) -> None:
    (tmp_path / "below").mkdir()
    with serving(tmp_path / "below", CHILD) as below:
        above_only = Resolver({"lab.example.": place(server)}, timeout=30)
        with pytest.raises(NoAnswer, match=r"referred to sub\.lab\.example\., and no server is known"):
            above_only.resolve("host.sub.lab.example.")
        both = Resolver({"lab.example.": place(server), "sub.lab.example.": place(below)}, timeout=30)
        assert both.resolve("host.sub.lab.example.").records == ("192.0.2.50",)
        assert below.questions == 1


def test_servers_that_refer_to_one_another_are_given_up(server: ZoneServer) -> None:
    circle = Resolver({"lab.example.": place(server), "sub.lab.example.": place(server)}, timeout=30)
    with pytest.raises(NoAnswer, match="referred from server to server 16 times"):
        circle.resolve("host.sub.lab.example.")


def test_aliases_in_a_circle_are_given_up(tmp_path: Path) -> None:
    with serving(tmp_path, TEXT, OTHER) as server:
        resolver = Resolver({".": place(server)}, timeout=30)
        with pytest.raises(NoAnswer, match=r"away\.lab\.example\.: still an alias after 16 questions"):
            resolver.resolve("away.lab.example.")
        assert server.questions == 2, "the others come from the cache"


def test_the_server_of_the_nearest_zone_is_asked_and_without_one_nobody(tmp_path: Path, server: ZoneServer) -> None:
    (tmp_path / "other").mkdir()
    with serving(tmp_path / "other", OTHER) as other:
        resolver = Resolver({".": place(other), "lab.example.": place(server)}, timeout=30)
        assert resolver.resolve("mail.lab.example.").records == ("192.0.2.2",)
        assert (server.questions, other.questions) == (1, 0)
    with pytest.raises(NoAnswer, match=r"no server is known for it; known are lab\.example\."):
        Resolver({"lab.example.": place(server)}, timeout=30).resolve("www.example.org.")


def test_a_name_outside_of_the_server_s_zones_is_no_answer(server: ZoneServer) -> None:
    with pytest.raises(NoAnswer, match=r"the server 127\.0\.0\.1:\d+ answers REFUSED"):
        Resolver({".": place(server)}, timeout=30).resolve("www.example.org.")


def test_a_server_that_keeps_silent_is_no_answer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver = Resolver({".": silent.getsockname()}, timeout=0.05)
        with pytest.raises(NoAnswer, match="does not answer"):
            resolver.resolve("www.lab.example.")


def test_an_answer_that_is_too_long_for_udp_is_asked_for_over_tcp(tmp_path: Path) -> None:
    many = "".join(f"many IN A 198.51.{n // 250}.{n % 250 + 1}\n" for n in range(400))
    with serving(tmp_path, TEXT + many) as server:
        answer = Resolver({".": place(server)}, timeout=30).resolve("many.lab.example.")
        assert len(answer.records) == 400 and answer.questions == 1
        assert server.questions == 2


def test_a_denial_without_an_soa_is_not_remembered() -> None:
    def deny(query: dns.message.QueryMessage, tcp: bool) -> dns.message.Message:
        return response_to(query, dns.rcode.NXDOMAIN)

    with BackgroundNameServer(deny) as server:
        resolver = Resolver({".": (server.address, server.port)}, clock=Clock(), timeout=30)
        assert [resolver.resolve("nosuch.example.").questions for _ in range(2)] == [1, 1]
