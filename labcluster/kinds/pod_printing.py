"""The table row of a pod: what `kubectl get pods` shows (upstream: printPod in pkg/printers/internalversion)."""

from __future__ import annotations

from typing import Any

from labcluster.api.conditions import is_condition_true, is_pod_finished, is_pod_ready
from labcluster.api.objects import JSON, is_terminating
from labcluster.kinds.kind import Column
from labcluster.kinds.printing import NONE, age, or_none, translate_timestamp

COLUMNS = (
    Column("Name", format="name"),
    Column("Ready", description="Ready containers of all containers of the pod."),
    Column("Status", description="Where the pod stands, seen from its phase and its containers."),
    Column("Restarts", description="How often containers of the pod were restarted, and when that was last."),
    Column("Age"),
    Column("IP", priority=1),
    Column("Node", priority=1),
    Column("Nominated Node", priority=1),
    Column("Readiness Gates", priority=1),
)
NODE_LOST = "NodeLost"  # status.reason of a pod whose node does not answer


def cells(pod: JSON) -> list[Any]:
    """The row of one pod."""
    spec, status = pod["spec"], pod.get("status", {})
    sidecars = {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    view = _View(pod, sidecars)
    addresses = status.get("podIPs") or [{"ip": status.get("podIP")}]
    return [
        pod["metadata"]["name"],
        f"{view.ready}/{len(spec.get('containers') or ()) + len(sidecars)}",
        view.reason,
        view.restarts_text(),
        age(pod),
        or_none(addresses[0].get("ip")),
        or_none(spec.get("nodeName")),
        or_none(status.get("nominatedNodeName")),
        _readiness_gates(pod),
    ]


class _View:
    """What a pod's containers add up to."""

    def __init__(self, pod: JSON, sidecars: set[str]) -> None:
        status = pod.get("status", {})
        self.ready = 0
        self.restarts = 0
        self.last_restart = ""  # RFC 3339 in UTC, so that the text order is the order in time
        self.reason = _phase_reason(pod)
        initializing = self._read_init_containers(pod, sidecars)
        if not initializing or is_condition_true(pod, "Initialized"):
            # Restarts while initialising are forgotten, those of the sidecars are not.
            self.restarts, self.last_restart = 0, ""
            for entry in status.get("initContainerStatuses") or ():
                if entry.get("name") in sidecars:
                    self._count_restarts(entry)
            self._read_containers(pod)
        if is_terminating(pod):
            if status.get("reason") == NODE_LOST:
                self.reason = "Unknown"
            elif not is_pod_finished(pod):
                self.reason = "Terminating"

    def restarts_text(self) -> str:
        """The RESTARTS cell: `3 (12s ago)`."""
        if self.restarts and self.last_restart:
            return f"{self.restarts} ({translate_timestamp(self.last_restart)} ago)"
        return str(self.restarts)

    def _count_restarts(self, entry: JSON) -> None:
        self.restarts += entry.get("restartCount", 0)
        finished = ((entry.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        self.last_restart = max(self.last_restart, finished)

    def _read_init_containers(self, pod: JSON, sidecars: set[str]) -> bool:
        """Look at the init containers up to the one that holds the pod up; True if there is one."""
        for index, entry in enumerate(pod.get("status", {}).get("initContainerStatuses") or ()):
            self._count_restarts(entry)
            state = entry.get("state") or {}
            terminated, waiting = state.get("terminated"), state.get("waiting") or {}
            if terminated is not None and terminated.get("exitCode", 0) == 0:
                continue
            if entry.get("name") in sidecars and entry.get("started"):
                self.ready += bool(entry.get("ready"))
                continue
            if terminated is not None:
                self.reason = f"Init:{_termination_reason(terminated)}"
            elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
                self.reason = f"Init:{waiting['reason']}"
            else:
                self.reason = f"Init:{index}/{len(pod['spec'].get('initContainers') or ())}"
            return True
        return False

    def _read_containers(self, pod: JSON) -> None:
        running = False
        for entry in reversed(pod.get("status", {}).get("containerStatuses") or ()):
            self._count_restarts(entry)
            state = entry.get("state") or {}
            if reason := (state.get("waiting") or {}).get("reason"):
                self.reason = reason
            elif state.get("terminated") is not None:
                self.reason = _termination_reason(state["terminated"])
            elif entry.get("ready") and state.get("running") is not None:
                running = True
                self.ready += 1
        if self.reason == "Completed" and running:
            self.reason = "Running" if is_pod_ready(pod) else "NotReady"


def _phase_reason(pod: JSON) -> str:
    status = pod.get("status", {})
    for entry in status.get("conditions") or ():
        if entry.get("type") == "PodScheduled" and entry.get("reason") == "SchedulingGated":
            return "SchedulingGated"
    return str(status.get("reason") or status.get("phase") or "")


def _termination_reason(terminated: JSON) -> str:
    if reason := terminated.get("reason"):
        return str(reason)
    if signal := terminated.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _readiness_gates(pod: JSON) -> str:
    gates = pod["spec"].get("readinessGates") or ()
    if not gates:
        return NONE
    passed = sum(is_condition_true(pod, gate.get("conditionType", "")) for gate in gates)
    return f"{passed}/{len(gates)}"
