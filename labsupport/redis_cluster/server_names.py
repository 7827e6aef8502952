"""Server names for TLS: a certificate for them, and the addresses that they mean in this notebook."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import trustme


@dataclass(frozen=True)
class Certificate:
    """A server's certificate and key, and the authority that vouches for it, each as PEM text."""

    authority: str
    certificate: str
    key: str


def issue(names: Sequence[str], *, days: float = 1) -> Certificate:
    """A certificate that is valid for these names and so many days, and its authority, which signs nothing else.

    >>> issue(["redis-0.lab.example"]).certificate.splitlines()[0]
    '-----BEGIN CERTIFICATE-----'
    """
    authority = trustme.CA()
    issued = authority.issue_cert(*names, not_after=dt.datetime.now(dt.UTC) + dt.timedelta(days=days))
    parts = (authority.cert_pem, issued.cert_chain_pems[0], issued.private_key_pem)
    return Certificate(*(part.bytes().decode() for part in parts))


_addresses: dict[str, str] = {}


def hosts(addresses: Mapping[str, str]) -> None:
    """Let names mean these addresses in this process from now on, in place of those before; {} removes all.

    It does what lines in /etc/hosts would do, without root, for whatever resolves names by `socket.getaddrinfo`, as
    redis-py and urllib3 do. What else has replaced that function, before or after, stays in place.

    >>> hosts({"redis-0.lab.example": "127.0.0.1"})
    """
    _addresses.clear()
    _addresses.update(addresses)
    if addresses and not isinstance(socket.getaddrinfo, _HostsFirst):
        socket.getaddrinfo = _HostsFirst(socket.getaddrinfo)
    while not addresses and isinstance(socket.getaddrinfo, _HostsFirst):
        socket.getaddrinfo = socket.getaddrinfo.original


class _HostsFirst:
    """A `getaddrinfo` that knows the names of `hosts`, and asks the one that it replaces for all others."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self.original = original

    def __call__(self, host: Any, *args: Any, **kwargs: Any) -> Any:
        return self.original(_addresses.get(host, host) if isinstance(host, str) else host, *args, **kwargs)
