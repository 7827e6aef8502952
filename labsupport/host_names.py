"""Host names that hold for this notebook only: what a line in /etc/hosts would do, without root."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

_resolve = socket.getaddrinfo
_addresses: dict[str, str] = {}


def hosts(addresses: Mapping[str, str]) -> None:
    """Let names mean these addresses in this process from now on; {} takes all of them back.

    It holds for whatever resolves names by `socket.getaddrinfo`, as redis-py and urllib3 do.

    >>> hosts({"redis-0.lab.example": "127.0.0.1"})
    """
    _addresses.clear()
    _addresses.update(addresses)
    socket.getaddrinfo = _look_up if addresses else _resolve


def _look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
    return _resolve(_addresses.get(host, host) if isinstance(host, str) else host, *args, **kwargs)
