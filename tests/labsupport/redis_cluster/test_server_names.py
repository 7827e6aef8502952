"""Server names: the certificate is proven by a TLS handshake, the addresses by what a look-up gives."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labsupport.redis_cluster import server_names
from labsupport.redis_cluster.server_names import hosts

NAMES = ["redis-0.lab.example", "redis-1.lab.example"]
NAME = NAMES[0]
system = socket.getaddrinfo


def shake_hands(issued: server_names.Certificate, name: str, directory: Path) -> None:
    """A client that trusts only the authority greets a server of that certificate by a name. Raises ssl.SSLError."""
    (directory / "server.pem").write_text(issued.key + issued.certificate)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(directory / "server.pem")
    client = ssl.create_default_context(cadata=issued.authority)
    here, there = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(there, server_side=True).close()
        except (ssl.SSLError, OSError):
            there.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        here.settimeout(10)
        client.wrap_socket(here, server_hostname=name).close()
    finally:
        here.close()
        thread.join()


@pytest.mark.parametrize("name", NAMES)
def test_each_of_its_names_is_believed(name: str, tmp_path: Path) -> None:
    shake_hands(server_names.issue(NAMES), name, tmp_path)


def test_another_name_is_not(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        shake_hands(server_names.issue(NAMES), "redis-9.lab.example", tmp_path)


def test_another_authority_does_not_vouch_for_it(tmp_path: Path) -> None:
    one, other = server_names.issue(NAMES), server_names.issue(NAMES)
    mixed = server_names.Certificate(other.authority, one.certificate, one.key)
    with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
        shake_hands(mixed, NAMES[0], tmp_path)


def test_after_its_days_it_holds_no_more(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(server_names.issue(NAMES, days=-1 / 48), NAMES[0], tmp_path)


@pytest.fixture(autouse=True)
def taken_back() -> Iterator[None]:
    yield
    hosts({})
    assert socket.getaddrinfo is system


def test_a_name_leads_where_it_was_told() -> None:
    hosts({NAME: "127.0.0.1"})
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection((NAME, server.getsockname()[1]), 5).close()


def test_the_last_table_counts_and_other_names_are_left_alone() -> None:
    hosts({NAME: "127.0.0.1"})
    hosts({"other.lab.example": "127.0.0.2"})
    assert socket.getaddrinfo("other.lab.example", 80, type=socket.SOCK_STREAM)[0][4] == ("127.0.0.2", 80)
    assert socket.getaddrinfo("127.0.0.3", 80, type=socket.SOCK_STREAM)[0][4] == ("127.0.0.3", 80)
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo(NAME, 80, flags=socket.AI_NUMERICHOST)


def foreign(calls: list[str], beneath: Callable[..., Any]) -> Callable[..., Any]:
    """Somebody else's getaddrinfo, over one that it has found."""

    def look_up(host: str, *args: Any, **kwargs: Any) -> Any:
        calls.append(host)
        return beneath(host, *args, **kwargs)

    return look_up


def resolved(name: str) -> str:
    return str(socket.getaddrinfo(name, 80, flags=socket.AI_NUMERICHOST)[0][4][0])


def test_what_replaced_the_function_before_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        theirs = foreign([], system)
        patched.setattr(socket, "getaddrinfo", theirs)
        hosts({NAME: "127.0.0.1"})
        hosts({NAME: "127.0.0.2"})
        assert resolved(NAME) == "127.0.0.2"
        hosts({})
        assert socket.getaddrinfo is theirs


def test_what_replaces_the_function_afterwards_is_left_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts({NAME: "127.0.0.1"})
    calls: list[str] = []
    with monkeypatch.context() as patched:
        theirs = foreign(calls, socket.getaddrinfo)
        patched.setattr(socket, "getaddrinfo", theirs)
        hosts({NAME: "127.0.0.2"})
        assert (resolved(NAME), calls) == ("127.0.0.2", ["127.0.0.2"])
        hosts({})
        assert socket.getaddrinfo is theirs
        with pytest.raises(socket.gaierror):
            resolved(NAME)
    hosts({})
    assert socket.getaddrinfo is system
