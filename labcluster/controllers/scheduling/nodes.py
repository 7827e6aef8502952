"""What the scheduler knows of a node: the object, the pods on it, and what they take."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from labcluster.api.objects import JSON, labels_of, name_of
from labcluster.api.quantities import parse

# What a container without requests counts as when nodes are compared (scheduler/util/pod_resources.go).
DEFAULT_CPU = 100  # thousandths of a core
DEFAULT_MEMORY = 200 * 1024 * 1024  # bytes


def amount(resource: str, text: str) -> int:
    """A quantity as the scheduler counts it: CPU in thousandths of a core, all else in units; rounded up."""
    return parse(text).milli if resource == "cpu" else parse(text).value


def amounts(quantities: dict[str, str] | None) -> dict[str, int]:
    """A resource list as integers."""
    return {name: amount(name, text) for name, text in (quantities or {}).items()}


def _add(total: dict[str, int], more: dict[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def requests(pod: JSON, defaults: dict[str, int] | None = None) -> dict[str, int]:
    """What a pod requests: its containers and sidecars together, or an init container if that is more.

    `defaults` stand in for what a container does not request. Upstream: component-helpers resource PodRequests.
    """

    def of(container: JSON) -> dict[str, int]:
        return {**(defaults or {}), **amounts((container.get("resources") or {}).get("requests"))}

    total: dict[str, int] = {}
    for container in pod["spec"].get("containers") or ():
        _add(total, of(container))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in pod["spec"].get("initContainers") or ():
        wanted = of(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, wanted)
            wanted = {}
        _add(wanted, sidecars)
        for name, value in wanted.items():
            peak[name] = max(peak.get(name, 0), value)
    _add(total, sidecars)
    for name, value in peak.items():
        total[name] = max(total.get(name, 0), value)
    _add(total, amounts(pod["spec"].get("overhead")))
    return total


def host_ports(pod: JSON) -> set[tuple[str, str, int]]:
    """The (address, protocol, port) triples that the pod takes on its node."""
    return {
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in pod["spec"].get("containers") or ()
        for port in container.get("ports") or ()
        if port.get("hostPort")
    }


@dataclass
class NodeInfo:
    """A node and the pods that are on it, those included that are about to be bound to it (framework.NodeInfo)."""

    node: JSON
    pods: list[JSON] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The node's name."""
        return name_of(self.node)

    @property
    def labels(self) -> dict[str, str]:
        """The node's labels."""
        return labels_of(self.node)

    @cached_property
    def allocatable(self) -> dict[str, int]:
        """What the node offers to pods."""
        status = self.node.get("status") or {}
        return amounts(status.get("allocatable") or status.get("capacity"))

    @cached_property
    def requested(self) -> dict[str, int]:
        """What the pods on the node request."""
        total: dict[str, int] = {}
        for pod in self.pods:
            _add(total, requests(pod))
        return total

    def used_with(self, pod: JSON) -> tuple[int, int]:
        """CPU and memory requested with `pod` on the node, containers without requests counted at a default."""
        defaults = {"cpu": DEFAULT_CPU, "memory": DEFAULT_MEMORY}
        total: dict[str, int] = {}
        for each in (*self.pods, pod):
            _add(total, requests(each, defaults))
        return total.get("cpu", 0), total.get("memory", 0)
