"""Names that hold in this process only."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labsupport.domain_names.host_names import hosts

NAME = "redis-0.lab.example"
system = socket.getaddrinfo


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
