"""Asking the cluster's DNS: what an answer says, which name is asked for, and waiting for one, not for ever."""

from __future__ import annotations

from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from labcluster.network.dns_transport import BackgroundNameServer, response_to
from labsupport import paths
from labsupport.cluster import asking, scope
from labsupport.domain_names import lookup
from labsupport.domain_names.lookup import Answer, LookupFailed, qualified, wait_for_name
from tests.labsupport.fake_time import FakeTime

GONE = Answer("web.", "A", "NXDOMAIN", (), None)
THERE = Answer("web.", "A", "NOERROR", ("192.0.2.1",), 30)
NAME = "web.chapter-06.svc.cluster.local."


class Server:
    """A name server that answers with `rcode` and `rrsets`, and over UDP only that TCP is to be asked if `too_long`."""

    def __init__(self) -> None:
        self.rcode = dns.rcode.NOERROR
        self.rrsets: list[dns.rrset.RRset] = []
        self.too_long = False
        self.asked: list[tuple[str, bool]] = []

    def answer(self, query: dns.message.QueryMessage, tcp: bool) -> dns.message.Message:
        self.asked.append((query.question[0].name.to_text(), tcp))
        reply = response_to(query, self.rcode)
        if self.too_long and not tcp:
            reply.flags |= dns.flags.TC
        else:
            reply.answer.extend(self.rrsets)
        return reply


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    scope.enter("chapter-06")
    with BackgroundNameServer(server.answer) as background:
        monkeypatch.setattr(paths, "host_port", lambda node_port: background.port)
        yield server


def test_an_answer_has_its_records_sorted_and_the_shortest_ttl(server: Server) -> None:
    server.rrsets = [
        dns.rrset.from_text("out." + NAME, 30, "IN", "CNAME", NAME),
        dns.rrset.from_text(NAME, 5, "IN", "A", "192.0.2.2", "192.0.2.1"),
    ]
    answer = lookup.lookup("web", timeout=30)
    assert answer == Answer(NAME, "A", "NOERROR", ("192.0.2.1", "192.0.2.2", NAME), 5)
    assert str(answer) == f"192.0.2.1, 192.0.2.2, {NAME}"


def test_records_of_another_type_are_none_of_the_answer(server: Server) -> None:
    server.rrsets = [dns.rrset.from_text(NAME, 5, "IN", "AAAA", "2001:db8::1")]
    answer = lookup.lookup("web", timeout=30)
    assert (answer.records, answer.ttl, str(answer)) == ((), None, "NODATA")


def test_a_name_that_does_not_exist(server: Server) -> None:
    server.rcode = dns.rcode.NXDOMAIN
    assert str(lookup.lookup("web", timeout=30)) == "NXDOMAIN"


def test_what_does_not_fit_into_udp_is_asked_for_over_tcp(server: Server) -> None:
    server.too_long, server.rrsets = True, [dns.rrset.from_text(NAME, 5, "IN", "A", "192.0.2.1")]
    assert lookup.lookup("web", timeout=30).records == ("192.0.2.1",)
    assert lookup.lookup("web", tcp=True, timeout=30).records == ("192.0.2.1",)
    assert server.asked == [(NAME, False), (NAME, True), (NAME, True)]


def test_no_answer_at_all_is_an_error_that_says_what_to_type(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with BackgroundNameServer(server.answer) as closed:
        pass
    monkeypatch.setattr(paths, "host_port", lambda node_port: closed.port)
    with pytest.raises(LookupFailed, match=rf"no answer for {NAME} from 127\.0\.0\.1 port \d+: .*`lab status`"):
        lookup.lookup("web", tcp=True, timeout=30)


def test_a_short_name_is_completed_with_the_chapter_s_namespace() -> None:
    scope.enter("chapter-06")
    assert qualified("web-0.web") == "web-0.web.chapter-06.svc.cluster.local."
    assert qualified("web.other.svc.cluster.local") == "web.other.svc.cluster.local."
    assert qualified("3.1.244.10.in-addr.arpa") == "3.1.244.10.in-addr.arpa."
    assert qualified("example.org.") == "example.org."


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(asking, "time", fake)
    return fake


def test_a_name_is_asked_for_until_it_has_records(monkeypatch: pytest.MonkeyPatch, time: FakeTime) -> None:
    answers = iter([GONE, GONE, THERE])
    monkeypatch.setattr(lookup, "lookup", lambda name, type: next(answers))
    assert wait_for_name("web") is THERE
    assert len(time.pauses) == 2


def test_a_name_that_never_comes_is_given_up_with_the_last_answer(
    monkeypatch: pytest.MonkeyPatch, time: FakeTime
) -> None:
    monkeypatch.setattr(lookup, "lookup", lambda name, type: GONE)
    with pytest.raises(LookupFailed, match=r"web\. A was still NXDOMAIN after 90 s\. Is its pod Ready\?"):
        wait_for_name("web")
    assert sum(time.pauses) == pytest.approx(90) and max(time.pauses) == 2


def test_a_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, time: FakeTime) -> None:
    def no_answer(name: str, type: str) -> Answer:
        raise LookupFailed("no answer")

    monkeypatch.setattr(lookup, "lookup", no_answer)
    with pytest.raises(LookupFailed, match="no answer"):
        wait_for_name("web")
    assert time.pauses == []
