"""The API server as a proxy: HTTP requests to a pod or a Service, below .../proxy/.

Upstream: apimachinery pkg/util/proxy (upgradeaware.go, transport.go); registry/core/pod/strategy.go and
registry/core/service/storage/storage.go (ResourceLocation); util/net/port_split.go. Links in HTML are left as they
are, and a WebSocket is not carried on.
"""

from __future__ import annotations

import ipaddress
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict, MultiMapping
from yarl import URL

from labcluster.api.errors import ApiError, bad_request
from labcluster.api.objects import JSON
from labcluster.api.resources import ENDPOINTS, PODS
from labcluster.http.call import Call
from labcluster.http.streams.websocket import stopped_with_the_server
from labcluster.http.verbs.reading import namespace

_SCHEMES = ("", "http", "https")
# RFC 9110, section 7.6.1; what told the API server who asks, which is nobody else's business; and "expect", which is
# answered here: the pod might not know it, and the body would wait for ever.
_NOT_PASSED_ON = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
    *("transfer-encoding", "upgrade", "authorization", "host", "expect", "accept-encoding"),
}
# Who may read an answer in a browser is the API server's to say, and it says nobody (upstream: removeCORSHeaders).
_NOT_PASSED_BACK = {f"access-control-allow-{what}" for what in ("credentials", "headers", "methods", "origin")}
_SEGMENTS = 7  # api/v1/namespaces/<namespace>/<plural>/<name>/proxy, and then the other server's own path
_PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=30)  # seconds


@dataclass(frozen=True)
class _Name:
    """What a path names: [scheme:]name[:port]."""

    scheme: str
    name: str
    port: str


async def forward(call: Call) -> web.StreamResponse:
    """Pass the request on, and the answer back. Raises ApiError 400, 404 and 503."""
    raw, _, query = call.request.raw_path.partition("?")
    parts = unquote(raw).lstrip("/").split("/", _SEGMENTS)  # decoded once, as upstream: %2F divides the path, too
    prefix, path = _encoded("/" + "/".join(parts[:_SEGMENTS])), _encoded("/".join(["", *parts[_SEGMENTS:]]))
    if not path and call.request.method in ("GET", "HEAD"):
        return web.Response(status=301, headers={hdrs.LOCATION: f"{prefix}/{'?' + query if query else ''}"})
    name = _parsed(call)
    host, port = _pod(call, name) if call.resource == PODS else _service(call, name)
    url = URL(f"{name.scheme or 'http'}://{host}:{port}{path or '/'}{'?' + query if query else ''}", encoded=True)
    try:
        async with (
            stopped_with_the_server(call),
            aiohttp.ClientSession(timeout=_PATIENCE, auto_decompress=False) as session,
            session.request(
                call.request.method,
                url,
                headers=_request_headers(call.request, prefix + path),
                data=call.request.content if call.request.body_exists else None,
                allow_redirects=False,
                ssl=False,  # as upstream: a pod's certificate is nobody's that could be asked
            ) as answer,
        ):
            return await _pass_back(call.request, answer, prefix)
    except aiohttp.ClientConnectorError as error:
        reason = os.strerror(error.os_error.errno).lower() if error.os_error.errno else str(error)
        raise _unavailable(f"error trying to reach service: dial tcp {host}:{port}: connect: {reason}") from error
    except aiohttp.ClientResponseError as error:  # what came is no answer; its bytes may be many, and anything
        why = error.message.partition(":")[0]
        raise _unavailable(f"error trying to reach service: malformed HTTP response: {why}") from error
    except aiohttp.ClientError as error:
        raise _unavailable(f"error trying to reach service: {error}") from error


async def _pass_back(request: web.Request, answer: aiohttp.ClientResponse, prefix: str) -> web.StreamResponse:
    headers = CIMultiDict((k, v) for k, v in _end_to_end(answer.headers) if k.lower() not in _NOT_PASSED_BACK)
    if hdrs.LOCATION in headers:
        location = answer.url.join(URL(headers[hdrs.LOCATION], encoded=True))
        if (location.scheme, location.host, location.port) == (answer.url.scheme, answer.url.host, answer.url.port):
            headers[hdrs.LOCATION] = prefix + str(location.relative())
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    await response.prepare(request)
    try:
        async for piece in answer.content.iter_any():
            await response.write(piece)
    except aiohttp.ClientError:
        response.force_close()  # the answer has begun: that it breaks off is all that can be told
        if request.transport is not None:
            request.transport.abort()
    return response


