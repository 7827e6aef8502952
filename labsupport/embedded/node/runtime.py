"""The container runtime of the three nodes: sandboxes and containers. What a kubelet asks of it, and nothing more."""

from __future__ import annotations

from labsupport.embedded.node.container import Container, start_container
from labsupport.embedded.node.netns import NamespaceThread
from labsupport.embedded.node.process import Processes
from labsupport.embedded.node.sandbox import Sandbox, Sandboxes
from labsupport.embedded.node.spec import ContainerSpec, ExitStatus, Image, Mount, StartError

__all__ = ["Container", "ContainerSpec", "ExitStatus", "Image", "Mount", "Runtime", "Sandbox", "StartError"]


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

    async def create_sandbox(self, pod_uid: str, node: str, hostname: str, *, host_network: bool = False) -> Sandbox:
        """The network of a new pod on `node`, with a fresh address of its range. Raises StartError."""
        del pod_uid  # for symmetry with CRI; the sandbox needs no name of its own
        return await self._sandboxes.create(node, hostname, host_network=host_network)

    async def run(self, sandbox: Sandbox, spec: ContainerSpec, joined: Container | None = None) -> Container:
        """Start a container in a sandbox, among the processes of the container that it joins, or on its own.

        Raises StartError with containerd's wording.
        """
        return await start_container(self._processes, sandbox, spec, joined)
