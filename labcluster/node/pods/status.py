"""The status of a pod, computed from its containers as the kubelet computes it.

Sources: pkg/kubelet/kubelet_pods.go (getPhase, convertToAPIContainerStatuses), pkg/kubelet/status/generate.go
(the conditions), pkg/kubelet/status/status_manager.go (what is kept from the old status).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from labcluster.api.conditions import condition, is_condition_true
from labcluster.api.objects import JSON
from labcluster.api.times import now

OWNED_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
CONTAINER_LISTS = (  # of the spec, and of the status
    ("initContainers", "initContainerStatuses"),
    ("containers", "containerStatuses"),
    ("ephemeralContainers", "ephemeralContainerStatuses"),
)
FINISHED = ("Succeeded", "Failed")
LOST = 137  # the exit code of a container that was lost with its node


@dataclass
class ContainerState:
    """What is known of one container of a pod; `state` and `last_state` are as in the API."""

    name: str
    image: str
    init: bool = False
    sidecar: bool = False  # an init container with restartPolicy Always
    ephemeral: bool = False  # added to a running pod to debug it: phase and conditions ignore it
    state: JSON = field(default_factory=dict)
    last_state: JSON = field(default_factory=dict)
    restart_count: int = 0
    ready: bool = False
    started: bool = False
    image_id: str = ""
    container_id: str = ""

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return "running" in self.state

    @property
    def terminated(self) -> JSON | None:
        """How its newest instance ended: of the state, or of the last one while it waits to be started again."""
        terminated = self.state.get("terminated")
        if terminated is None and "waiting" in self.state:
            terminated = self.last_state.get("terminated")
        return terminated

    @property
    def completed(self) -> bool:
        """Whether it has ended with exit code 0."""
        return self.terminated is not None and self.terminated["exitCode"] == 0

    def set_waiting(self, reason: str, message: str = "") -> None:
        """Set the state to waiting; if it was terminated, that becomes the last state."""
        if "terminated" in self.state:
            self.last_state = {"terminated": self.state["terminated"]}
        self.state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        self.ready = self.started = False

    def set_running(self, container_id: str, started_at: str) -> None:
        """Set the state to running."""
        if "terminated" in self.state:
            self.last_state = {"terminated": self.state["terminated"]}
        self.container_id = container_id
        self.state = {"running": {"startedAt": started_at}}

    def set_terminated(self, exit_code: int, reason: str, finished_at: str, message: str = "") -> None:
        """Set the state to terminated."""
        began = (self.state.get("running") or {}).get("startedAt") or finished_at
        ended: JSON = {"exitCode": exit_code, "reason": reason}
        if message:
            ended["message"] = message
        ended |= {"startedAt": began, "finishedAt": finished_at}
        if self.container_id:
            ended["containerID"] = self.container_id
        self.state = {"terminated": ended}
        # An init container that did its work counts as ready for good (convertToAPIContainerStatuses).
        self.ready = self.init and not self.sidecar and exit_code == 0
        self.started = False

    def status(self, spec: JSON) -> JSON:
        """The entry of containerStatuses."""
        resources = spec.get("resources") or {}
        entry: JSON = {
            "name": self.name,
            "state": self.state,
            "lastState": self.last_state,
            "ready": self.ready,
            "restartCount": self.restart_count,
            "image": self.image,
            "imageID": self.image_id,
        }
        if self.container_id:
            entry["containerID"] = self.container_id
        if not self.ephemeral:
            entry["started"] = self.started
        if self.running:
            if resources.get("requests"):
                entry["allocatedResources"] = resources["requests"]
            entry["resources"] = {k: resources[k] for k in ("limits", "requests") if resources.get(k)}
        mounts = [_mount(m) for m in spec.get("volumeMounts") or ()]
        if mounts:
            entry["volumeMounts"] = mounts
        return entry


def initial_states(pod: JSON) -> dict[str, ContainerState]:
    """The states of the pod's containers when its worker starts; those that ran before, by its status, are lost."""
    status = pod.get("status") or {}
    known = {entry["name"]: entry for _, key in CONTAINER_LISTS for entry in status.get(key) or ()}
    states = {}
    for kind, _ in CONTAINER_LISTS:
        for container in pod["spec"].get(kind) or ():
            state = _new_state(pod, container, kind)
            if container["name"] in known:
                state = restored(known[container["name"]], state)
                if state.running:
                    state.set_terminated(LOST, "Error", now(), "The node was stopped while the container ran.")
            states[state.name] = state
    return states


