"""The global server load balancer: it names the first site in good health, and only that one."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.query
import pytest

from labsupport import paths
from labsupport.domain_names.balancer import Address, Balancer, answers
from labsupport.domain_names.caching_resolver import Resolver

A, B = ("127.0.0.1", 30020), ("127.0.0.2", 30021)


@pytest.fixture(autouse=True)
def state_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(paths, "state_dir", lambda: tmp_path / "state")
    return tmp_path / "state"


class Sites:
    """Two sites, and which of them are healthy."""

    def __init__(self, interval: float = 0) -> None:
        self.healthy = {A, B}
        self.tested = threading.Semaphore(0)
        self.balancer = Balancer({"a": A, "b": B}, ttl=5, interval=interval, test=self.test)

    def test(self, site: Address) -> bool:
        self.tested.release()
        return site in self.healthy

    def forget_tests(self) -> None:
        while self.tested.acquire(blocking=False):
            pass


@pytest.fixture
def sites() -> Iterator[Sites]:
    sites = Sites()
    with sites.balancer:
        yield sites


def asked(balancer: Balancer, type: str = "SRV", name: str = Balancer.name) -> dns.message.Message:
    address, port = balancer.address
    return dns.query.udp(dns.message.make_query(name, type), address, port=port, timeout=30)


def named(balancer: Balancer) -> list[str]:
    """What its name server answers over the wire."""
    return [record.to_text() for rrset in asked(balancer).answer for record in rrset]


def test_the_first_site_is_named_before_any_test(sites: Sites) -> None:
    assert sites.balancer.answer == "a"
    assert named(sites.balancer) == ["10 100 30020 a.shop.example."]


def test_a_site_that_fails_its_test_is_replaced_by_the_next(sites: Sites) -> None:
    sites.healthy = {B}
    assert sites.balancer.examine() == "b"
    assert sites.balancer.answer == "b"
    assert named(sites.balancer) == ["10 100 30021 b.shop.example."]


def test_the_first_site_is_named_again_when_it_is_back(sites: Sites) -> None:
    for healthy, expected in (({B}, "b"), ({A, B}, "a"), ({A}, "a")):
        sites.healthy = healthy
        assert sites.balancer.examine() == expected


def test_without_a_healthy_site_the_name_has_no_record(sites: Sites) -> None:
    sites.healthy = set()
    assert sites.balancer.examine() == "" and sites.balancer.answer == ""
    assert named(sites.balancer) == []
    sites.healthy = {B}
    assert sites.balancer.examine() == "b" and named(sites.balancer) == ["10 100 30021 b.shop.example."]


def test_the_answer_has_the_ttl_and_brings_the_site_s_address(sites: Sites) -> None:
    reply = asked(sites.balancer)
    assert [rrset.ttl for rrset in reply.answer] == [5]
    assert [(rrset.name.to_text(), rrset[0].to_text()) for rrset in reply.additional] == [
        ("a.shop.example.", "127.0.0.1")
    ]
    assert [record.to_text() for rrset in asked(sites.balancer, "A", "b.shop.example.").answer for record in rrset] == [
        "127.0.0.2"
    ]


def test_the_serial_grows_with_each_change_and_only_then(sites: Sites) -> None:
    def serial() -> int:
        (soa,) = asked(sites.balancer, "SOA", "shop.example.").answer[0]
        return int(soa.serial)

    first = serial()
    sites.balancer.examine()
    assert serial() == first
    sites.healthy = {B}
    sites.balancer.examine()
    assert serial() == first + 1


def test_a_resolver_goes_on_with_the_old_site_until_the_ttl_is_over(sites: Sites) -> None:
    now = [0.0]
    resolver = Resolver({"shop.example.": sites.balancer.address}, clock=lambda: now[0], timeout=30)

    def site() -> str:
        return resolver.resolve(Balancer.name, "SRV").records[0].split()[3]

    assert site() == "a.shop.example."
    sites.healthy = {B}
    sites.balancer.examine()
    now[0] = 4.9
    assert site() == "a.shop.example."
    now[0] = 5
    assert site() == "b.shop.example."


def test_the_sites_are_tested_by_themselves_until_it_is_closed() -> None:
    sites = Sites(interval=0.001)
    with sites.balancer:
        sites.healthy = {B}
        sites.forget_tests()
        for _ in range(8):  # two in each round: so one whole round has begun and ended since
            assert sites.tested.acquire(timeout=60)
        assert sites.balancer.answer == "b"
    sites.forget_tests()
    assert not sites.tested.acquire(timeout=0.05), "closed, and still testing"


def test_without_an_interval_nothing_is_tested_by_itself(sites: Sites) -> None:
    assert not sites.tested.acquire(timeout=0.05)


@contextlib.contextmanager
def redis_server(reply: bytes) -> Iterator[Address]:
    """A server that answers whatever it is sent with the same bytes."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(reply)

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        listener.close()
        thread.join()


def test_a_site_is_healthy_when_it_says_pong() -> None:
    with redis_server(b"+PONG\r\n") as address:
        assert answers(address, timeout=30)
    with redis_server(b"-NOAUTH Authentication required.\r\n") as address:
        assert not answers(address, timeout=30)
    with redis_server(b"") as address:
        assert not answers(address, timeout=30)
    assert not answers(address, timeout=30), "nobody listens there any more"


def test_a_site_that_keeps_silent_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not answers(listener.getsockname(), timeout=0.05)
