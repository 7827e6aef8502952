"""The container that a request for logs, exec or attach is for (upstream: pkg/registry/core/pod/strategy.go)."""

from __future__ import annotations

from labcluster.api.errors import bad_request
from labcluster.api.objects import JSON, annotations_of, name_of

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"

_SPECS = ("initContainers", "containers", "ephemeralContainers")


def all_containers(pod: JSON) -> list[str]:
    """The names of all containers: the init containers, those proper, the ephemeral ones."""
    spec = pod.get("spec", {})
    return [c["name"] for key in _SPECS for c in spec.get(key) or ()]


def main_containers(pod: JSON) -> list[str]:
    """The names of the containers proper."""
    return [c["name"] for c in pod.get("spec", {}).get("containers") or ()]


def default_container(pod: JSON) -> str:
    """The container that the pod's annotation names, if it has one of that name."""
    name = annotations_of(pod).get(DEFAULT_CONTAINER, "")
    return name if name in all_containers(pod) else ""


def choose(pod: JSON, requested: str, known: list[str], default: str = "") -> str:
    """The requested container, the default or the only one. Raises ApiError 400 if there is none, or several."""
    name = name_of(pod)
    if requested:
        if requested not in known:
            raise bad_request(f"container {requested} is not valid for pod {name}")
        return requested
    if default:
        return default
    main = main_containers(pod)
    if len(main) == 1:
        return main[0]
    raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(known)}]")
