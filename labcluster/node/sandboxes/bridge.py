"""The cluster's network: a bridge in the daemon's namespace and a veth pair for each pod.

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

from labcluster.node.sandboxes.netns import create_network_namespace, entered, set_sysctl
from labcluster.settings import NODE_CIDR, NODES, SERVICE_CIDR, NodeSettings

BRIDGE = "br0"
_BRIDGE_MAC = "02:00:ac:12:00:01"  # locally administered
_LOCAL_TABLE = 255


@dataclass
class Plug:
    """A network namespace whose eth0 is plugged into the bridge."""

    namespace: int  # descriptor
    interface: int  # index of the bridge's end
    link: Any  # IPRoute inside the namespace
    eth0: int  # index of eth0 there


class Bridge:
    """br0 with the nodes' addresses, and what is plugged into it."""

    def __init__(self) -> None:
        self._ip: Any = None
        self._index = 0
        self._serial = itertools.count(1)

    def create(self) -> None:
        """Make the bridge, bring up lo, and send the whole service range to this namespace (AnyIP).

        Thanks to the local route a user-space proxy can bind any ClusterIP without adding the address.
        """
        self._ip = IPRoute()
        (lo,) = self._ip.link_lookup(ifname="lo")
        self._ip.link("set", index=lo, state="up")
        self._ip.route("add", dst=str(SERVICE_CIDR), oif=lo, type="local", table=_LOCAL_TABLE, scope="host")
        # An address of its own: without one a bridge takes the lowest of its ports' addresses, and when that pod ends
        # takes another; until the other pods have noticed (half a minute), all they send to their gateway is lost.
        self._ip.link("add", ifname=BRIDGE, kind="bridge", address=_BRIDGE_MAC)
        (self._index,) = self._ip.link_lookup(ifname=BRIDGE)
        for node in NODES:
            self._ip.addr("add", index=self._index, address=str(node.gateway), prefixlen=node.pod_cidr.prefixlen)
            self._ip.addr("add", index=self._index, address=str(node.address), prefixlen=NODE_CIDR.prefixlen)
        # Packets leave by the interface they came in on; that is meant, and no reason to tell the sender.
        set_sysctl("net/ipv4/conf/all/send_redirects", "0")
        set_sysctl(f"net/ipv4/conf/{BRIDGE}/send_redirects", "0")
        set_sysctl("net/ipv4/ip_forward", "1")
        set_sysctl("net/ipv4/ip_unprivileged_port_start", "0")  # for pods with hostNetwork
        self._ip.link("set", index=self._index, state="up")

    def close(self) -> None:
        """Take the bridge away."""
        if self._ip is not None:
            with contextlib.suppress(NetlinkError):
                self._ip.link("del", index=self._index)
            self._ip.close()
            self._ip = None

    def plug(self) -> Plug:
        """Make a network namespace with lo up and an eth0, without an address yet, on the bridge."""
        namespace = create_network_namespace()
        try:
            name = f"veth{next(self._serial):x}"
            self._ip.link("add", ifname=name, kind="veth", peer={"ifname": "eth0", "net_ns_fd": namespace})
            (interface,) = self._ip.link_lookup(ifname=name)
            self._ip.link("set", index=interface, master=self._index, state="up")
            with entered(namespace):
                link = IPRoute()
            (lo,) = link.link_lookup(ifname="lo")
            link.link("set", index=lo, state="up")
            (eth0,) = link.link_lookup(ifname="eth0")
            link.link("set", index=eth0, state="up")
        except BaseException:
            os.close(namespace)
            raise
        return Plug(namespace, interface, link, eth0)

    def unplug(self, plug: Plug) -> None:
        """Let go of the namespace. The kernel then takes it down with both ends of its veth pair, behind our back:
        to delete the pair here would make the next pod wait for about 25 ms."""
        plug.link.close()
        os.close(plug.namespace)


def set_address(plug: Plug, node: NodeSettings, address: IPv4Address) -> None:
    """Give a namespace's eth0 its address and the default route through its node's gateway."""
    plug.link.addr("add", index=plug.eth0, address=str(address), prefixlen=node.pod_cidr.prefixlen)
    plug.link.route("add", dst="default", gateway=str(node.gateway))
