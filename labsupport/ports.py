"""The ports of the lab: the single declaration. kind-config.yaml repeats them; a test keeps the two equal."""

from __future__ import annotations

# NodePorts that are reachable from the notebook on 127.0.0.1. A Service may use any NodePort inside the cluster;
# only these lead out of it, as with kind's extraPortMappings.
NODE_PORTS = range(30000, 30030)

# The NodePort of the cluster's DNS, UDP and TCP.
DNS_NODE_PORT = 30053

# The API server's preferred port on 127.0.0.1; another one is taken when it is busy.
API_PORT = 16443
