"""The relay pod: it passes DNS over TCP from a port-forward on to the cluster's name server.

The name server itself is in a namespace that is none of the learner's business. A pod of one's own may ask it, and
may be reached by port-forward: so it takes no right outside of the learner's namespaces, and changes nothing there.
"""

from __future__ import annotations

from typing import Any

from labsupport.settings import IMAGES

NAMESPACE = "lab"  # after the learner's prefix
POD = "dns-relay"
PORT = 5353

_SCRIPT = f"""
while read -r key server rest; do [ "$key" = nameserver ] && break; done < /etc/resolv.conf
cat > /tmp/relay.conf <<END
pid /tmp/relay.pid;
error_log stderr;
events {{ worker_connections 256; }}
stream {{ server {{ listen {PORT}; proxy_pass $server:53; }} }}
END
exec nginx -c /tmp/relay.conf -g 'daemon off;'
"""


def namespace(prefix: str) -> str:
    """The namespace for what belongs to the lab itself and to no chapter."""
    return f"{prefix}-{NAMESPACE}"


def address(prefix: str) -> tuple[str, str, int]:
    """Where the relay is: namespace, pod, port."""
    return namespace(prefix), POD, PORT


def pod(prefix: str, labels: dict[str, str]) -> dict[str, Any]:
    """The pod's manifest."""
    image = next(name for name in IMAGES if "nginx" in name)
    container = {
        "name": "relay",
        "image": image,
        "command": ["sh", "-c", _SCRIPT],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}},
    }
    return {
        "metadata": {"name": POD, "namespace": namespace(prefix), "labels": {**labels, "app": POD}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, "restartPolicy": "Always"},
    }
