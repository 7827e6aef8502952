"""A cluster that takes one step at a time: controllers that run when asked, and pods that live without processes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable

from labcluster.api.conditions import is_pod_finished, is_pod_ready
from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, is_terminating, name_of, namespace_of
from labcluster.api.resources import EVENTS, NAMESPACES, PODS, SERVICE_ACCOUNTS, Resource
from labcluster.api.times import now
from labcluster.controllers.controller import Controller
from labcluster.controllers.daemonset.nodes import node_of
from labcluster.storage.registry import Change, DeleteOptions, Registry
from labcluster.storage.store import Store


class FakeKubelet:
    """Scheduler and kubelet in one. A step changes one pod: bind and run it, make it Ready, stop it, remove it."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.starts: Callable[[JSON], bool] = lambda pod: True  # which pods reach Running
        self.becomes_ready: Callable[[JSON], bool] = lambda pod: True  # which Running pods become Ready
        self.ends: Callable[[JSON], bool] = lambda pod: True  # which terminating pods are let go

    def step(self) -> bool:
        """Change one pod. False when there is nothing to do."""
        return any(self._advance(pod) for pod in self.registry.list(PODS))

    def _advance(self, pod: JSON) -> bool:
        status = pod.get("status", {})
        if is_terminating(pod):
            if not self.ends(pod):
                return False
            if is_pod_finished(pod) or not pod["spec"].get("nodeName"):
                self.registry.delete(PODS, namespace_of(pod), name_of(pod), DeleteOptions(grace_seconds=0))
            else:
                self.set_phase(pod, "Succeeded")
            return True
        if is_pod_finished(pod):
            return False
        if status.get("phase") != "Running":
            if not self.starts(pod):
                return False
            self.run(pod)
            return True
        if not is_pod_ready(pod) and self.becomes_ready(pod):
            self.set_ready(pod, True)
            return True
        return False

    def run(self, pod: JSON) -> None:
        """Bind the pod to a node, the one it is meant for if it says so; report it Running, not yet Ready."""
        node = node_of(pod) or "lab-worker"

        def change(obj: JSON) -> None:
            obj["spec"]["nodeName"] = node

        self.registry.modify(PODS, namespace_of(pod), name_of(pod), change, subresource="binding")
        self._report(pod, "Running", False)

    def set_ready(self, pod: JSON, ready: bool, *, seconds_ago: int = 0) -> None:
        """Report a Running pod Ready, or not."""
        self._report(pod, "Running", ready, seconds_ago)

    def set_phase(self, pod: JSON, phase: str) -> None:
        """Report a phase; the pod is not Ready."""
        self._report(pod, phase, False)

    def _report(self, pod: JSON, phase: str, ready: bool, seconds_ago: int = 0) -> None:
        time = now()
        if seconds_ago:
            then = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds_ago)
            time = then.strftime("%Y-%m-%dT%H:%M:%SZ")

        def change(obj: JSON) -> None:
            status = obj.setdefault("status", {})
            status["phase"] = phase
            status["conditions"] = [
                {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": time}
            ]

        self.registry.modify(PODS, namespace_of(pod), name_of(pod), change, subresource="status")


class FakeCluster:
    """A registry, controllers that reconcile only inside `settle`, and a fake kubelet."""

    def __init__(self, *controllers: type[Controller]) -> None:
        self.registry = Registry(Store(":memory:"))
        self.registry.create(NAMESPACES, {"metadata": {"name": "default"}})
        self.registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
        self.kubelet = FakeKubelet(self.registry)
        self.changes: list[Change] = []
        self.errors: list[str] = []
        self.delays: list[float] = []
        self.registry.follow(PODS, self.changes.append)
        self._queue: dict[tuple[Controller, str], None] = {}
        for controller in (c(self.registry) for c in controllers):
            for resource, mapper in controller.sources().items():
                self.registry.subscribe(resource, self._enqueuer(controller, mapper))

    def _enqueuer(self, controller: Controller, mapper: Callable[[Change], Iterable[str]]) -> Callable[[Change], None]:
        def enqueue(change: Change) -> None:
            for key in mapper(change):
                self._queue[controller, key] = None

        return enqueue

    def reconcile(self) -> None:
        """Run the controllers until their queues are empty. An error is kept in `errors`; nothing is retried."""
        for _ in range(1000):
            if not self._queue:
                return
            controller, key = next(iter(self._queue))
            del self._queue[controller, key]
            try:
                after = controller.reconcile(key)
            except ApiError as error:
                self.errors.append(str(error))
            else:
                if after is not None:
                    self.delays.append(after)
        raise AssertionError("the controllers never come to rest")

    def settle(self) -> None:
        """Run controllers and kubelet until nothing is left to do."""
        for _ in range(1000):
            self.reconcile()
            if not self.kubelet.step():
                return
        raise AssertionError("the cluster never comes to rest")

    def steps(self, count: int) -> None:
        """Let the kubelet change a number of pods, the controllers following each."""
        self.reconcile()
        for _ in range(count):
            assert self.kubelet.step()
            self.reconcile()

    def follow(self, resource: Resource) -> list[Change]:
        """The changes of a resource from now on."""
        found: list[Change] = []
        self.registry.follow(resource, found.append)
        return found

    def get(self, resource: Resource, name: str) -> JSON:
        """An object of the namespace default."""
        return self.registry.get(resource, "default", name)

    def names(self, resource: Resource) -> list[str]:
        """The names of a resource's objects."""
        return [name_of(obj) for obj in self.registry.list(resource, "default")]

    def ready_pods(self) -> list[str]:
        """The names of the pods that are Ready and stay."""
        return [name_of(p) for p in self.registry.list(PODS) if is_pod_ready(p) and not is_terminating(p)]

    def change(self, resource: Resource, name: str, change: Callable[[JSON], None]) -> JSON:
        """Edit an object, as a user would."""
        return self.registry.modify(resource, "default", name, change)

    def events(self, reason: str) -> list[str]:
        """The messages of the Events with that reason, in the order of their creation."""
        found = [e for e in self.registry.list(EVENTS, "default") if e["reason"] == reason]
        return [e["message"] for e in sorted(found, key=lambda e: int(e["metadata"]["resourceVersion"]))]

    def pod_changes(self) -> list[str]:
        """`+name` for each pod made, `-name` for each deletion asked for, in order."""
        found: list[str] = []
        for change in self.changes:
            was_leaving = change.old is not None and is_terminating(change.old)
            if change.type == "ADDED":
                found.append(f"+{name_of(change.object)}")
            elif (change.type == "DELETED" or is_terminating(change.object)) and not was_leaving:
                found.append(f"-{name_of(change.object)}")
        return found
