"""The cluster's listeners on the host: bound before the daemon enters a network namespace of its own.

A host port equals the port it stands for when that is free. Otherwise the whole block moves by one offset,
so that two labs run side by side. The ports are kept in ports.json and used again at the next start.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labcluster.launch.errors import no_free_ports, port_taken

LOOPBACK = "127.0.0.1"
RECORD = "ports.json"
_STEP = 100
_HIGHEST = 32767  # ports above are handed out by the kernel to outgoing connections
_LOWEST = 20000


@dataclass(frozen=True)
class Ports:
    """The ports on 127.0.0.1 of one lab."""

    api: int
    dns: int
    node_ports: dict[int, int]  # NodePort -> port on the host

    def to_json(self) -> dict[str, Any]:
        """As it is written to ports.json."""
        return {"api": self.api, "dns": self.dns, "nodePorts": {str(k): v for k, v in self.node_ports.items()}}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Ports:
        """The reverse of to_json. Raises KeyError or ValueError on anything else."""
        return cls(int(data["api"]), int(data["dns"]), {int(k): int(v) for k, v in data["nodePorts"].items()})


@dataclass
class HostSockets:
    """The bound sockets. The API's and DNS' TCP sockets listen already, so that clients wait instead of failing."""

    api: socket.socket | None = None
    dns: tuple[socket.socket, socket.socket] | None = None  # TCP, UDP
    node_ports: dict[int, tuple[socket.socket, socket.socket]] = field(default_factory=dict)

    def all(self) -> list[socket.socket]:
        """Every socket."""
        first = [self.api] if self.api else []
        return first + [s for pair in ([self.dns] if self.dns else []) + list(self.node_ports.values()) for s in pair]

    def close(self) -> None:
        """Close this process' copies."""
        for sock in self.all():
            sock.close()

    def descriptors(self) -> dict[str, Any]:
        """The descriptors as the daemon gets them (see inherited.py)."""
        assert self.api and self.dns
        return {
            "api": self.api.fileno(),
            "dns": [s.fileno() for s in self.dns],
            "nodePorts": {str(port): [s.fileno() for s in pair] for port, pair in self.node_ports.items()},
        }


def _bind_tcp(port: int, *, listen: bool) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Without it, connections of the last run that linger in TIME_WAIT would block the port for a minute.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((LOOPBACK, port))
        if listen:
            sock.listen(128)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_pair(port: int, *, listen: bool) -> tuple[socket.socket, socket.socket]:
    """TCP and UDP on one port. The UDP socket is exclusive and so keeps other labs off the TCP port, which
    a bound socket that does not listen would not do (SO_REUSEADDR in socket(7))."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.bind((LOOPBACK, port))
        udp.setblocking(False)
        if not listen:  # does a program listen there? Only listen() tells.
            _bind_tcp(port, listen=True).close()
        return _bind_tcp(port, listen=listen), udp
    except BaseException:
        udp.close()
        raise


class _Taken(Exception):
    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.port = port


def _bind(ports: Ports) -> HostSockets:
    bound = HostSockets()
    port = ports.api
    try:
        bound.api = _bind_tcp(port, listen=True)
        port = ports.dns
        bound.dns = _bind_pair(port, listen=True)
        for node_port, port in ports.node_ports.items():
            bound.node_ports[node_port] = _bind_pair(port, listen=False)
    except OSError as e:
        bound.close()
        raise _Taken(port) from e
    return bound


def _free_api_port(preferred: int) -> int:
    for port in (preferred, 0):
        try:
            with _bind_tcp(port, listen=True) as sock:
                return int(sock.getsockname()[1])
        except OSError:
            continue
    raise no_free_ports(1)


def _offsets(lowest: int, highest: int) -> list[int]:
    upwards = range(0, _HIGHEST - highest + 1, _STEP)
    downwards = range(-_STEP, _LOWEST - lowest, -_STEP)
    return [*upwards, *downwards]


def bind_host_sockets(
    state_dir: Path, *, api_port: int, dns_node_port: int, node_ports: Sequence[int]
) -> tuple[Ports, HostSockets]:
    """Bind the lab's sockets on 127.0.0.1: at the ports of the last start, or at the first start near the wanted ones.

    Raises LaunchError when a port of the last start is taken, or nothing is free; OSError when ports.json
    cannot be written.
    """
    record = state_dir / RECORD
    known = read_ports(state_dir)
    if known and set(known.node_ports) == set(node_ports):
        try:
            return known, _bind(known)
        except _Taken as e:
            raise port_taken(e.port, record) from e
    wanted = [*node_ports, dns_node_port]
    for offset in _offsets(min(wanted), max(wanted)):
        api = known.api if known else _free_api_port(api_port)
        ports = Ports(api, dns_node_port + offset, {p: p + offset for p in node_ports})
        try:
            sockets = _bind(ports)
        except _Taken as e:
            if known and e.port == known.api:
                raise port_taken(e.port, record) from e
            continue
        scratch = record.with_suffix(".new")
        try:
            scratch.write_text(json.dumps(ports.to_json(), indent=1) + "\n")
            os.replace(scratch, record)
        except BaseException:
            sockets.close()
            raise
        return ports, sockets
    raise no_free_ports(len(wanted))


def taken(ports: Ports) -> int | None:
    """The first of these ports that another program has, or None."""
    try:
        _bind(ports).close()
    except _Taken as e:
        return e.port
    return None


def read_ports(state_dir: Path) -> Ports | None:
    """The ports of the lab in `state_dir`, or None when it was never started."""
    try:
        return Ports.from_json(json.loads((state_dir / RECORD).read_text()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
