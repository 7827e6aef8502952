"""A name server beside the notebook: it serves zones that the learner writes, on a free port of 127.0.0.1."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

import dns.message
import dns.rcode

from labcluster.network.dns_transport import BackgroundNameServer, response_to
from labsupport.domain_names.zone import Zone


class ZoneServer:
    """Serves one or more zones over UDP and TCP, and counts the questions it was asked.

    >>> server = ZoneServer("zones/example.zone")
    >>> server.reload()
    'lab.example. serial 2026112301'
    """

    def __init__(self, *files: str | Path) -> None:
        """Read the zone files and serve them at once. Raises ZoneError, OSError."""
        self._files = [Path(file) for file in files]
        self._lock = threading.Lock()
        self._zones = [Zone.read(file) for file in self._files]
        self.questions = 0
        self._server = BackgroundNameServer(self._answer)
        self.address, self.port = self._server.address, self._server.port

    def reload(self) -> str:
        """Read the files again. A file with an error leaves the zones as they are. Raises ZoneError, OSError."""
        zones = [Zone.read(file) for file in self._files]
        with self._lock:
            self._zones = zones
        return ", ".join(f"{zone.origin} serial {zone.serial}" for zone in zones)

    def close(self) -> None:
        """Stop serving; again is harmless."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _answer(self, query: dns.message.QueryMessage, tcp: bool) -> dns.message.Message:
        name = query.question[0].name
        with self._lock:
            self.questions += 1
            ours = [zone for zone in self._zones if name.is_subdomain(zone.origin)]
        if not ours:
            return response_to(query, dns.rcode.REFUSED)
        return max(ours, key=lambda zone: len(zone.origin)).answer(query, tcp)
