"""The cluster's network: a bridge in the daemon's network namespace, and a veth pair to it from each pod.

As with kindnet, a pod has an address of its node's range and reaches everything else through the node's
gateway. All three nodes share one bridge and one kernel: packets between nodes are routed, br0 to br0.
The functions block for milliseconds; they are called on the namespace thread.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from pyroute2 import IPRoute, NetlinkError

from labcluster.node.linux_namespaces import create_network_namespace, entered, set_sysctl
from labcluster.settings import NODE_CIDR, NODES, SERVICE_CIDR, NodeSettings

BRIDGE = "br0"
_BRIDGE_MAC = "02:00:ac:12:00:01"  # locally administered
_LOCAL_TABLE = 255


@dataclass
class PodNetwork:
    """A network namespace with a veth pair: eth0 inside, the other end a port of the bridge."""

    namespace: int  # descriptor
    netlink: Any  # IPRoute inside the namespace
    eth0: int  # index of eth0 there


class Bridge:
    """br0 with the nodes' addresses, and the veth pairs that lead to it (what the CNI plugin `bridge` does)."""

    def __init__(self) -> None:
        self._netlink: Any = None
        self._index = 0
        self._serial = itertools.count(1)

    def create(self) -> None:
        """Make the bridge, bring up lo, and send the whole service range to this namespace (AnyIP).

        Thanks to the local route a user-space proxy can bind any ClusterIP without adding the address.
        """
        self._netlink = IPRoute()
        (lo,) = self._netlink.link_lookup(ifname="lo")
        self._netlink.link("set", index=lo, state="up")
        self._netlink.route("add", dst=str(SERVICE_CIDR), oif=lo, type="local", table=_LOCAL_TABLE, scope="host")
        # A MAC address of its own: without one a bridge takes the lowest of its ports' addresses, and when that pod
        # ends takes another; until the other pods' ARP entries expire (half a minute), all that they send to their
        # gateway is lost.
        self._netlink.link("add", ifname=BRIDGE, kind="bridge", address=_BRIDGE_MAC)
        (self._index,) = self._netlink.link_lookup(ifname=BRIDGE)
        for node in NODES:
            self._netlink.addr("add", index=self._index, address=str(node.gateway), prefixlen=node.pod_cidr.prefixlen)
            self._netlink.addr("add", index=self._index, address=str(node.address), prefixlen=NODE_CIDR.prefixlen)
        # Packets leave by the interface they came in on; that is meant, and no reason for an ICMP redirect.
        set_sysctl("net/ipv4/conf/all/send_redirects", "0")
        set_sysctl(f"net/ipv4/conf/{BRIDGE}/send_redirects", "0")
        set_sysctl("net/ipv4/ip_forward", "1")
        set_sysctl("net/ipv4/ip_unprivileged_port_start", "0")  # for pods with hostNetwork
        self._netlink.link("set", index=self._index, state="up")

    def close(self) -> None:
        """Remove the bridge."""
        if self._netlink is not None:
            with contextlib.suppress(NetlinkError):
                self._netlink.link("del", index=self._index)
            self._netlink.close()
            self._netlink = None

    def add_pod_network(self) -> PodNetwork:
        """Make a network namespace with lo up and a veth pair to the bridge; its eth0 has no address yet."""
        namespace = create_network_namespace()
        try:
            name = f"veth{next(self._serial):x}"
            self._netlink.link("add", ifname=name, kind="veth", peer={"ifname": "eth0", "net_ns_fd": namespace})
            (host_end,) = self._netlink.link_lookup(ifname=name)
            self._netlink.link("set", index=host_end, master=self._index, state="up")
            with entered(namespace):
                netlink = IPRoute()
            (lo,) = netlink.link_lookup(ifname="lo")
            netlink.link("set", index=lo, state="up")
            (eth0,) = netlink.link_lookup(ifname="eth0")
            netlink.link("set", index=eth0, state="up")
        except BaseException:
            os.close(namespace)
            raise
        return PodNetwork(namespace, netlink, eth0)


def set_address(network: PodNetwork, node: NodeSettings, address: IPv4Address) -> None:
    """Give a pod's eth0 its address and the default route through its node's gateway."""
    network.netlink.addr("add", index=network.eth0, address=str(address), prefixlen=node.pod_cidr.prefixlen)
    network.netlink.route("add", dst="default", gateway=str(node.gateway))


def release(network: PodNetwork) -> None:
    """Close the descriptors of a pod's network. The kernel then removes the namespace and its veth pair in the
    background: to delete the pair here would make the next pod wait for about 25 ms."""
    network.netlink.close()
    os.close(network.namespace)