def _encoded(path: str) -> str:
    return URL.build(path=path).raw_path


def _end_to_end(headers: MultiMapping[str]) -> Iterator[tuple[str, str]]:
    """The headers that are not about one connection, as those are that Connection names."""
    named = {word.strip().lower() for value in headers.getall(hdrs.CONNECTION, ()) for word in value.split(",")}
    return ((key, value) for key, value in headers.items() if key.lower() not in _NOT_PASSED_ON | named)


def _request_headers(request: web.Request, path: str) -> CIMultiDict[str]:
    headers = CIMultiDict(_end_to_end(request.headers))
    if encoding := request.headers.get(hdrs.ACCEPT_ENCODING):
        headers[hdrs.ACCEPT_ENCODING] = encoding
    else:
        headers[hdrs.ACCEPT_ENCODING] = "identity"  # aiohttp would ask for more than the client can read
    headers.update({"X-Forwarded-Uri": path, "X-Forwarded-Host": request.host, "X-Forwarded-Proto": request.scheme})
    if request.remote:
        headers.add("X-Forwarded-For", request.remote)
    return headers


def _parsed(call: Call) -> _Name:
    """Raises ApiError 400."""
    parts = call.target.name.split(":")
    match parts:
        case [name]:
            parsed = _Name("", name, "")
        case [name, port]:
            parsed = _Name("", name, port)
        case [scheme, name, port] if scheme in _SCHEMES:
            parsed = _Name(scheme, name, port)
        case _:
            parsed = _Name("", "", "")
    if not parsed.name:
        raise bad_request(f'invalid {call.resource.kind.lower()} request "{call.target.name}"')
    return parsed


def _pod(call: Call, name: _Name) -> tuple[str, int]:
    """Where a pod listens: on the port named, or the first that its containers declare."""
    pod = call.registry.get(PODS, namespace(call), name.name)
    declared = [p for c in pod["spec"]["containers"] for p in c.get("ports", ())]
    if not name.port:
        port = declared[0]["containerPort"] if declared else 80
    elif name.port.isdecimal():
        port = int(name.port)
    else:
        port = next((p["containerPort"] for p in declared if p.get("name") == name.port), 0)
    return _allowed(pod.get("status", {}).get("podIP", "")), _in_range(port, name.port)


def _service(call: Call, name: _Name) -> tuple[str, int]:
    """One of the ready endpoints of a Service, by chance. Raises ApiError 404 and 503."""
    service = call.registry.get(call.resource, namespace(call), name.name)
    wanted = name.port
    if wanted.isdecimal():
        ports = service["spec"].get("ports", ())
        found = next((p for p in ports if p["port"] == int(wanted)), None)
        if found is None:
            raise _unavailable(f'no service port {int(wanted)} found for service "{name.name}"')
        wanted = found.get("name", "")
    endpoints = call.registry.find(ENDPOINTS, namespace(call), name.name) or {}
    choices: list[tuple[JSON, int]] = [
        (address, port["port"])
        for subset in endpoints.get("subsets", ())
        for port in subset.get("ports", ())
        if port.get("name", "") == wanted
        for address in subset.get("addresses", ())
    ]
    if not choices:
        raise _unavailable(f'no endpoints available for service "{name.name}"')
    address, port = random.choice(choices)
    return _allowed(address["ip"]), _in_range(port, name.port)


def _allowed(ip: str) -> str:
    """The address in a URL; as upstream, none that leads back to the API server's own machine (IsProxyableIP)."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        raise bad_request("address not allowed: the pod has none" if not ip else "invalid IP address") from None
    if not address.is_private and not address.is_global:
        raise bad_request("address not allowed")
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        raise bad_request("address not allowed")
    return f"[{address}]" if address.version == 6 else str(address)


def _in_range(port: int, name: str) -> int:
    if not 1 <= port <= 65535:
        raise bad_request(f'"{name}" is no port of it')
    return port


def _unavailable(message: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", message)
