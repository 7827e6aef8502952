"""What is fixed for the course, said once: the ports that lead into the lab, and the images that it uses.

kind-config.yaml and the embedded cluster repeat the ports; tests keep them equal.
"""

from __future__ import annotations

# NodePorts that are reachable from the notebook on 127.0.0.1. A Service may use any NodePort inside the cluster;
# only these lead out of it, as with kind's extraPortMappings.
NODE_PORTS = range(30000, 30030)

# The NodePort of the cluster's DNS, UDP and TCP.
DNS_NODE_PORT = 30053

# The API server's preferred port on 127.0.0.1; another one is taken when it is busy.
API_PORT = 16443

# They are loaded into the cluster before the first chapter.
IMAGES = ("valkey/valkey:8.1.8", "nginx:1.31.3", "traefik:v3.7.15", "envoyproxy/envoy:v1.40.0")


def full_name(image: str) -> str:
    """An image's name with its registry, as nodes list it.

    >>> full_name("nginx:1.31.3")
    'docker.io/library/nginx:1.31.3'
    """
    first, slash, _ = image.partition("/")
    if not slash:
        return f"docker.io/library/{image}"
    return image if "." in first or ":" in first else f"docker.io/{image}"
