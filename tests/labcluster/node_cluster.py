"""A registry with an agent on a fake runtime: what the tests of the node share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, name_of
from labcluster.api.resources import EVENTS, EVERYTHING, NAMESPACES, PODS, SERVICE_ACCOUNTS
from labcluster.node.agent import NodeAgent
from labcluster.storage.registry import Change, Registry
from labcluster.storage.store import Store
from tests.labcluster.fake_runtime import FakeRuntime, resolve

WORKER = "lab-worker"


def new_registry(path: str = ":memory:") -> Registry:
    registry = Registry(Store(path))
    if registry.find(NAMESPACES, "", "default") is None:
        registry.create(NAMESPACES, {"metadata": {"name": "default"}})
        registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    return registry


def pod_object(name: str = "web", *, containers: list[JSON] | None = None, **spec: Any) -> JSON:
    """A pod that is bound to a worker, without a service account's token."""
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeName": WORKER,
            "automountServiceAccountToken": False,
            "containers": containers or [container()],
            **spec,
        },
    }


def container(name: str = "c", **fields: Any) -> JSON:
    return {"name": name, "image": "app:1", **fields}


class NodeCluster:
    """Registry, agent and fake runtime, with the history of pods."""

    def __init__(self, state: Path, registry: Registry | None = None) -> None:
        self.registry = registry or new_registry()
        self.runtime = FakeRuntime()
        self.state = state
        self.agent = NodeAgent(self.registry, self.runtime, state, lambda *_: "token", resolve_image=resolve)  # type: ignore[arg-type]
        self.history: list[Change] = []
        self._changed = asyncio.Event()
        self.registry.subscribe(EVERYTHING, self._note)

    def _note(self, change: Change) -> None:
        self.history.append(change)
        self._changed.set()

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait until something holds, looking after each write. Fails after a bounded time."""
        async with asyncio.timeout(10):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    def create(self, pod: JSON) -> JSON:
        return self.registry.create(PODS, pod)

    def pod(self, name: str = "web") -> JSON:
        return self.registry.get(PODS, "default", name)

    def find(self, name: str = "web") -> JSON | None:
        return self.registry.find(PODS, "default", name)

    def phase(self, name: str = "web") -> str:
        return str(self.pod(name)["status"].get("phase"))

    def ready(self, name: str = "web") -> bool:
        conditions = self.pod(name)["status"].get("conditions") or ()
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def waiting(self, name: str = "web", index: int = 0) -> str:
        """The reason for which a container waits."""
        entries = self.pod(name)["status"].get("containerStatuses") or [{}]
        return str(((entries[index].get("state") or {}).get("waiting") or {}).get("reason", ""))

    def entry(self, name: str = "web", index: int = 0) -> JSON:
        entries: list[JSON] = self.pod(name)["status"]["containerStatuses"]
        return entries[index]

    async def running(self, pod: JSON) -> JSON:
        """Create a pod and wait until it is Ready."""
        name = name_of(self.create(pod))
        await self.until(lambda: self.ready(name))
        return self.pod(name)

    def statuses(self, name: str = "web") -> list[JSON]:
        """Every status that a pod had, in order."""
        found = []
        for change in self.history:
            if change.resource == PODS and name_of(change.object) == name and change.type != "DELETED":
                found.append(clone(change.object.get("status") or {}))
        return found

    def events(self, reason: str = "") -> list[str]:
        """The messages of the events with that reason (or `reason: message` of all), in order of creation."""
        events = [e for e in self.registry.list(EVENTS) if e["involvedObject"]["kind"] == "Pod"]
        events.sort(key=lambda e: str(e["metadata"]["name"].rpartition(".")[2]))
        if reason:
            return [e["message"] for e in events if e["reason"] == reason]
        return [f"{e['reason']}: {e['message']}" for e in events]
