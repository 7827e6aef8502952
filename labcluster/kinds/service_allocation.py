"""Addresses and node ports of services (upstream: pkg/registry/core/service/{ipallocator,portallocator,storage}).

There is no bitmap to keep in step: what is taken is what the stored services have, so nothing can leak.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import ip_address

from labcluster import settings
from labcluster.api import errors, field
from labcluster.api.objects import JSON, name_of, uid_of
from labcluster.api.resources import SERVICES
from labcluster.kinds.reading import Reader

HEADLESS = "None"
# The lower part of each range is left to those who ask for a number; what is handed out comes from above it
# (upstream: calculateRangeOffset of the two allocators).
_STATIC_ADDRESSES = min(max(16, settings.SERVICE_CIDR.num_addresses // 16), 256)
_STATIC_PORTS = min(max(16, len(settings.NODE_PORT_RANGE) // 32), 128)


def needs_cluster_ip(spec: JSON) -> bool:
    """Whether a service of that type has an address (or says that it wants none)."""
    return spec.get("type", "ClusterIP") in ("ClusterIP", "NodePort", "LoadBalancer")


def needs_node_ports(spec: JSON) -> bool:
    """Whether each port of a service of that type gets a port on every node."""
    balanced = spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)
    return spec.get("type") == "NodePort" or bool(balanced)


def node_ports(spec: JSON) -> set[int]:
    """The node ports that a service has."""
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}


def allocate(service: JSON, old: JSON | None, reader: Reader) -> None:
    """Fill in clusterIP and node ports in place. Raises ApiError 422 for asked ones that cannot be had, 500 when full.

    `old` is the service before an update: what it has is its own.
    """
    others = [s["spec"] for s in reader.list(SERVICES) if uid_of(s) != uid_of(service)]
    if needs_cluster_ip(service["spec"]):
        _allocate_address(service, {s.get("clusterIP") for s in others}, old)
    _allocate_ports(service, {n for spec in others for n in node_ports(spec)}, old)


def _allocate_address(service: JSON, taken: set[str | None], old: JSON | None) -> None:
    spec = service["spec"]
    wanted = spec.get("clusterIP")
    if not wanted:
        spec["clusterIP"] = _free_address(taken)
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif wanted != HEADLESS and (old is None or old["spec"].get("clusterIP") != wanted):
        why = ""
        hosts = settings.SERVICE_CIDR
        if ip_address(wanted) not in hosts or wanted in (str(hosts.network_address), str(hosts.broadcast_address)):
            why = "the provided network does not match the current range"
        elif wanted in taken:
            why = "provided IP is already allocated"
        if why:
            text = f"failed to allocate IP {wanted}: {why}"
            raise errors.invalid(
                SERVICES, name_of(service), [field.invalid("spec.clusterIPs", spec["clusterIPs"], text)]
            )


def _free_address(taken: set[str | None]) -> str:
    """A random free address, from the upper part while there is one."""
    network = settings.SERVICE_CIDR
    upper = range(_STATIC_ADDRESSES + 1, network.num_addresses - 1)
    for _ in range(16):  # nearly always the first one is free
        address = str(network[random.choice(upper)])
        if address not in taken:
            return address
    for offset in (*upper, *range(1, _STATIC_ADDRESSES + 1)):
        if str(network[offset]) not in taken:
            return str(network[offset])
    raise errors.ApiError(
        500, "InternalError", "Internal error occurred: failed to allocate a serviceIP: range is full"
    )


def _allocate_ports(service: JSON, taken: set[int], old: JSON | None) -> None:
    spec = service["spec"]
    own = node_ports(old["spec"]) if old is not None else set()
    given = {}  # one number may serve two protocols of one service's port
    for index, port in enumerate(spec.get("ports") or ()):
        number = port.get("nodePort")
        if not number:
            continue
        given[(port.get("port"), port.get("protocol"))] = number
        why = ""
        if number not in settings.NODE_PORT_RANGE:
            first, last = settings.NODE_PORT_RANGE[0], settings.NODE_PORT_RANGE[-1]
            why = f"provided port is not in the valid range. The range of valid ports is {first}-{last}"
        elif number in taken and number not in own:
            why = "provided port is already allocated"
        if why:
            path = f"spec.ports[{index}].nodePort"
            raise errors.invalid(SERVICES, name_of(service), [field.invalid(path, number, why)])
    if not needs_node_ports(spec):
        return
    used = taken | node_ports(spec)
    free = (n for n in _preferred() if n not in used)
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            continue
        twin = next(
            (n for (p, protocol), n in given.items() if p == port["port"] and protocol != port["protocol"]), None
        )
        number = twin or next(free, None)
        if number is None:
            why = "Internal error occurred: failed to allocate a nodePort: range is full"
            raise errors.ApiError(500, "InternalError", why)
        port["nodePort"] = number
        given[(port["port"], port["protocol"])] = number


def _preferred() -> Iterator[int]:
    """Node ports in the order in which they are handed out.

    First those that lead out of the cluster, from the top, as the low ones are those that people ask for by number.
    """
    mapped = [n for n in reversed(settings.NODE_PORTS) if n in settings.NODE_PORT_RANGE]
    yield from mapped
    rest = [n for n in settings.NODE_PORT_RANGE if n not in settings.NODE_PORTS and n != settings.DNS_NODE_PORT]
    yield from (n for n in rest[_STATIC_PORTS:])
    yield from (n for n in rest[:_STATIC_PORTS])
