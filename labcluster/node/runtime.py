"""The container runtime of the three nodes: sandboxes and containers. What a kubelet asks of it, and nothing more."""

from __future__ import annotations

import os
from pathlib import Path

from labcluster.node.containers.container import Container, start_container
from labcluster.node.containers.process import Processes
from labcluster.node.containers.spec import ContainerSpec, ExitStatus, Image, Mount, StartError
from labcluster.node.images import image_table
from labcluster.node.sandboxes.netns import NamespaceThread
from labcluster.node.sandboxes.sandbox import Sandbox, Sandboxes

__all__ = ["Container", "ContainerSpec", "ExitStatus", "Image", "Mount", "Runtime", "Sandbox", "StartError"]

_PAUSE = "registry.k8s.io/pause:3.10"


class Runtime:
    """Runs pods in the namespaces of this process, which has to be root in a user and network namespace of its own."""

    def __init__(self) -> None:
        # Two threads, so that making a spare network does not hold up the start of a process.
        self._threads = (NamespaceThread(), NamespaceThread())
        self._sandboxes = Sandboxes(self._threads[0])
        self._processes = Processes(self._threads[1])

    async def start(self) -> None:
        """Bring up the network: bridge, nodes' addresses, the service range. Raises OSError."""
        self._processes.start()
        await self._sandboxes.start()

    async def stop(self) -> None:
        """Take the network down. Containers have to have ended and sandboxes to be closed."""
        await self._sandboxes.stop()
        self._processes.stop()
        for thread in self._threads:
            thread.close()

    async def create_sandbox(
        self, pod_uid: str, node: str, hostname: str, *, host_network: bool = False, share_processes: bool = False
    ) -> Sandbox:
        """The network of a new pod on `node`, with a fresh address of its range. Raises StartError."""
        del pod_uid  # for symmetry with CRI; the sandbox needs no name of its own
        return await self._sandboxes.create(node, hostname, host_network=host_network, share_processes=share_processes)

    async def run(self, sandbox: Sandbox, spec: ContainerSpec, joined: Container | None = None) -> Container:
        """Start a container in a sandbox, among the processes of the container that it joins, of its pod, or its own.

        Raises StartError with containerd's wording.
        """
        if joined is None and sandbox.share_processes:
            joined = await self._pause(sandbox)
        return await start_container(self._processes, sandbox, spec, joined)

    async def _pause(self, sandbox: Sandbox) -> Container:
        """The PID 1 of a pod that shares its processes: started for its first container, and again if it has ended."""
        if sandbox.pause is None or sandbox.pause.over:
            image = image_table.resolve(_PAUSE)
            spec = ContainerSpec("POD", image, image.entrypoint, Path(os.devnull), working_dir="/")
            sandbox.pause = await start_container(self._processes, sandbox, spec)
        return sandbox.pause
