"""The known troubles of kind and of container engines: how each one sounds, what it means, what to type.

`lab up` looks a failed command up here; `lab doctor` finds most of them before they happen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Trouble:
    """What is wrong, and the remedy."""

    what: str
    remedy: str


NO_ENGINE = Trouble(
    "there is no container engine: docker, podman or nerdctl",
    "install one (https://docs.docker.com/get-docker, https://podman.io), or use CLUSTER=embedded, which needs none",
)
NO_KIND = Trouble(
    "there is no kind on the PATH",
    "install it: https://kind.sigs.k8s.io/docs/user/quick-start/#installation, or use CLUSTER=embedded",
)
NOT_RUNNING = Trouble(
    "the container engine is installed but not running",
    "start it: `sudo systemctl start docker` on Linux, Docker Desktop elsewhere, `podman machine start` for Podman",
)
NO_PERMISSION = Trouble(
    "you have no permission on the container engine's socket",
    "`sudo usermod -aG docker $USER`, then log out and in (members of that group are root, in effect)",
)
PORT_TAKEN = Trouble(
    "a port that the cluster needs on 127.0.0.1 is taken",
    "`lab doctor` says which one; end what uses it, or change its hostPort in kind-config.yaml",
)
INOTIFY = Trouble(
    "the kernel's inotify limits are too low for three nodes",
    "`sudo sysctl fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=524288` (to keep it: in /etc/sysctl.d)",
)
MEMORY = Trouble(
    "there is too little memory for three nodes",
    "give the engine 4 GiB or more (Docker Desktop: Settings, Resources), or use CLUSTER=embedded, which takes 150 MiB",
)
DISK = Trouble("the disk is full", "`docker system df` shows what takes the space, `docker system prune` frees some")
CGROUP = Trouble(
    "the engine's cgroups cannot hold a node",
    "kind needs cgroup v2, rootless engines also delegation: https://kind.sigs.k8s.io/docs/user/rootless",
)
PROXY = Trouble(
    "the proxy settings catch the cluster's own addresses",
    "`export NO_PROXY=localhost,127.0.0.1,.svc,.cluster.local,10.96.0.0/16,10.244.0.0/16,172.18.0.0/16` and again",
)
PULL = Trouble(
    "an image could not be pulled",
    "check the network and the proxy settings of the *engine* (`docker pull nginx:1.31.3` tries both)",
)
OLD_KIND = Trouble(
    "this kind is too old for the course: its Kubernetes is older than 1.29",
    "install a newer one: https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
)
NAME_TAKEN = Trouble(
    "there are nodes of a cluster with that name already",
    "if it is nobody's any more: `kind delete cluster --name lab`",
)

# In the order in which they are looked for: the particular before the general.
_SOUNDS = (
    (r"permission denied.*(docker|podman|containerd|nerdctl)[^\n]*(sock|API)|"
     r"dial unix \S+: connect: permission", NO_PERMISSION),
    (r"cannot connect to the (docker )?daemon|is the docker daemon running|unable to connect to Podman|"
     r"connection refused.*podman|error during connect|cannot access containerd socket", NOT_RUNNING),
    (r"port is already allocated|address already in use|ports are not available|bind: An attempt was made", PORT_TAKEN),
    (r"node\(s\) already exist for a cluster", NAME_TAKEN),
    (r"no space left on device", DISK),
    (r"too many open files|failed to create fsnotify watcher|inotify", INOTIFY),
    (r"cannot allocate memory|out of memory|OOMKilled|exit status 137|signal: killed", MEMORY),
    (r"proxyconnect|Proxy Authentication Required|407 Proxy", PROXY),
    (r"failed to pull image|pull access denied|toomanyrequests|TLS handshake timeout|no such host", PULL),
    (r"Multi-User System|cgroup|Delegate=yes", CGROUP),
    (r"unknown apiVersion|unknown flag|unknown field .*extraPortMappings", OLD_KIND),
)  # fmt: skip


def diagnose(output: str) -> Trouble | None:
    """The trouble that a failed command's output tells of, or None for one that is not known."""
    for pattern, trouble in _SOUNDS:
        if re.search(pattern, output, re.IGNORECASE):
            return trouble
    return None
