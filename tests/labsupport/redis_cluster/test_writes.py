"""The load of chapter 05 against a server that answers as it is told, and the figures drawn from it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
import redis

from labsupport import paths
from labsupport.redis_cluster.writes import NotInTime, Writes, connect, eventually


class Server:
    """Speaks just enough of the protocol: SET gets `answer` (None keeps silent), MGET what was set, the others OK."""

    def __init__(self) -> None:
        self.answer: bytes | None = b"+OK\r\n"
        self.keys: list[bytes] = []  # of the writes that were answered with OK
        self.connections = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self.socket.close()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            while head := lines.readline():
                words = []
                for _ in range(int(head[1:])):
                    lines.readline()
                    words.append(lines.readline().strip())
                answer = self.answer_to(words)
                if answer is not None:
                    connection.sendall(answer.removesuffix(b"\r\n") + b"\r\n")

    def answer_to(self, words: list[bytes]) -> bytes | None:
        if words[0] == b"HELLO":
            return b"%1\r\n+proto\r\n:3"
        if words[0] == b"MGET":
            found = [key.rpartition(b":")[2] if key in self.keys else None for key in words[1:]]
            return b"*%d\r\n" % len(found) + b"".join(b"_\r\n" if v is None else b"+%s\r\n" % v for v in found)
        if words[0] != b"SET":
            return b"+OK"
        if self.answer is not None and self.answer.startswith(b"+"):
            self.keys.append(words[1])
        return self.answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setattr(paths, "host_port", lambda node_port: server.socket.getsockname()[1])
    yield server
    server.stop()


def test_each_write_has_the_outcome_that_the_server_gave_it(server: Server) -> None:
    with Writes(30005, "secret", rate=200) as writes:
        writes.wait_for(5)
        server.answer = b"-NOREPLICAS Not enough good replicas to write."
        writes.wait_for(5, "refused")
        server.answer = b"-READONLY You can't write against a read only replica."
        writes.wait_for(5, "refused")
        server.answer = None
        writes.wait_for(1, "unanswered")
        server.answer = b"+OK"
        writes.wait_for(5)
    assert set(writes.reasons()) == {"NOREPLICAS", "READONLY", "no answer in time"}
    assert writes.count("acknowledged") >= 10
    assert [w.number for w in writes.outcomes] == list(range(1, len(writes.outcomes) + 1))
    assert writes.outage > 0.3


def test_a_write_that_nobody_took_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = server.socket.getsockname()[1]
    server.stop()
    monkeypatch.setattr(paths, "host_port", lambda node_port: nobody)
    with Writes(30005, "secret", rate=200) as writes:
        writes.wait_for(3, "refused")
    assert set(writes.reasons()) == {"no connection"}


def test_waiting_in_vain_says_what_was_seen(server: Server) -> None:
    server.answer = b"-READONLY no"
    with Writes(30005, "secret", rate=200) as writes, pytest.raises(NotInTime, match="refused READONLY"):
        writes.wait_for(1, timeout=0.2)
    with pytest.raises(NotInTime, match="still 1, not 2"):
        eventually(lambda: 1, 2, timeout=0.1)


def test_lost_are_the_acknowledged_that_the_server_does_not_have(server: Server) -> None:
    with Writes(30005, "secret", rate=200) as writes:
        writes.wait_for(4)
    acknowledged = [w.number for w in writes.outcomes]
    server.keys.pop()
    del server.keys[1]
    assert writes.lost() == [acknowledged[1], acknowledged[-1]]


def test_lost_asks_over_a_new_connection(server: Server) -> None:
    with Writes(30005, "secret", rate=200) as writes:
        writes.wait_for(2)
    before = server.connections
    assert writes.lost() == []
    assert server.connections == before + 1


def test_an_outage_may_last_from_the_first_write_or_to_the_last(server: Server) -> None:
    server.answer = b"-NOREPLICAS Not enough good replicas to write."
    with Writes(30005, "secret", rate=200) as writes:
        writes.wait_for(20, "refused")
        server.answer = b"+OK"
        writes.wait_for(2)
    first = next(w for w in writes.outcomes if w.outcome == "acknowledged")
    assert writes.outage == pytest.approx(first.known - writes.outcomes[0].sent)
    server.answer = None
    with Writes(30005, "secret", rate=200, patience=0.2) as writes:
        writes.wait_for(1, "unanswered")
    assert writes.outage >= 0.2


def test_the_first_news_of_each_kind_about_the_primary_is_marked(server: Server) -> None:
    with Writes(30005, "secret", rate=200) as writes:
        for data in ("slave redis-1.redis:6379", "master redis redis-0.redis 6379", "master redis redis-0.redis 6379"):
            writes.hear({"channel": "+sdown", "data": data})
        writes.hear({"channel": "+switch-master", "data": "redis redis-0.redis 6379 redis-1.redis 6379"})
    writes.hear({"channel": "+odown", "data": "master redis redis-0.redis 6379"})  # too late for this load
    assert [text for _, text in writes.marks] == ["a voter misses it", "a new primary is named"]


def test_a_question_that_fails_is_asked_again(server: Server) -> None:
    client, answers = connect(30005, "secret"), iter([redis.ConnectionError("away"), "yes"])

    def ask() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert eventually(ask, "yes") == "yes"
    client.close()
