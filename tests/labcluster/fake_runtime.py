"""A runtime without processes: containers that run until a test ends them, and remember what was asked of them."""

from __future__ import annotations

import asyncio
import datetime as dt
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from labcluster.node.images.image_table import ImageNotFound
from labcluster.node.spec import ContainerSpec, ExitStatus, Image, StartError
from labcluster.settings import NODES


def resolve(name: str) -> Image:
    """Every image exists, but those called missing."""
    if name.startswith("missing"):
        raise ImageNotFound(f'failed to resolve reference "docker.io/library/{name}": not found')
    return Image(f"docker.io/library/{name}", entrypoint=("/entry",), command=("serve",), env={"PATH": "/bin"})


class FakeSession:
    """A command that has ended."""

    def __init__(self, code: int, output: bytes) -> None:
        self._code, self._output = code, output

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        if self._output:
            yield 1, self._output

    async def wait(self) -> int:
        return self._code

    async def close(self) -> None:
        pass


class FakeContainer:
    """A container that ends when a signal ends it, or the test does."""

    def __init__(self, spec: ContainerSpec, runtime: FakeRuntime) -> None:
        self.spec = spec
        self.id = f"{len(runtime.containers):064x}"
        self.started_at = dt.datetime.now(dt.UTC)
        self.pid = 1000 + len(runtime.containers)
        self.signals: list[int] = []
        self.commands: list[list[str]] = []
        self.target: FakeContainer | None = None
        self._runtime = runtime
        self._ended: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> bool:
        return not self._ended.done()

    def end(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(ExitStatus(code, max(code - 128, 0), dt.datetime.now(dt.UTC)))

    async def wait(self) -> ExitStatus:
        return await asyncio.shield(self._ended)

    def signal(self, number: int) -> None:
        self.signals.append(number)
        if number == signal.SIGKILL:
            self.end(137)
        elif self.spec.name not in self._runtime.stubborn:
            self.end(self._runtime.exit_on_term)

    async def exec(self, argv: Sequence[str], *, stdin: bool = False, tty: bool = False) -> Any:
        self.commands.append(list(argv))
        code, output = await self._runtime.on_exec(self, list(argv))
        return FakeSession(code, output)

    def attach(self, *, stdin: bool = False) -> Any:
        return FakeSession(0, b"live " + self.spec.name.encode())


class FakeSandbox:
    def __init__(self, ip: str, hostname: str, *, share_processes: bool) -> None:
        self.ip, self.hostname, self.share_processes = ip, hostname, share_processes
        self.stopped = False


class FakeRuntime:
    """Stands in for labcluster.node.runtime.Runtime."""

    def __init__(self) -> None:
        self.containers: list[FakeContainer] = []
        self.sandboxes: list[FakeSandbox] = []
        self.stubborn: set[str] = set()  # names of containers that ignore TERM
        self.exit_on_term = 0
        self.start_error = ""
        self.exec_result: tuple[int, bytes] = (0, b"")
        self.exec_hook: Callable[[FakeContainer, list[str]], Any] | None = None

    async def on_exec(self, container: FakeContainer, argv: list[str]) -> tuple[int, bytes]:
        if self.exec_hook is not None:
            result: tuple[int, bytes] = await self.exec_hook(container, argv)
            return result
        return self.exec_result

    async def create_sandbox(
        self, node: str, hostname: str, *, host_network: bool, share_processes: bool
    ) -> FakeSandbox:
        settings = next(n for n in NODES if n.name == node)
        ip = str(settings.address if host_network else settings.pod_cidr[len(self.sandboxes) + 2])
        self.sandboxes.append(FakeSandbox(ip, hostname, share_processes=share_processes))
        return self.sandboxes[-1]

    async def stop_sandbox(self, sandbox: FakeSandbox) -> None:
        sandbox.stopped = True

    async def run(
        self, sandbox: FakeSandbox, spec: ContainerSpec, target: FakeContainer | None = None
    ) -> FakeContainer:
        if self.start_error:
            raise StartError(self.start_error)
        container = FakeContainer(spec, self)
        container.target = target
        self.containers.append(container)
        return container

    def named(self, name: str) -> list[FakeContainer]:
        """All instances of the containers of that name, oldest first."""
        return [c for c in self.containers if c.spec.name == name]
