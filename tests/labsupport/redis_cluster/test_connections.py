"""Connections that begin in a pod: what is sent, what comes back, and how an end is noticed. The exec is played."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from labsupport.cluster import scope
from labsupport.redis_cluster import connections
from labsupport.redis_cluster.connections import Connections
from labsupport.redis_cluster.redirects import Unreachable

NODE = "10.0.0.1:6379"


class Channel:
    """An exec whose program greets, and then answers each write with the next of its pieces, one for each update."""

    def __init__(self, *pieces: bytes, greeting: bytes = b"+", error: bytes = b"") -> None:
        self.pieces = deque(pieces)
        self.out, self.error = greeting, error
        self.open = not error
        self.written: list[bytes] = []

    def write_stdin(self, data: bytes) -> None:
        self.written.append(data)

    def read_channel(self, number: int) -> bytes:
        if number == 2:
            return self.error
        out, self.out = self.out, b""
        return out

    def update(self, timeout: float) -> None:
        if not self.written:
            return
        if self.pieces:
            self.out += self.pieces.popleft()
        else:
            self.open = False

    def is_open(self) -> bool:
        return self.open

    def run_forever(self, timeout: float) -> None:
        self.open = False

    def close(self) -> None:
        self.open = False


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> deque[Any]:
    """The channels that will be opened, in this order."""
    waiting: deque[Any] = deque()
    monkeypatch.setattr(connections.pods, "open_exec", lambda *args, **options: waiting.popleft())
    scope.enter("chapter-09")
    return waiting


def test_a_reply_that_comes_in_pieces_is_put_together(channels: deque[Any]) -> None:
    channel = Channel(b"", b"$5\r\nhe", b"llo\r", b"\n")
    channels.append(channel)
    assert Connections("client").exchange(NODE, b"GET x\r\n") == b"$5\r\nhello\r\n"
    assert channel.written == [b"GET x\r\n"]


def test_a_node_has_one_connection(channels: deque[Any]) -> None:
    channels.append(Channel(b"+OK\r\n", b"", b"+QUEUED\r\n"))
    send = Connections("client")
    assert [send(NODE, "ASKING"), send(NODE, "GET", "x")] == ["OK", "QUEUED"]


def test_a_connection_that_does_not_come_about_is_unreachable(channels: deque[Any]) -> None:
    error = b"bash: connect: Connection refused\nbash: line 1: /dev/tcp/10.0.0.1/6379: Connection refused\n"
    channels.append(Channel(greeting=b"", error=error))
    with pytest.raises(Unreachable, match=f"no connection from pod client to {NODE}: Connection refused"):
        Connections("client")(NODE, "PING")


def test_a_silent_node_is_unreachable_within_the_time(channels: deque[Any]) -> None:
    channels.append(Channel(greeting=b""))
    with pytest.raises(Unreachable, match="nothing came for 0 s"):
        Connections("client", timeout=0)(NODE, "PING")


def test_an_end_in_the_middle_is_unreachable_and_the_next_command_connects_anew(channels: deque[Any]) -> None:
    channels.extend([Channel(b"$5\r\nhe"), Channel(b"+PONG\r\n")])
    send = Connections("client")
    with pytest.raises(Unreachable, match="has ended the connection"):
        send(NODE, "GET", "x")
    assert send(NODE, "PING") == "PONG"


def test_a_connection_that_ended_between_two_commands_is_made_anew(channels: deque[Any]) -> None:
    first = Channel(b"+PONG\r\n")
    channels.extend([first, Channel(b"+PONG\r\n")])
    send = Connections("client")
    send(NODE, "PING")
    first.open = False
    assert send(NODE, "PING") == "PONG"


def test_close_says_quit(channels: deque[Any]) -> None:
    channel = Channel(b"+PONG\r\n")
    channels.append(channel)
    with Connections("client") as send:
        send(NODE, "PING")
    assert channel.written[-1] == b"*1\r\n$4\r\nQUIT\r\n" and not channel.open
