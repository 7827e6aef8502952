"""TCP connections that begin in a pod: the notebook's bytes go in by exec, and bash carries them to an address.

The notebook cannot reach the addresses of pods; a pod can. So this shows what a client inside the cluster sees, on
every cluster on which a command can be run in a pod.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, Self

from labsupport.cluster import pods
from labsupport.redis_cluster import wire_format
from labsupport.redis_cluster.redirects import Unreachable

# A byte says that the connection has come about. When the other side ends it, so does the program, and when this
# side does, it says QUIT, so that the other side ends it.
_SCRIPT = """exec 3<>/dev/tcp/$0/$1 && printf + || exit 1
exec 4<&0; cat <&4 >&3 & cat <&3; kill $!; wait"""


class Connections:
    """Connections from one pod to any number of nodes, one for each; a node is "host:port".

    Called with a node and a command, it sends the command and returns the reply as a value. For one thread only.

    >>> send = Connections("client")
    >>> send("10.244.1.3:6379", "PING")
    'PONG'
    """

    def __init__(self, pod: str, *, timeout: float = 5) -> None:
        """`timeout` is in seconds, for a connection to come about and for each answer."""
        self.pod = pod
        self.timeout = timeout
        self._open: dict[str, Any] = {}

    def __call__(self, node: str, *command: str | int) -> Any:
        """The reply to a command. Raises Unreachable."""
        return wire_format.decode(self.exchange(node, wire_format.encode(*command)))[0]

    def exchange(self, node: str, data: bytes) -> bytes:
        r"""Send bytes to a node and return the bytes of one reply, as they came. Raises Unreachable.

        >>> Connections("client").exchange("10.244.1.3:6379", b"PING\r\n")
        b'+PONG\r\n'
        """
        channel = self._alive(node) or self._connect(node)
        try:
            channel.write_stdin(data)
            return self._read_reply(node, channel)
        except (OSError, Unreachable) as error:
            self._drop(node)
            raise Unreachable(f"{node} has ended the connection or does not answer ({error})") from error

    def close(self) -> None:
        """End all connections."""
        for channel in self._open.values():
            with contextlib.suppress(Exception):
                channel.write_stdin(wire_format.encode("QUIT"))
                channel.run_forever(timeout=self.timeout)
                channel.close()
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _alive(self, node: str) -> Any:
        """The connection to that node, unless it has ended since it was last used."""
        channel = self._open.get(node)
        if channel is not None:
            channel.update(timeout=0)
            if not channel.is_open():
                self._drop(node)
        return self._open.get(node)

    def _connect(self, node: str) -> Any:
        host, _, port = node.rpartition(":")
        channel = pods.open_exec(self.pod, ["bash", "-c", _SCRIPT, host, port], stdin=True, binary=True)
        self._open[node] = channel
        try:
            greeting = self._read(channel, time.monotonic() + self.timeout)
        except Unreachable as error:
            self._drop(node)
            raise Unreachable(f"no connection from pod {self.pod} to {node}: {error}") from error
        if greeting != b"+":
            raise RuntimeError(f"expected the sign of a connection to {node}, found {greeting!r}")
        return channel

    def _read_reply(self, node: str, channel: Any) -> bytes:
        data, deadline = b"", time.monotonic() + self.timeout
        while True:
            data += self._read(channel, deadline)
            with contextlib.suppress(wire_format.Incomplete):
                wire_format.decode(data)
                return data

    def _read(self, channel: Any, deadline: float) -> bytes:
        """What has come on stdout, waiting for it. Raises Unreachable at the end of the program or the deadline."""
        while not (data := channel.read_channel(1)):
            if not channel.is_open():
                stderr = channel.read_channel(2).decode(errors="replace").strip()
                raise Unreachable(stderr.rpartition(": ")[2] or "the connection has ended")
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unreachable(f"nothing came for {self.timeout:g} s")
            channel.update(timeout=left)
        return bytes(data)

    def _drop(self, node: str) -> None:
        channel = self._open.pop(node, None)
        if channel is not None:
            with contextlib.suppress(Exception):
                channel.close()
