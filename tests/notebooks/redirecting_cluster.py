"""Two servers that answer as members of a cluster which announces addresses that lead nowhere; one redirects."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Address = tuple[str, int]
NOWHERE = {"a": ("127.0.0.2", 1), "b": ("127.0.0.3", 1)}  # what each member announces: nothing listens there
GET = [b"get", 2, [b"readonly"], 1, 1, 1]  # of COMMAND: a client finds a command's keys by it


class _Member(socketserver.ThreadingTCPServer):
    daemon_threads = True
    redirect = b""  # what GET is answered by, until the client has drawn its map a second time
    owner = "a"
    maps = 0


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            words = []
            for _ in range(int(line[1:])):
                words.append(self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2].upper())
            self.wfile.write(self._answer(words))

    def _answer(self, words: list[bytes]) -> bytes:
        member: Any = self.server
        if words[:2] == [b"CLUSTER", b"SLOTS"]:
            member.maps += 1
            owner = member.owner if member.maps == 1 else "b"
            host, port = NOWHERE[owner]
            return _encoded([[0, 16383, [host.encode(), port, owner.encode() * 40]]])
        if words[0] == b"COMMAND":
            return _encoded([GET])
        if words[0] == b"GET":
            return member.redirect if member.redirect and member.maps < 2 else b"$5\r\nvalue\r\n"
        return b"+OK\r\n"


def _encoded(value: Any) -> bytes:
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(map(_encoded, value))
    return b":%d\r\n" % value if isinstance(value, int) else b"$%d\r\n%s\r\n" % (len(value), value)


@contextmanager
def redirecting_cluster(word: str) -> Iterator[dict[Address, Address]]:
    """A cluster in which `a` sends each GET on to `b`, by ASK or MOVED. What is announced, and what leads there."""
    members = {name: _Member(("127.0.0.1", 0), _Handler) for name in NOWHERE}
    members["a"].redirect = b"-%s 0 %s:%d\r\n" % (word.encode(), NOWHERE["b"][0].encode(), NOWHERE["b"][1])
    for member in members.values():
        threading.Thread(target=member.serve_forever, daemon=True).start()
    try:
        yield {NOWHERE[name]: member.server_address for name, member in members.items()}
    finally:
        for member in members.values():
            member.shutdown()
            member.server_close()