def add_ephemeral_states(pod: JSON, states: dict[str, ContainerState]) -> None:
    """Add the states of ephemeral containers that are new in the pod."""
    for container in pod["spec"].get("ephemeralContainers") or ():
        if container["name"] not in states:
            states[container["name"]] = _new_state(pod, container, "ephemeralContainers")


def _new_state(pod: JSON, container: JSON, kind: str) -> ContainerState:
    state = ContainerState(
        container["name"],
        container["image"],
        init=kind == "initContainers",
        sidecar=kind == "initContainers" and container.get("restartPolicy") == "Always",
        ephemeral=kind == "ephemeralContainers",
    )
    state.set_waiting("PodInitializing" if pod["spec"].get("initContainers") else "ContainerCreating")
    return state


def restored(entry: JSON, new: ContainerState) -> ContainerState:
    """The state that an entry of containerStatuses describes: the inverse of ContainerState.status."""
    return replace(
        new,
        state=entry.get("state") or {},
        last_state=entry.get("lastState") or {},
        restart_count=entry.get("restartCount", 0),
        ready=entry.get("ready", False),
        started=bool(entry.get("started")),
        image_id=entry.get("imageID", ""),
        container_id=entry.get("containerID", ""),
    )


def _mount(mount: JSON) -> JSON:
    entry = {"name": mount["name"], "mountPath": mount["mountPath"]}
    return entry | {"readOnly": True, "recursiveReadOnly": "Disabled"} if mount.get("readOnly") else entry


def phase(pod: JSON, states: Mapping[str, ContainerState], *, terminal: bool = False) -> str:
    """The pod's phase (getPhase). `terminal` says that nothing will be started again (deletion, deadline)."""
    spec = pod["spec"]
    policy = spec.get("restartPolicy") or "Always"
    pending = failed = 0
    for container in spec.get("initContainers") or ():
        state = states[container["name"]]
        if state.sidecar:
            pending += not (state.started or state.terminated is not None)
        elif state.terminated is None:
            pending += 1
        elif not state.completed:
            failed += 1
    apps = [states[c["name"]] for c in spec["containers"]]
    running = sum(s.running for s in apps)
    stopped = sum(s.terminated is not None for s in apps)
    succeeded = sum(s.completed for s in apps)
    waiting = len(apps) - running - stopped
    if terminal:
        if any(s.running for s in states.values()):
            return "Pending" if pending or failed or waiting else "Running"
        return "Succeeded" if not failed and succeeded == len(apps) else "Failed"
    if failed and policy == "Never":
        return "Failed"
    if pending or failed or waiting:
        return "Pending"
    if running:
        return "Running"
    if policy == "Always":
        return "Running"
    if succeeded == len(apps):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def pod_status(
    pod: JSON,
    states: Mapping[str, ContainerState],
    *,
    host_ip: str,
    pod_ip: str,
    sandbox_ready: bool,
    start_time: str,
    terminal: bool = False,
    reason: str = "",
    message: str = "",
) -> JSON:
    """The whole status. Conditions keep their lastTransitionTime, and those of others are left alone."""
    spec = pod["spec"]
    old = pod.get("status") or {}
    generation = pod["metadata"].get("generation")
    now_phase = "Failed" if reason and terminal else phase(pod, states, terminal=terminal)
    if old.get("phase") in FINISHED:
        now_phase = old["phase"]  # a finished pod stays finished
    elif now_phase in FINISHED and any(state.running for state in states.values()):
        now_phase = old.get("phase") or "Pending"  # until sidecars and debuggers have ended (mergePodStatus)
    conditions = _conditions(pod, states, now_phase, sandbox_ready)
    status: JSON = {}
    if generation:
        status["observedGeneration"] = generation
    status["phase"] = now_phase
    kept = [c for c in old.get("conditions") or () if c["type"] not in OWNED_CONDITIONS]
    status["conditions"] = [*kept, *(_transition(old, c, generation) for c in conditions)]
    if reason or old.get("reason"):
        status |= {"message": message or old.get("message", ""), "reason": reason or old.get("reason")}
    status |= {"hostIP": host_ip, "hostIPs": [{"ip": host_ip}]}
    if pod_ip:
        status |= {"podIP": pod_ip, "podIPs": [{"ip": pod_ip}]}
    status["startTime"] = old.get("startTime") or start_time
    for kind, statuses in CONTAINER_LISTS:
        # An ephemeral container that has just been added is not known here yet.
        entries = [states[c["name"]].status(c) for c in spec.get(kind) or () if c["name"] in states]
        if entries:
            status[statuses] = entries
    for foreign in ("qosClass", "nominatedNodeName", "resize", "resourceClaimStatuses"):
        if foreign in old:
            status[foreign] = old[foreign]
    return status


