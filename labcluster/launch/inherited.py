"""What the daemon inherits from control.py: sockets of the host's network, a pipe to report on, the start's lock."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from dataclasses import dataclass
from typing import Any


class Report:
    """Reports the progress of the start to the command that waits for it: JSON lines on a pipe.

    Ends with `ready`, which releases the lock of the start, or with `failed`. What is reported afterwards, or when
    nobody reads any more, is dropped.
    """

    def __init__(self, descriptor: int | None, lock: int | None = None) -> None:
        self._descriptor = descriptor
        self._lock = lock

    def progress(self, text: str) -> None:
        """A line for the user who waits, for example "nodes are ready"."""
        self._send({"progress": text})

    def ready(self, **facts: Any) -> None:
        """The cluster answers. `facts` reach the caller of launch.start as Launched.facts."""
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # also for the command that waits, which shares it
            os.close(self._lock)
            self._lock = None
        self._send({"ready": facts}, last=True)

    def failed(self, message: str, remedy: str = "") -> None:
        """The cluster cannot start; becomes the caller's LaunchError."""
        self._send({"failed": {"message": message, "remedy": remedy}}, last=True)

    def _send(self, line: dict[str, Any], *, last: bool = False) -> None:
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, json.dumps(line).encode() + b"\n")
        except OSError:
            last = True
        if last:
            os.close(self._descriptor)
            self._descriptor = None


@dataclass
class Inherited:
    """The daemon's share of the host's network. Sockets do not block and are bound to 127.0.0.1."""

    api: socket.socket  # listens already
    dns_tcp: socket.socket  # listens already
    dns_udp: socket.socket
    node_ports: dict[int, tuple[socket.socket, socket.socket]]  # NodePort -> TCP (bound, does not listen), UDP
    report: Report


def from_sockets_argument(text: str) -> Inherited:
    """Turn the daemon's --sockets argument (JSON with descriptor numbers, made by launch/control.py) into sockets.

    None of the descriptors is passed on to the daemon's own children.
    """
    data = json.loads(text)
    report, lock = data.get("report"), data.get("lock")
    for descriptor in (report, lock):
        if descriptor is not None:
            os.set_inheritable(descriptor, False)
    node_ports = {int(port): (_socket(tcp), _socket(udp)) for port, (tcp, udp) in data["nodePorts"].items()}
    dns_tcp, dns_udp = data["dns"]
    return Inherited(
        api=_socket(data["api"]),
        dns_tcp=_socket(dns_tcp),
        dns_udp=_socket(dns_udp),
        node_ports=node_ports,
        report=Report(report, lock),
    )


def _socket(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return sock
