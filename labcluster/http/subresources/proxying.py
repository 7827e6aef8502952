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
from labcluster.http.streams.lifetime import cancelled_at_shutdown
from labcluster.http.verbs.reading import namespace

_SCHEMES = ("", "http", "https")
# Hop-by-hop headers (RFC 9110, section 7.6.1); the client's credentials for the API server; and "expect", which is
# answered here: the pod might not know it, and the body would wait for ever.
_NOT_FORWARDED = {
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
    *("transfer-encoding", "upgrade", "authorization", "host", "expect", "accept-encoding"),
}
# CORS headers of a pod, which would count as the API server's own (upstream: removeCORSHeaders).
_NOT_RETURNED = {f"access-control-allow-{what}" for what in ("credentials", "headers", "methods", "origin")}
_SEGMENTS = 7  # api/v1/namespaces/<namespace>/<plural>/<name>/proxy, and then the other server's own path
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30)  # seconds


@dataclass(frozen=True)
class _Name:
    """A pod or Service in a path: [scheme:]name[:port]."""

    scheme: str
    name: str
    port: str


async def forward(call: Call) -> web.StreamResponse:
    """Forward the request, and return the response. Raises ApiError 400, 404 and 503."""
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
            cancelled_at_shutdown(call),
            aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False) as session,
            session.request(
                call.request.method,
                url,
                headers=_request_headers(call.request, prefix + path),
                data=call.request.content if call.request.body_exists else None,
                allow_redirects=False,
                ssl=False,  # as upstream: no authority known here signs the certificates of pods
            ) as response,
        ):
            return await _return_response(call.request, response, prefix)
    except aiohttp.ClientConnectorError as error:
        reason = os.strerror(error.os_error.errno).lower() if error.os_error.errno else str(error)
        raise _unavailable(f"error trying to reach service: dial tcp {host}:{port}: connect: {reason}") from error
    except aiohttp.ClientResponseError as error:  # not HTTP; the full message would quote arbitrary bytes
        why = error.message.partition(":")[0]
        raise _unavailable(f"error trying to reach service: malformed HTTP response: {why}") from error
    except aiohttp.ClientError as error:
        raise _unavailable(f"error trying to reach service: {error}") from error


async def _return_response(request: web.Request, upstream: aiohttp.ClientResponse, prefix: str) -> web.StreamResponse:
    headers = CIMultiDict((k, v) for k, v in _end_to_end(upstream.headers) if k.lower() not in _NOT_RETURNED)
    if hdrs.LOCATION in headers:
        url = upstream.url
        location = url.join(URL(headers[hdrs.LOCATION], encoded=True))
        if (location.scheme, location.host, location.port) == (url.scheme, url.host, url.port):
            headers[hdrs.LOCATION] = prefix + str(location.relative())
    response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
    await response.prepare(request)
    try:
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
    except aiohttp.ClientError:
        response.force_close()  # it has begun, and can only be cut off now
        if request.transport is not None:
            request.transport.abort()
    return response


def _encoded(path: str) -> str:
    return URL.build(path=path).raw_path


def _end_to_end(headers: MultiMapping[str]) -> Iterator[tuple[str, str]]:
    """The end-to-end headers: without the hop-by-hop ones, which include those that Connection names."""
    named = {word.strip().lower() for value in headers.getall(hdrs.CONNECTION, ()) for word in value.split(",")}
    return ((key, value) for key, value in headers.items() if key.lower() not in _NOT_FORWARDED | named)


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
    """Address and port of a pod: the port named, or the first that its containers declare."""
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
    """A random ready endpoint of a Service. Raises ApiError 404 and 503."""
    service = call.registry.get(call.resource, namespace(call), name.name)
    port_name = name.port
    if port_name.isdecimal():
        ports = service["spec"].get("ports", ())
        service_port = next((p for p in ports if p["port"] == int(port_name)), None)
        if service_port is None:
            raise _unavailable(f'no service port {int(port_name)} found for service "{name.name}"')
        port_name = service_port.get("name", "")
    endpoints = call.registry.find(ENDPOINTS, namespace(call), name.name) or {}
    choices: list[tuple[JSON, int]] = [
        (address, port["port"])
        for subset in endpoints.get("subsets", ())
        for port in subset.get("ports", ())
        if port.get("name", "") == port_name
        for address in subset.get("addresses", ())
    ]
    if not choices:
        raise _unavailable(f'no endpoints available for service "{name.name}"')
    address, port = random.choice(choices)
    return _allowed(address["ip"]), _in_range(port, name.port)


def _allowed(ip: str) -> str:
    """The address as in a URL; as upstream, none that leads to the API server's own machine (IsProxyableIP)."""
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