def _conditions(pod: JSON, states: Mapping[str, ContainerState], now_phase: str, sandbox_ready: bool) -> list[JSON]:
    containers_ready = _containers_ready(pod, states, now_phase)
    return [
        _condition("PodReadyToStartContainers", sandbox_ready),
        _initialized(pod, states, now_phase),
        _ready(pod, containers_ready),
        {**containers_ready, "type": "ContainersReady"},
        _condition("PodScheduled", True),
    ]


def _condition(kind: str, value: bool, reason: str = "", message: str = "") -> JSON:
    entry: JSON = {"type": kind, "status": "True" if value else "False"}
    if reason:
        entry["reason"] = reason
    if message:
        entry["message"] = message
    return entry


def _initialized(pod: JSON, states: Mapping[str, ContainerState], now_phase: str) -> JSON:
    init = pod["spec"].get("initContainers") or ()
    if now_phase == "Succeeded":
        return _condition("Initialized", True, "PodCompleted")
    waiting = []
    for container in init:
        state = states[container["name"]]
        if not (state.started if state.sidecar else state.completed and "terminated" in state.state):
            waiting.append(container["name"])
    if waiting and not any(states[c["name"]].running for c in pod["spec"]["containers"]):
        text = f"containers with incomplete status: [{' '.join(waiting)}]"
        return _condition("Initialized", False, "ContainersNotInitialized", text)
    return _condition("Initialized", True)


def _containers_ready(pod: JSON, states: Mapping[str, ContainerState], now_phase: str) -> JSON:
    if now_phase == "Succeeded":
        return _condition("ContainersReady", False, "PodCompleted")
    if now_phase == "Failed":
        return _condition("ContainersReady", False, "PodFailed")
    sidecars = [c for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"]
    unready = [c["name"] for c in (*sidecars, *pod["spec"]["containers"]) if not states[c["name"]].ready]
    if unready:
        text = f"containers with unready status: [{' '.join(unready)}]"
        return _condition("ContainersReady", False, "ContainersNotReady", text)
    return _condition("ContainersReady", True)


def _ready(pod: JSON, containers_ready: JSON) -> JSON:
    if containers_ready["status"] != "True":
        return {**containers_ready, "type": "Ready"}
    problems = []
    for kind in (gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()):
        gate = condition(pod, kind)
        if gate is None:
            problems.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif not is_condition_true(pod, kind):
            problems.append(f'the status of pod readiness gate "{kind}" is not "True", but {gate["status"]}')
    if problems:
        return _condition("Ready", False, "ReadinessGatesNotReady", ", ".join(problems))
    return _condition("Ready", True)


def _transition(old: JSON, new: JSON, generation: int | None) -> JSON:
    before = next((c for c in old.get("conditions") or () if c["type"] == new["type"]), None)
    same = before is not None and before["status"] == new["status"]
    entry: JSON = {"type": new["type"]}
    if generation:
        entry["observedGeneration"] = generation
    time = before["lastTransitionTime"] if before is not None and same else now()
    entry |= {"status": new["status"], "lastProbeTime": None, "lastTransitionTime": time}
    return entry | {k: new[k] for k in ("reason", "message") if k in new}
