"""Whether a container that has ended is started again (pkg/kubelet/container/helpers.go ShouldContainerBeRestarted)."""

from __future__ import annotations

from collections.abc import Mapping

from labcluster.api.objects import JSON, is_terminating
from labcluster.node.pods.status import ContainerState


def should_restart(pod: JSON, container: JSON, exit_code: int) -> bool:
    """Whether the container's rules, its own policy or else the pod's restartPolicy ask for another start."""
    if is_terminating(pod):
        return False
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or ())
        if listed == (codes.get("operator") != "NotIn"):
            return bool(rule.get("action") == "Restart")
    policy = container.get("restartPolicy") or pod["spec"].get("restartPolicy") or "Always"
    if policy == "OnFailure":
        return exit_code != 0
    if policy == "Never":
        return False
    is_init = any(container["name"] == c["name"] for c in pod["spec"].get("initContainers") or ())
    return exit_code != 0 or not is_init or container.get("restartPolicy") == "Always"


def is_work_done(pod: JSON, states: Mapping[str, ContainerState]) -> bool:
    """Whether all ordinary containers have ended for good, or an init container has failed for good."""
    for spec in pod["spec"].get("initContainers") or ():
        state = states[spec["name"]]
        ended = state.state.get("terminated")
        if ended is not None and ended["exitCode"] != 0 and not state.sidecar:
            return not should_restart(pod, spec, ended["exitCode"])
    for spec in pod["spec"]["containers"]:
        ended = states[spec["name"]].state.get("terminated")
        if ended is None or should_restart(pod, spec, ended["exitCode"]):
            return False
    return True
