"""Where things are: the course's own files, the lab's state, and the ports of this machine that lead into the lab."""

from __future__ import annotations

import json
import os
from pathlib import Path

from labsupport.settings import DNS_NODE_PORT, NODE_PORTS


def course_root() -> Path:
    """The checkout: the folder above the package, which holds notebooks/ and the Makefile."""
    return Path(__file__).resolve().parent.parent


def state_dir() -> Path:
    """The lab's state: `.lab` in the checkout, or what LAB_STATE names. Not created here."""
    return Path(os.environ.get("LAB_STATE") or course_root() / ".lab").expanduser().resolve()


def kubeconfig_path() -> Path:
    """The lab's own kubeconfig (mode 0600). The user's ~/.kube/config is never written."""
    return state_dir() / "kubeconfig"


def kubectl_cache() -> Path:
    """Where kubectl keeps what it has learnt of the cluster, for KUBECACHEDIR: beside the rest, so that it goes too."""
    return state_dir() / "kubectl-cache"


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
