"""The Node objects: what the kubelet registers and reports (kubelet_node_status.go, nodestatus/setters.go)."""

from __future__ import annotations

import os
import platform
import uuid
from pathlib import Path

from labcluster import settings
from labcluster.api.conditions import condition
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.api.resources import LEASES, NAMESPACES, NODES
from labcluster.api.times import now, now_micro
from labcluster.settings import NodeSettings
from labcluster.storage.registry import Registry

MAX_PODS = 110
KUBELET_PORT = 10250
HEARTBEAT_SECONDS = 300.0  # between reports when nothing changes (nodeStatusReportFrequency)
LEASE_NAMESPACE = "kube-node-lease"
CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def capacity(directory: Path) -> dict[str, str]:
    """The capacity of every node: all of the machine, since nothing is reserved and nothing is limited."""
    disk = os.statvfs(directory)
    return {
        "cpu": str(os.cpu_count() or 1),
        "ephemeral-storage": f"{disk.f_blocks * disk.f_frsize // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 1024}Ki",
        "pods": str(MAX_PODS),
    }


def register(registry: Registry, node: NodeSettings, amounts: dict[str, str], images: list[JSON]) -> JSON:
    """Create the Node object, or bring an existing one up to date. Taints and cordons of users are kept."""
    if registry.find(NODES, "", node.name) is None:
        registry.create(NODES, _new_node(node))

    def relabel(obj: JSON) -> None:
        obj["metadata"]["labels"] = {**obj["metadata"].get("labels", {}), **_labels(node)}

    registry.modify(NODES, "", node.name, relabel)
    return report(registry, node, amounts, images)


def report(registry: Registry, node: NodeSettings, amounts: dict[str, str], images: list[JSON]) -> JSON:
    """Write the node's status: Ready, as of now."""

    def change(obj: JSON) -> None:
        obj["status"] = _status(obj, node, amounts, images)

    _renew_lease(registry, node.name)
    return registry.modify(NODES, "", node.name, change, subresource="status")


def _renew_lease(registry: Registry, name: str) -> None:
    """Hold the node's Lease. Upstream renews it every 10 s; here with the report, since the nodes are one process."""
    if registry.find(NAMESPACES, "", LEASE_NAMESPACE) is None:
        return
    spec = {"holderIdentity": name, "leaseDurationSeconds": int(2 * HEARTBEAT_SECONDS), "renewTime": now_micro()}
    if registry.find(LEASES, LEASE_NAMESPACE, name) is None:
        registry.create(LEASES, {"metadata": {"name": name, "namespace": LEASE_NAMESPACE}, "spec": spec})
    else:
        registry.modify(LEASES, LEASE_NAMESPACE, name, lambda lease: lease.update(spec=spec))


def _new_node(node: NodeSettings) -> JSON:
    annotations = {
        "node.alpha.kubernetes.io/ttl": "0",
        "volumes.kubernetes.io/controller-managed-attach-detach": "true",
    }
    spec: JSON = {
        "podCIDR": str(node.pod_cidr),
        "podCIDRs": [str(node.pod_cidr)],
        "providerID": f"embedded://{settings.CLUSTER_NAME}/{node.name}",
    }
    if node.control_plane:
        spec["taints"] = [{"key": CONTROL_PLANE_LABEL, "effect": "NoSchedule"}]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": _labels(node), "annotations": annotations},
        "spec": spec,
        "status": {},
    }


def _labels(node: NodeSettings) -> dict[str, str]:
    labels = {
        "beta.kubernetes.io/arch": _architecture(),
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": _architecture(),
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
    }
    if node.control_plane:
        labels |= {CONTROL_PLANE_LABEL: "", "node.kubernetes.io/exclude-from-external-load-balancers": ""}
    return labels


def _architecture() -> str:
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def _status(obj: JSON, node: NodeSettings, amounts: dict[str, str], images: list[JSON]) -> JSON:
    time = now()
    conditions = []
    for kind, status, reason, message in _CONDITIONS:
        old = condition(obj, kind)
        since = old["lastTransitionTime"] if old is not None and old["status"] == status else time
        conditions.append(
            {
                "type": kind,
                "status": status,
                "lastHeartbeatTime": time,
                "lastTransitionTime": since,
                "reason": reason,
                "message": message,
            }
        )
    kept = [
        c for c in (obj.get("status") or {}).get("conditions") or () if c["type"] not in {x[0] for x in _CONDITIONS}
    ]
    machine = uuid.uuid5(uuid.NAMESPACE_DNS, f"{node.name}.{obj['metadata'].get('uid', '')}")
    return {
        **{k: v for k, v in (obj.get("status") or {}).items() if k in ("volumesAttached", "volumesInUse")},
        "capacity": dict(amounts),
        "allocatable": dict(amounts),
        "conditions": [*clone(kept), *conditions],
        "addresses": [
            {"type": "InternalIP", "address": str(node.address)},
            {"type": "Hostname", "address": node.name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
        "nodeInfo": {
            "machineID": machine.hex,
            "systemUUID": str(machine),
            "bootID": _boot_id(),
            "kernelVersion": platform.release(),
            "osImage": _os_image(),
            "containerRuntimeVersion": "bubblewrap://0.11.0",
            "kubeletVersion": settings.KUBERNETES_VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": _architecture(),
        },
        "images": images,
    }


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
