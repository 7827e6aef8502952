"""An API server of one list, on loopback, that fails as it is told: it cuts, forgets, refuses, and goes away."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kubernetes import client

SECONDS = 30.0  # the longest that a test waits for anything


class FakeApi:
    """Serves its objects at every path: whole, and as a watch that begins at any version it has not forgotten."""

    def __init__(self, kind: str = "Pod") -> None:
        self.kind = kind
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []  # path and query of each
        self.refuse = 0  # the code with which every request is refused
        self.gone_in_stream = False  # how a version that is forgotten is told: in the stream, or by the HTTP status
        self.brief = False  # whether every watch ends as soon as it begins
        self.opened = 0  # watches that were begun
        self._history: list[tuple[int, str, dict[str, Any]]] = []
        self._version, self._oldest, self._held = 1, 0, 0
        self._cut_next = False
        self._changed = threading.Condition()
        self._connections: set[socket.socket] = set()
        self._server = self._listen(0)
        self.port = self._server.server_address[1]

    def connection(self) -> client.ApiClient:
        """The official client, connected to this."""
        return client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{self.port}"))

    def put(self, name: str, *, uid: str = "", **fields: Any) -> None:
        """Make an object, or change it."""
        with self._changed:
            event = "MODIFIED" if name in self.objects else "ADDED"
            metadata = {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": self._next()}
            obj = {"apiVersion": "v1", "kind": self.kind, "metadata": metadata, "spec": {}, **fields}
            self.objects[name] = obj
            self._tell(event, obj)

    def remove(self, name: str) -> None:
        """Delete an object."""
        with self._changed:
            obj = self.objects.pop(name)
            self._tell("DELETED", {**obj, "metadata": {**obj["metadata"], "resourceVersion": self._next()}})

    def forget(self) -> None:
        """Forget the versions until now: a watch from one of them is refused with 410."""
        with self._changed:
            self._next()
            self._oldest = self._version

    def hold(self, more: int = 0) -> None:
        """Let the watches that are open, and so many `more`, bring nothing; later ones do."""
        with self._changed:
            self._held = self.opened + more

    def cut(self) -> None:
        """Break all connections."""
        with self._changed:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._connections.clear()
            self._changed.notify_all()

    def cut_in_the_next_line(self) -> None:
        """Break a connection when half of the next change is sent."""
        self._cut_next = True

    def go_away(self) -> None:
        """Close the port, and break all connections."""
        self._server.shutdown()
        self._server.server_close()
        self.cut()

    def come_back(self) -> None:
        """Open the port again."""
        self._server = self._listen(self.port)

    def await_watches(self, count: int) -> None:
        """Wait until so many watches have been begun in all."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.opened >= count, SECONDS), f"{self.opened} watches"

    def await_requests(self, count: int) -> None:
        """Wait until there have been so many requests in all."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests) >= count, SECONDS), f"{len(self.requests)}"

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    def _tell(self, event: str, obj: dict[str, Any]) -> None:
        self._history.append((self._version, event, obj))
        self._changed.notify_all()

    def _listen(self, port: int) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with fake._changed:
                    fake._connections.add(self.connection)

            def log_message(self, *_: Any) -> None: ...

            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    fake._answer(self)

        return Handler

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        query = dict(parse_qsl(url.query))
        with self._changed:
            self.requests.append((url.path, query))
            self._changed.notify_all()
            plain = ("kind", "apiVersion")  # a server lists objects without them
            listed = {
                "apiVersion": "v1",
                "kind": f"{self.kind}List",
                "metadata": {"resourceVersion": str(self._version)},
                "items": [{k: v for k, v in obj.items() if k not in plain} for obj in self.objects.values()],
            }
            too_old = "watch" in query and int(query["resourceVersion"]) < self._oldest
        if self.refuse:
            self._reply(handler, self.refuse, status(self.refuse, "Refused", "not for you"))
        elif "watch" not in query:
            self._reply(handler, 200, listed)
        elif too_old and not self.gone_in_stream:
            self._reply(handler, 410, status(410, "Expired", "too old resource version"))
        else:
            self._watch(handler, query, too_old)

    def _reply(self, handler: BaseHTTPRequestHandler, code: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        handler.send_response(code)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def _watch(self, handler: BaseHTTPRequestHandler, query: dict[str, str], too_old: bool) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        deadline, after = time.monotonic() + float(query["timeoutSeconds"]), int(query["resourceVersion"])
        with self._changed:
            self.opened += 1
            number = self.opened
            self._changed.notify_all()
        if too_old:
            _chunk(handler, {"type": "ERROR", "object": status(410, "Expired", "too old resource version")})
        while not too_old and not self.brief and (left := deadline - time.monotonic()) > 0:
            with self._changed:
                new = [] if number <= self._held else [entry for entry in self._history if entry[0] > after]
                if not new:
                    self._changed.wait(left)
                if handler.connection not in self._connections:
                    return
            for version, event, obj in new:
                if self._cut_next:
                    self._cut_next = False
                    _chunk(handler, {"type": event, "object": obj}, half=True)
                    self.cut()
                    return
                _chunk(handler, {"type": event, "object": obj})
                after = version
        handler.wfile.write(b"0\r\n\r\n")


def _chunk(handler: BaseHTTPRequestHandler, event: dict[str, Any], *, half: bool = False) -> None:
    """A line in two chunks, or the first of them only."""
    line = json.dumps(event).encode() + b"\n"
    for part in (line[:10],) if half else (line[:10], line[10:]):
        handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    handler.wfile.flush()


def status(code: int, reason: str, message: str) -> dict[str, Any]:
    """A Status as the API has it."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }
