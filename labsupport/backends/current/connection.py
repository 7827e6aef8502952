"""The API of a cluster for asyncio: plain requests, watches, and connections into pods by port-forward.

The official client is not asynchronous, and its own port-forward takes a thread and a socket pair for each connection.
Credentials are read by it, so everything that a kubeconfig may hold works: certificates, tokens, exec plugins.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import aiohttp
from kubernetes import client, config

V4 = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1  # the channels of the one port that is asked for
_CHUNK = 1 << 16
_LINGER = 2.0  # seconds that an answer may still take after the client has ended its side

JSON = dict[str, Any]


class Connection:
    """One cluster, as its kubeconfig says."""

    def __init__(self, kubeconfig: Path) -> None:
        self._settings = client.Configuration()
        config.load_kube_config(config_file=str(kubeconfig), client_configuration=self._settings)
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._ssl(), limit=0),
            timeout=aiohttp.ClientTimeout(total=None, connect=10),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def _ssl(self) -> ssl.SSLContext:
        settings = self._settings
        context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        if not settings.verify_ssl:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        return context

    def _options(self) -> dict[str, Any]:
        """What every request needs; the token may be renewed by this."""
        headers = {a["key"]: a["value"] for a in self._settings.auth_settings().values() if a["in"] == "header"}
        name = getattr(self._settings, "tls_server_name", None)
        return {"headers": headers, "proxy": self._settings.proxy, **({"server_hostname": name} if name else {})}

    async def get(self, path: str, **query: str) -> JSON:
        """The answer to a GET. Raises aiohttp.ClientError."""
        url = f"{self._settings.host}{path}"
        async with self._session.get(url, params=query, raise_for_status=True, **self._options()) as response:
            found: JSON = await response.json(content_type=None)
            return found

    async def watch(self, path: str, seconds: int, **query: str) -> AsyncIterator[JSON]:
        """The objects of a watch, for so many seconds. Raises aiohttp.ClientError."""
        query |= {"watch": "1", "timeoutSeconds": str(seconds)}
        url = f"{self._settings.host}{path}"
        async with self._session.get(url, params=query, raise_for_status=True, **self._options()) as response:
            async for line in response.content:
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    yield event["object"]

    async def forward(
        self, namespace: str, pod: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry a TCP connection to a port of a pod until either side ends it. Raises aiohttp.ClientError, OSError."""
        url = f"{self._settings.host}/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
        socket = await self._session.ws_connect(
            url, protocols=[V4], params={"ports": str(port)}, max_msg_size=0, **self._options()
        )
        async with socket:
            outgoing = asyncio.ensure_future(_send(reader, socket))
            incoming = asyncio.ensure_future(_receive(socket, writer))
            try:
                await asyncio.wait((outgoing, incoming), return_when=asyncio.FIRST_COMPLETED)
                if not incoming.done():  # channels have no half close: give the answer to what was sent a moment
                    await asyncio.wait((incoming,), timeout=_LINGER)
                if incoming.done():
                    incoming.result()
            finally:
                for part in (outgoing, incoming):
                    part.cancel()
                await asyncio.gather(outgoing, incoming, return_exceptions=True)


async def _send(reader: asyncio.StreamReader, socket: aiohttp.ClientWebSocketResponse) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            await socket.send_bytes(bytes([_DATA]) + data)


async def _receive(socket: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter) -> None:
    named = set()
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel not in named:  # the first message of each channel repeats the port
            named.add(channel)
        elif channel == _ERROR:
            raise ConnectionRefusedError(data.decode(errors="replace"))
        elif channel == _DATA:
            writer.write(data)
            await writer.drain()
