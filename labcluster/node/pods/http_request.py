"""HTTP GET and TCP connect as probes and lifecycle hooks make them: one request, the beginning of the body only."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

from labcluster import settings

MAX_BODY = 10 * 1024  # bytes that are kept, as upstream's probe does (util/io ReadAtMost)
USER_AGENT = "kube-probe/" + ".".join(settings.KUBERNETES_VERSION.lstrip("v").split(".")[:2])


@dataclass(frozen=True)
class Request:
    """Where to send a GET."""

    host: str
    port: int
    path: str = "/"
    https: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The URL as Go prints it."""
        return f"{'https' if self.https else 'http'}://{self.host}:{self.port}{self.path}"


class ConnectError(Exception):
    """No connection or no response; the text is that of Go's net package."""


async def connect(host: str, port: int, context: ssl.SSLContext | None = None) -> asyncio.StreamWriter:
    """Open a TCP connection to see that it can be opened. Raises ConnectError."""
    return (await _open(host, port, context))[1]


async def get(request: Request) -> tuple[int, bytes]:
    """The status code and the beginning of the body. Raises ConnectError; the caller bounds the time."""
    reader, writer = await _open(request.host, request.port, _insecure() if request.https else None)
    try:
        headers = {"Host": f"{request.host}:{request.port}", "User-Agent": USER_AGENT, "Accept": "*/*"}
        headers |= {**request.headers, "Connection": "close"}
        path = request.path if request.path.startswith("/") else f"/{request.path}"
        head = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
        writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        line = await reader.readline()
        parts = line.split(None, 2)
        if not line:
            raise ConnectError("EOF")
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit():
            raise ConnectError(f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{line!r}"')
        while (await reader.readline()).strip():
            pass
        return int(parts[1]), await reader.read(MAX_BODY)
    except (OSError, ValueError, ssl.SSLError) as error:
        raise ConnectError(f"read: {_go_text(error)}") from error
    finally:
        writer.close()


async def _open(
    host: str, port: int, context: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_connection(host, port, ssl=context)
    except OSError as error:
        raise ConnectError(f"dial tcp {host}:{port}: {_go_text(error)}") from error


def _go_text(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connect: connection refused"
    if isinstance(error, ConnectionResetError):
        return "connection reset by peer"
    text = (getattr(error, "strerror", "") or str(error)).lower()
    return f"connect: {text}" if isinstance(error, OSError) else text


def _insecure() -> ssl.SSLContext:
    """TLS without verification, as probes do it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
