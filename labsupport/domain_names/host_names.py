"""Host names that hold for this notebook only: what a line in /etc/hosts would do, without root."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

_addresses: dict[str, str] = {}


def hosts(addresses: Mapping[str, str]) -> None:
    """Let names mean these addresses in this process from now on; {} takes all of them back.

    It holds for whatever resolves names by `socket.getaddrinfo`, as redis-py and urllib3 do. What else has replaced
    that function, before or after, stays in place.

    >>> hosts({"redis-0.lab.example": "127.0.0.1"})
    """
    _addresses.clear()
    _addresses.update(addresses)
    if addresses and not isinstance(socket.getaddrinfo, _LookUp):
        socket.getaddrinfo = _LookUp(socket.getaddrinfo)
    while not addresses and isinstance(socket.getaddrinfo, _LookUp):
        socket.getaddrinfo = socket.getaddrinfo.beneath


class _LookUp:
    """A `getaddrinfo` that knows the names, over the one that it has found."""

    def __init__(self, beneath: Callable[..., Any]) -> None:
        self.beneath = beneath

    def __call__(self, host: Any, *args: Any, **kwargs: Any) -> Any:
        return self.beneath(_addresses.get(host, host) if isinstance(host, str) else host, *args, **kwargs)
