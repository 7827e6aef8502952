"""A proxy in front of the API that notes what a client asks for, and may answer some of it in the server's place."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes

from tests.facts.api_port import ApiPort
from tests.running_lab import BIN, SECONDS, kubectl_environment


@dataclass(frozen=True)
class Request:
    """What a client has sent."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]  # by name in lower case
    body: bytes

    @property
    def content_type(self) -> str:
        """The body's media type."""
        return self.headers.get("content-type", "").partition(";")[0]


# What is answered instead of the server, as (code, reason of the Status); None: the server answers.
Instead = Callable[[Request], tuple[int, str] | None]
Change = Callable[[str], str]


class ListeningProxy:
    """Plain HTTP on loopback in front of the API; `requests` holds all that came."""

    def __init__(self, api: ApiPort, instead: Instead, change: Change) -> None:
        self.requests: list[Request] = []
        self._news = threading.Condition()
        listening = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                asked = Request(
                    self.command,
                    parts.path,
                    parse_qs(parts.query),
                    {k.lower(): v for k, v in self.headers.items()},
                    self.rfile.read(length),
                )
                with listening._news:
                    listening.requests.append(asked)
                    listening._news.notify_all()
                if "upgrade" in asked.headers:
                    self._splice()
                    return
                if refusal := instead(asked):
                    code, reason = refusal
                    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
                    self._begin(code, "application/json")
                    self._end_with(json.dumps(status).encode())
                    return
                kept = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "accept-encoding")}
                answer = api.pool.request(
                    self.command, api.url + change(self.path), body=asked.body, headers=kept, preload_content=False
                )
                self._begin(answer.status, answer.headers["Content-Type"])
                with contextlib.suppress(ConnectionError):  # the client has seen enough
                    for piece in answer.read_chunked() if answer.chunked else [answer.read()]:
                        self._send(piece)
                    self._end_with(b"")
                answer.close()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

            def _splice(self) -> None:
                """Hand the upgrade on as it came, and carry bytes both ways until one side has gone."""
                self.close_connection = True
                host, port = urlsplit(api.url).netloc.split(":")
                server = api.ssl.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host)
                lines = [self.requestline, *(f"{name}: {value}" for name, value in self.headers.items()), "", ""]
                server.sendall("\r\n".join(lines).encode())
                back = threading.Thread(target=_carry, args=(server, self.connection), daemon=True)
                back.start()
                _carry(self.connection, server)
                back.join()

            def _begin(self, code: int, content_type: str) -> None:
                self.send_response(code)
                self.send_header("Content-Type", content_type)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()

            def _send(self, piece: bytes) -> None:
                if piece:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

            def _end_with(self, piece: bytes) -> None:
                self._send(piece)
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl against the proxy; the caller looks at the exit code."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    def command(self, *arguments: str) -> list[str]:
        """The words of a kubectl command against the proxy."""
        return [str(BIN / "kubectl"), "--server", self.url, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """kubectl's: it asks anew each time."""
        return kubectl_environment(os.devnull, os.devnull)

    def python_client(self) -> kubernetes.client.ApiClient:
        """The official Python client against the proxy."""
        return kubernetes.client.ApiClient(kubernetes.client.Configuration(host=self.url))

    def wait_for(self, wanted: Callable[[Request], bool]) -> Request:
        """The first request that is wanted, once it has come."""
        with self._news:
            found = self._news.wait_for(lambda: next(filter(wanted, self.requests), None), SECONDS)
        assert found, [(r.method, r.path, r.query) for r in self.requests]
        return found

    def asked(self, method: str, path: str) -> list[Request]:
        """The requests with that method whose path ends so."""
        return [r for r in self.requests if r.method == method and r.path.endswith(path)]


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def listening(
    api: ApiPort, instead: Instead = lambda _: None, change: Change = lambda path: path
) -> Iterator[ListeningProxy]:
    """A proxy for as long as the block lasts; `change` rewrites the path and query that the server gets."""
    proxy = ListeningProxy(api, instead, change)
    try:
        yield proxy
    finally:
        proxy.close()
