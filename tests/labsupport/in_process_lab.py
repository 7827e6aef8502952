"""A lab in this process for the tests of labsupport: an API server and the controllers of namespaces and volumes.

No pod ever runs in it: what a node or another controller would write into a status, the test writes.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from labcluster.api.objects import JSON
from labcluster.api.resources import NODES, PODS, Resource
from labcluster.controllers.namespaces.namespace import NamespaceController
from labcluster.controllers.namespaces.service_account import ServiceAccountController
from labcluster.controllers.volumes.protection import VolumeProtectionController
from labcluster.storage.registry import Registry
from tests.labcluster.http_server import ApiServer, running

SECONDS = 60.0  # the longest that a test waits for anything
_CONTROLLERS = (NamespaceController, ServiceAccountController, VolumeProtectionController)
T = TypeVar("T")


class InProcessLab:
    """The server, whose event loop runs in a thread, and what a test does to its objects."""

    def __init__(self, state: Path) -> None:
        self.state = state  # what LAB_STATE names: the kubeconfig is in it
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: ApiServer
        self._ended = asyncio.Event()

    def _run(self, act: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(act, self._loop).result(SECONDS)

    @contextlib.contextmanager
    def up(self) -> Iterator[InProcessLab]:
        """Serve."""
        self._thread.start()
        ready = threading.Event()
        serving = asyncio.run_coroutine_threadsafe(self._serve(ready), self._loop)
        serving.add_done_callback(lambda _: ready.set())
        try:
            assert ready.wait(SECONDS)
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._ended.set)
            serving.result(SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(SECONDS)
            self._loop.close()

    async def _serve(self, ready: threading.Event) -> None:
        async with running(self.state) as self._server:
            controllers = [make(self._server.registry) for make in _CONTROLLERS]
            tasks = [asyncio.create_task(controller.run()) for controller in controllers]
            ready.set()
            await self._ended.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def do(self, act: Callable[[Registry], T]) -> T:
        """Do something to the server's objects, in its own thread."""

        async def acting() -> T:
            return act(self._server.registry)

        return self._run(acting())

    def create(self, resource: Resource, obj: JSON) -> JSON:
        """Make an object, past the API."""
        return self.do(lambda registry: registry.create(resource, obj))

    def set_status(self, resource: Resource, namespace: str, name: str, **status: Any) -> None:
        """Write into an object's status, as a node or a controller would."""

        def change(obj: JSON) -> None:
            obj["status"] = {**obj.get("status", {}), **status}

        self.do(lambda registry: registry.modify(resource, namespace, name, change, subresource="status"))

    def node(self, name: str) -> None:
        """Add a node."""
        self.create(NODES, {"metadata": {"name": name}})

    def pod(self, namespace: str, name: str, *, labels: dict[str, str] | None = None, **status: Any) -> None:
        """Make a pod, and write its status."""
        spec = {"containers": [{"name": "main", "image": "nginx:1.31.3"}]}
        self.create(PODS, {"metadata": {"name": name, "namespace": namespace, "labels": labels or {}}, "spec": spec})
        if status:
            self.set_status(PODS, namespace, name, **status)
