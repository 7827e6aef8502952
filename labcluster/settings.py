"""Names, addresses and versions of the embedded cluster: what is fixed, said once.

Everything here lives inside network namespaces of the lab's own, so the ranges may equal those of
another lab (or of the host's own network) without a clash. They are the ranges that kind uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

KUBERNETES_VERSION = "v1.36.2"
CLUSTER_NAME = "lab"
CLUSTER_DOMAIN = "cluster.local"

SERVICE_CIDR = IPv4Network("10.96.0.0/16")
POD_CIDR = IPv4Network("10.244.0.0/16")
NODE_CIDR = IPv4Network("172.18.0.0/16")

API_SERVICE_IP = IPv4Address("10.96.0.1")
DNS_SERVICE_IP = IPv4Address("10.96.0.10")
API_PORT_ON_NODE = 6443
DNS_PORT_ON_NODE = 53
NODE_PORT_RANGE = range(30000, 32768)
# What leads in from 127.0.0.1, unless whoever starts the cluster says otherwise. (labsupport declares the same ports
# for every kind of cluster; a test keeps the two equal.)
NODE_PORTS = range(30000, 30030)
DNS_NODE_PORT = 30053
API_PORT = 16443
DNS_TTL = 30  # seconds, as in kubeadm's and kind's Corefile


@dataclass(frozen=True)
class NodeSettings:
    """One node of the cluster: its name, role, address and the range its pods get addresses from."""

    name: str
    control_plane: bool
    address: IPv4Address
    pod_cidr: IPv4Network

    @property
    def gateway(self) -> IPv4Address:
        """The node's own address in the pod range (the pods' default route)."""
        return self.pod_cidr.network_address + 1


NODES = (
    NodeSettings(f"{CLUSTER_NAME}-control-plane", True, IPv4Address("172.18.0.2"), IPv4Network("10.244.0.0/24")),
    NodeSettings(f"{CLUSTER_NAME}-worker", False, IPv4Address("172.18.0.3"), IPv4Network("10.244.1.0/24")),
    NodeSettings(f"{CLUSTER_NAME}-worker2", False, IPv4Address("172.18.0.4"), IPv4Network("10.244.2.0/24")),
)
CONTROL_PLANE = NODES[0]
