"""A small global server load balancer: it tests its sites, and its zone names only those that answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from labsupport import paths
from labsupport.domain_names.zone_server import ZoneServer

Address = tuple[str, int]
_HEAD = (
    "$ORIGIN {origin}\n$TTL {ttl}\n@ IN SOA ns1 admin {serial} 3600 600 86400 {ttl}\n@ IN NS ns1\nns1 IN A 127.0.0.1\n"
)


class Balancer:
    """Serves one name whose SRV records are the sites in good health, the first site of them only.

    >>> with Balancer({"a": ("127.0.0.1", 30020), "b": ("127.0.0.1", 30021)}, ttl=5) as balancer:
    ...     balancer.answer
    'a'
    """

    name = "_redis._tcp.shop.example."

    def __init__(
        self,
        sites: Mapping[str, Address],
        *,
        ttl: int,
        interval: float = 1.0,
        test: Callable[[Address], bool] | None = None,
    ) -> None:
        """Serve at once, and test each site every `interval` seconds; 0 tests only when `examine` is called.

        `ttl` is in seconds. `test` says whether a site answers; by default whether a Redis server there says PONG.
        """
        self._sites = dict(sites)
        self._ttl = ttl
        self._test = test or answers
        self._serial = 0
        self.answer = ""
        folder = paths.state_dir() / "zones"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file: Path = folder / "gslb.zone"
        self._write(next(iter(self._sites)))
        self._server = ZoneServer(self._file)
        self.address: Address = (self._server.address, self._server.port)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(interval,), name="gslb", daemon=True)
        if interval:
            self._thread.start()

    def examine(self) -> str:
        """Test the sites now; returns the one that is named from now on ("" when none answers)."""
        healthy = next((name for name, address in self._sites.items() if self._test(address)), "")
        if healthy != self.answer:
            self._write(healthy)
            self._server.reload()
        return healthy

    def close(self) -> None:
        """Stop testing and serving."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self, interval: float) -> None:
        while not self._stopping.wait(interval):
            self.examine()

    def _write(self, site: str) -> None:
        self._serial += 1
        text = _HEAD.format(origin="shop.example.", ttl=self._ttl, serial=self._serial)
        for name in self._sites:
            text += f"{name} IN A {self._sites[name][0]}\n"
        if site:
            text += f"_redis._tcp IN SRV 10 100 {self._sites[site][1]} {site}\n"
        self._file.write_text(text)
        self.answer = site


def answers(address: Address, timeout: float = 0.5) -> bool:
    """Whether a Redis server at that address says PONG within so many seconds."""
    try:
        with socket.create_connection(address, timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
    except OSError:
        return False
