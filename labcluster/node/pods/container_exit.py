"""What follows the end of a container: its termination message, and whether it is restarted.

Sources: pkg/kubelet/container/helpers.go (ShouldContainerBeRestarted), pkg/kubelet/kuberuntime/kuberuntime_container.go
(getTerminationMessage).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from labcluster.api.objects import JSON, is_terminating
from labcluster.node.pods.status import ContainerState

DEFAULT_MESSAGE_PATH = "/dev/termination-log"
MAX_MESSAGE = 4096  # bytes of the file
MAX_LOG_MESSAGE = 2048  # bytes of the log, with terminationMessagePolicy FallbackToLogsOnError
MAX_LOG_LINES = 80


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


def termination_message_file(pod_directory: Path, container: JSON) -> Path:
    """The file on the node that the container sees at its terminationMessagePath."""
    return pod_directory / "containers" / str(container["name"]) / "termination-log"


def termination_message(pod_directory: Path, container: JSON, exit_code: int, log_path: Path) -> str:
    """What the container wrote to that file; or the end of its log if it failed and asks for that."""
    text = _tail(termination_message_file(pod_directory, container), MAX_MESSAGE)
    if text or exit_code == 0 or container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        return text
    lines = _tail(log_path, 16 * MAX_LOG_MESSAGE).splitlines()[-MAX_LOG_LINES:]
    plain = "\n".join(line.split(" ", 3)[-1] for line in lines)
    return plain[-MAX_LOG_MESSAGE:]


def _tail(path: Path, size: int) -> str:
    """The last `size` bytes of a file, "" when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - size, 0))
            return file.read(size).decode(errors="replace")
    except OSError:
        return ""
