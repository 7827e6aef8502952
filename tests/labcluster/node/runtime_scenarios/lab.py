"""A lab for the scenarios: sandboxes and containers that are removed after each of them."""

import asyncio
import contextlib
import os
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

from labcluster.api.pod_runtime import LogOptions
from labcluster.node.containers.container import Container
from labcluster.node.containers.log import read_log
from labcluster.node.images import image_table
from labcluster.node.runtime import Runtime
from labcluster.node.sandboxes.sandbox import Sandbox
from labcluster.node.spec import ContainerSpec, ExitStatus
from labcluster.settings import NODES

WORKER, WORKER2 = (node.name for node in NODES[1:])


class Lab:
    def __init__(self, runtime: Runtime, directory: Path) -> None:
        self.runtime = runtime
        self.directory = directory
        self.sandboxes: list[Sandbox] = []
        self.containers: list[Container] = []

    async def sandbox(
        self,
        node: str = WORKER,
        hostname: str = "web-0",
        host_network: bool = False,
        share_processes: bool = False,
    ) -> Sandbox:
        sandbox = await self.runtime.create_sandbox(
            node, hostname, host_network=host_network, share_processes=share_processes
        )
        self.sandboxes.append(sandbox)
        return sandbox

    def spec(self, image: str, *argv: str, **more) -> ContainerSpec:
        resolved = image_table.resolve(image)
        spec = ContainerSpec(
            name="c",
            image=resolved,
            argv=argv or resolved.entrypoint + resolved.command,
            log_path=Path(tempfile.mkdtemp(dir=self.directory)) / "0.log",
            working_dir=resolved.working_dir,
            uid=resolved.user,
            gid=resolved.user,
        )
        return replace(spec, **more)

    async def run(
        self, image: str, *argv: str, sandbox: Sandbox | None = None, target: Container | None = None, **more
    ) -> Container:
        spec = self.spec(image, *argv, **more)
        container = await self.runtime.run(sandbox or await self.sandbox(), spec, target)
        self.containers.append(container)
        return container

    async def output(self, *argv: str, **more) -> tuple[str, ExitStatus]:
        container = await self.run("busybox", *argv, **more)
        status = await container.wait()
        return await self.log(container), status

    async def log(self, container: Container, **options) -> str:
        return b"".join([part async for part in read_log(container.spec.log_path, LogOptions(**options))]).decode()

    async def wait_for_log(self, container: Container, text: str) -> None:
        """Wait until the container's log has a text."""
        got = b""
        async for part in read_log(container.spec.log_path, LogOptions(follow=True)):
            got += part
            if text.encode() in got:
                return
        raise AssertionError(f"ended without {text!r}: {got.decode()}")

    async def clean(self) -> None:
        for container in self.containers:
            container.signal(signal.SIGKILL)
            await container.wait()
        for sandbox in self.sandboxes:
            await self.runtime.stop_sandbox(sandbox)
        self.containers.clear()
        self.sandboxes.clear()


async def run_in(container: Container, *argv: str, **more) -> tuple[int, str]:
    session = await container.exec(argv, **more)
    text = b"".join([data async for _, data in session.output()]).decode()
    return await session.wait(), text


def children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in text]


@contextlib.contextmanager
def raises(kind: type[Exception], text: str):
    try:
        yield
    except kind as e:
        assert text in str(e), e
    else:
        raise AssertionError(f"no {kind.__name__}")


async def readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, lambda: ready.done() or ready.set_result(None))
    try:
        await asyncio.wait_for(ready, 10)
    finally:
        loop.remove_reader(descriptor)
