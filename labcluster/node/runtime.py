"""The container runtime of the three nodes: sandboxes and containers. What a kubelet asks of the CRI, and no more."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from labcluster.node.containers.container import Container, start_container
from labcluster.node.containers.process import Processes
from labcluster.node.images import image_table
from labcluster.node.linux_namespaces import NamespaceThread
from labcluster.node.sandboxes.sandbox import Sandbox, Sandboxes
from labcluster.node.spec import ContainerSpec

_PAUSE_IMAGE = "registry.k8s.io/pause:3.10"


class Runtime:
    """Runs pods in the namespaces of this process, which has to be root in a user and network namespace of its own."""

    def __init__(self) -> None:
        # Two threads, so that making a spare network does not hold up the start of a process.
        self._threads = (NamespaceThread(), NamespaceThread())
        self._sandboxes = Sandboxes(self._threads[0])
        self._processes = Processes(self._threads[1])
        self._pauses: dict[Sandbox, Container] = {}  # the pause containers of the pods that share their processes

    async def start(self) -> None:
        """Bring up the network: bridge, nodes' addresses, the service range. Raises OSError."""
        self._processes.start()
        await self._sandboxes.start()

    async def stop(self) -> None:
        """Take the network down. Containers have to have ended and sandboxes to be stopped."""
        await self._sandboxes.stop()
        self._processes.stop()
        for thread in self._threads:
            thread.close()

    async def create_sandbox(
        self, node: str, hostname: str, *, host_network: bool = False, share_processes: bool = False
    ) -> Sandbox:
        """The sandbox of a new pod on `node`, with a fresh address of its range. Raises StartError."""
        return await self._sandboxes.create(node, hostname, host_network=host_network, share_processes=share_processes)

    async def stop_sandbox(self, sandbox: Sandbox) -> None:
        """End a sandbox whose containers have ended; may be called again."""
        pause = self._pauses.pop(sandbox, None)
        if pause is not None:
            pause.signal(signal.SIGKILL)
            await pause.wait()
        await sandbox.close()

    async def run(self, sandbox: Sandbox, spec: ContainerSpec, target: Container | None = None) -> Container:
        """Start a container in a sandbox, in the PID namespace of `target` (a container of the same pod), of the
        sandbox if its containers share one, or of its own.

        Raises StartError with containerd's wording.
        """
        if target is None and sandbox.share_processes:
            target = await self._pause(sandbox)
        return await start_container(self._processes, sandbox, spec, target)

    async def _pause(self, sandbox: Sandbox) -> Container:
        """The PID 1 of a pod that shares its processes: started for its first container, and again if it has ended."""
        pause = self._pauses.get(sandbox)
        if pause is None or pause.exiting:
            image = image_table.resolve(_PAUSE_IMAGE)
            spec = ContainerSpec("POD", image, image.entrypoint, Path(os.devnull), working_dir="/")
            pause = self._pauses[sandbox] = await start_container(self._processes, sandbox, spec)
        return pause
