"""The load of chapter 05 against a server that answers as it is told, and the figures drawn from it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import redis

from labsupport import paths
from labsupport.cluster import asking
from labsupport.cluster.api import ApiException
from labsupport.cluster.asking import NotInTime
from labsupport.cluster.pods import CommandFailed
from labsupport.redis_cluster.writes import Write, Writes, eventually
from tests.labsupport.fake_time import FakeTime


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


def load(*, patience: float = 30) -> Writes:
    """A load whose writes are waited for so long that a busy machine makes no difference, unless told otherwise."""
    return Writes(30005, "secret", rate=200, patience=patience)


def test_each_write_has_the_outcome_that_the_server_gave_it(server: Server) -> None:
    with load() as writes:
        writes.wait_for(5)
        server.answer = b"-NOREPLICAS Not enough good replicas to write."
        writes.wait_for(5, "refused")
        server.answer = b"-READONLY You can't write against a read only replica."
        writes.wait_for(5, "refused")
        server.answer = b"+OK"
        writes.wait_for(5)
    assert set(writes.reasons()) == {"NOREPLICAS", "READONLY"}
    assert writes.count("acknowledged") >= 10 and writes.count("refused") >= 10
    assert [w.number for w in writes.outcomes] == list(range(1, len(writes.outcomes) + 1))


def test_a_write_without_an_answer_in_time_is_unanswered_and_the_next_one_is_made(server: Server) -> None:
    server.answer = None
    with load(patience=0.1) as writes:
        writes.wait_for(2, "unanswered")
    assert writes.reasons()["no answer in time"] >= 2
    assert all(w.known - w.sent >= 0.1 for w in writes.outcomes if w.outcome == "unanswered")


def test_a_write_that_nobody_took_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = server.socket.getsockname()[1]
    server.stop()
    monkeypatch.setattr(paths, "host_port", lambda node_port: nobody)
    with load() as writes:
        writes.wait_for(3, "refused")
    assert set(writes.reasons()) == {"no connection"}


def test_waiting_in_vain_says_what_came_instead(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answer = b"-READONLY no"
    with load() as writes:
        really_wait_for = writes._changed.wait_for

        def in_vain(reached: Callable[[], bool], timeout: float) -> bool:
            before = len(writes._outcomes)
            really_wait_for(lambda: len(writes._outcomes) > before, 30)
            return reached()

        monkeypatch.setattr(writes._changed, "wait_for", in_vain)
        with pytest.raises(NotInTime, match=r"not 3 acknowledged writes in a row within 60 s\..*refused READONLY"):
            writes.wait_for(3)


def test_lost_are_the_acknowledged_that_the_server_does_not_have(server: Server) -> None:
    with load() as writes:
        writes.wait_for(4)
    acknowledged = [w.number for w in writes.outcomes]
    server.keys.pop()
    del server.keys[1]
    assert writes.lost() == [acknowledged[1], acknowledged[-1]]


def test_lost_asks_over_a_new_connection(server: Server) -> None:
    with load() as writes:
        writes.wait_for(2)
    before = server.connections
    assert writes.lost() == []
    assert server.connections == before + 1


def recorded(*outcomes: Write) -> Writes:
    """A load that has ended with these outcomes."""
    with load() as writes:
        pass
    writes._outcomes[:] = outcomes
    return writes


def test_an_outage_is_the_longest_time_without_an_acknowledgement(server: Server) -> None:
    ok, no = "acknowledged", "refused"
    between = recorded(Write(1, 0.0, 0.1, ok), Write(2, 0.2, 0.3, no), Write(3, 1.0, 1.1, ok), Write(4, 1.2, 1.3, ok))
    assert between.outage == pytest.approx(1.0)
    from_the_first = recorded(Write(1, 0.0, 0.1, no), Write(2, 2.0, 2.1, ok), Write(3, 2.2, 2.3, ok))
    assert from_the_first.outage == pytest.approx(2.1)
    to_the_last = recorded(Write(1, 0.0, 0.1, ok), Write(2, 0.2, 0.6, "unanswered"), Write(3, 0.6, 3.1, "unanswered"))
    assert to_the_last.outage == pytest.approx(3.0)
    assert recorded().outage == 0


def test_the_first_news_of_each_kind_about_the_primary_is_marked(server: Server) -> None:
    with load() as writes:
        for data in ("slave redis-1.redis:6379", "master redis redis-0.redis 6379", "master redis redis-0.redis 6379"):
            writes.hear({"channel": "+sdown", "data": data})
        writes.hear({"channel": "+switch-master", "data": "redis redis-0.redis 6379 redis-1.redis 6379"})
    writes.hear({"channel": "+odown", "data": "master redis redis-0.redis 6379"})  # too late for this load
    assert [text for _, text in writes.marks] == ["a voter misses it", "a new primary is named"]


def test_a_question_that_fails_is_asked_again_every_50_ms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "time", time := FakeTime())
    answers = iter([redis.ConnectionError("away"), CommandFailed("exit code 1"), ApiException(500), "no", "yes"])

    def ask() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert eventually(ask, "yes") == "yes"
    assert time.pauses == [0.05] * 4


def test_an_answer_that_never_comes_is_told_with_the_one_that_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "time", FakeTime())
    with pytest.raises(NotInTime, match=r"after 30 s until the answer is 2\. The last answer: 1\. Look at: !kubectl"):
        eventually(lambda: 1, 2)
