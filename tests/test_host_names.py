"""Names that hold in this process only."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from labsupport.host_names import hosts

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
