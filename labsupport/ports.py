"""The ports of the lab: the single declaration. kind-config.yaml repeats them; a test keeps the two equal."""

from __future__ import annotations

import json

from labsupport.paths import state_dir

# NodePorts that are reachable from the notebook on 127.0.0.1. A Service may use any NodePort inside the cluster;
# only these lead out of it, as with kind's extraPortMappings.
NODE_PORTS = range(30000, 30030)

# The NodePort of the cluster's DNS, UDP and TCP.
DNS_NODE_PORT = 30053

# The API server's preferred port on 127.0.0.1; another one is taken when it is busy.
API_PORT = 16443


def host_port(node_port: int) -> int:
    """The port on 127.0.0.1 that leads to a NodePort. It is the same number unless that was taken on this machine.

    Raises KeyError for a NodePort that does not lead out of the cluster.

    >>> host_port(30000)
    30000
    """
    chosen = json.loads((state_dir() / "ports.json").read_text())
    if node_port == DNS_NODE_PORT:
        return int(chosen["dns"])
    if str(node_port) not in chosen["nodePorts"]:
        first, last = NODE_PORTS[0], NODE_PORTS[-1]
        raise KeyError(f"NodePort {node_port} is not reachable from here; use one of {first} to {last}")
    return int(chosen["nodePorts"][str(node_port)])
