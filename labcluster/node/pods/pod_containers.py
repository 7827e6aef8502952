"""The containers of one pod: which of them to start, CrashLoopBackOff, probe results and exits, and the stop of all.

The steps are those of computePodActions, doBackOff, startContainer and killContainersWithSyncResult
(pkg/kubelet/kuberuntime/kuberuntime_manager.go, kuberuntime_container.go). When to take them is the pod worker's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from labcluster.api.objects import JSON, is_terminating, uid_of
from labcluster.api.times import now
from labcluster.node.backoff import go_duration
from labcluster.node.containers.container import Container
from labcluster.node.images.pull import ImageWait, RecordEvent
from labcluster.node.pods.container_config import ContainerWait, generate_container_config
from labcluster.node.pods.container_exit import is_work_done, should_restart, termination_message
from labcluster.node.pods.container_instance import PROBES, ContainerInstance, HookError
from labcluster.node.pods.node_context import NodeContext, pod_text
from labcluster.node.pods.status import CONTAINER_LISTS, ContainerState, add_ephemeral_states, initial_states
from labcluster.node.pods.volumes import PodVolumes
from labcluster.node.sandboxes.sandbox import Sandbox
from labcluster.node.spec import ExitStatus, StartError


class PodContainers:
    """The states of a pod's containers, and the instances that run."""

    def __init__(
        self,
        context: NodeContext,
        pod: JSON,
        volumes: PodVolumes,
        *,
        wake: Callable[[], None],
        on_change: Callable[[], None],
        on_exit: Callable[[], None],
    ) -> None:
        """`wake` asks for another sync; `on_change` is called when a status has changed, `on_exit` after each end."""
        self._context = context
        self._pod = pod
        self._volumes = volumes
        self._wake, self._on_change, self._on_exit = wake, on_change, on_exit
        self.states: dict[str, ContainerState] = initial_states(pod)
        self.instances: dict[str, ContainerInstance] = {}
        self._finished_at: dict[str, float] = {}  # by container, on the clock of the restart back-off
        self._retry_at: dict[str, float] = {}  # by container, time.monotonic()
        self._events: dict[str, RecordEvent] = {}
        self._deleted_at = 0.0
        self._removed = False
        self._interruption = asyncio.Event()
        self.update(pod)

    @property
    def interrupted(self) -> bool:
        """Whether the pod is being deleted, or is gone: nothing is started any more."""
        return self._interruption.is_set()

    @property
    def work_done(self) -> bool:
        """Whether the pod's work is over."""
        return is_work_done(self._pod, self.states)

    def update(self, pod: JSON) -> None:
        """Take a new version of the pod; begin (or shorten) the grace period when it is being deleted."""
        self._pod = pod
        add_ephemeral_states(pod, self.states)
        for kind, _ in CONTAINER_LISTS:
            for name in (spec["name"] for spec in pod["spec"].get(kind) or ()):
                self._events.setdefault(name, self._context.events_of(lambda: self._pod, f"spec.{kind}{{{name}}}"))
        if is_terminating(pod):
            self._interruption.set()
            self._deleted_at = self._deleted_at or time.monotonic()
            left = self._deleted_at + self._grace() - time.monotonic()
            for instance in self.instances.values():
                if instance.stopping:
                    instance.stop("", max(left, 0.0))

    def kill(self) -> None:
        """The pod object has been removed: kill everything at once."""
        self._removed = True
        self._interruption.set()
        for instance in self.instances.values():
            instance.kill()

    def retry(self) -> None:
        """Try again at once what could not be started."""
        self._retry_at.clear()

    def refuse(self, why: str) -> None:
        """Let all containers wait: the pod asks for what the node does not serve."""
        for name, state in self.states.items():
            state.set_waiting("CreateContainerConfigError", why)
            self._events[name]("Warning", "Failed", f"Error: {why}")

    def forget_backoff(self) -> None:
        """Forget the CrashLoopBackOff delays of the containers."""
        for name in self.states:
            self._context.restarts.forget(f"{uid_of(self._pod)}_{name}")

    # ------------------------------------------------------------- starting

    async def start(self, sandbox: Sandbox) -> float | None:
        """Start what is due: the ephemeral containers, and the next init container or else the ordinary ones.

        Returns the seconds until it must be called again, if any.
        """
        delays: list[float] = []
        for spec in self._pod["spec"].get("ephemeralContainers") or ():
            state = self.states[spec["name"]]
            if state.terminated is None:  # it is started once
                delays += await self._start_if_due(sandbox, spec, state)
        initialized = True
        for spec in self._pod["spec"].get("initContainers") or ():
            state = self.states[spec["name"]]
            if state.sidecar:
                delays += await self._start_if_due(sandbox, spec, state)
                if not state.started:
                    return min(delays, default=None)
            elif not (state.completed and "terminated" in state.state):
                delays += await self._start_if_due(sandbox, spec, state)
                initialized = False
                break
        if initialized:
            for spec in self._pod["spec"]["containers"]:
                if self.interrupted:
                    break
                delays += await self._start_if_due(sandbox, spec, self.states[spec["name"]])
        return min(delays, default=None)

    async def _start_if_due(self, sandbox: Sandbox, spec: JSON, state: ContainerState) -> list[float]:
        """Start one container if it is due, or stop it if its image has changed. Returns the seconds to wait."""
        name = spec["name"]
        instance = self.instances.get(name)
        if instance is not None:
            if instance.spec["image"] != spec["image"] and not instance.stopping:
                instance.stop(f"Container {name} definition changed, will be restarted", self._grace())
            return []
        if state.terminated is not None and not should_restart(self._pod, spec, state.terminated["exitCode"]):
            return []
        left = self._retry_at.get(name, 0.0) - time.monotonic()
        if left > 0:
            return [left]
        if state.terminated is not None and name in self._finished_at:
            left = self._back_off(name, state)
            if left > 0:
                return [left]
        try:
            await self._start(sandbox, spec, state)
        except (ImageWait, ContainerWait) as wait:
            text = wait.message if isinstance(wait, ContainerWait) else wait.reason
            self._events[name]("Warning", "Failed", f"Error: {text}")
            state.set_waiting(wait.reason, wait.message)
            self._retry_at[name] = time.monotonic() + wait.retry_after
            return [wait.retry_after]
        return []

    def _back_off(self, name: str, state: ContainerState) -> float:
        """Seconds of CrashLoopBackOff that are left before a container may be restarted (doBackOff)."""
        restarts, key, since = self._context.restarts, f"{uid_of(self._pod)}_{name}", self._finished_at[name]
        left = restarts.remaining(key, since)
        if left <= 0:
            restarts.next(key, since)
            return 0.0
        if "terminated" in state.state:
            where = pod_text(self._pod)
            self._events[name]("Warning", "BackOff", f"Back-off restarting failed container {name} in pod {where}")
            delay = go_duration(restarts.seconds(key))
            state.set_waiting("CrashLoopBackOff", f"back-off {delay} restarting failed container={name} pod={where}")
        return left

    async def _start(self, sandbox: Sandbox, spec: JSON, state: ContainerState) -> None:
        """Start one container. Raises ImageWait and ContainerWait when it cannot be started now."""
        name = spec["name"]
        event = self._events[name]
        image = self._context.images.ensure(uid_of(self._pod), spec, event)
        target = self._target(spec)
        count = state.restart_count + (state.terminated is not None)
        config = generate_container_config(self._context, self._pod, spec, image, self._volumes, sandbox.ip, count)
        state.image, state.image_id = config.image_name, config.image_id
        try:
            container = await self._context.runtime.run(sandbox, config.spec, target)
        except StartError as error:
            event("Normal", "Created", "Container created")
            event("Warning", "Failed", f"Error: {error}")
            state.restart_count = count
            state.set_terminated(128, "StartError", now(), str(error))
            self._finished_at[name] = self._context.restarts.now()
            self._wake()
            return
        event("Normal", "Created", "Container created")
        event("Normal", "Started", "Container started")
        self._retry_at.pop(name, None)
        state.restart_count = count
        state.set_running(f"bubblewrap://{container.id}", container.started_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
        instance = ContainerInstance(
            spec,
            container,
            sandbox.ip,
            event,
            lambda kind, passed: self._on_probe_result(spec, kind, passed),
            lambda status: self._on_container_exit(spec, status),
        )
        self.instances[name] = instance
        self._retry_ephemeral(name)
        if self._removed:
            instance.kill()
        elif (spec.get("lifecycle") or {}).get("postStart"):
            self._on_change()
            await self._post_start(instance, event)
        if spec.get("stdin"):
            await instance.wait_if_quick()
        if not instance.exited:
            self._begin_startup_probe(instance, state)

    def _target(self, spec: JSON) -> Container | None:
        """The container whose PID namespace an ephemeral one joins. Raises ContainerWait while it does not run."""
        name = spec.get("targetContainerName")
        if not name:
            return None
        instance = self.instances.get(name)
        if instance is None:
            why = f'invalid target container: container "{name}" is not running'
            raise ContainerWait("CreateContainerError", f"failed to generate container spec: {why}")
        return instance.container

    def _retry_ephemeral(self, target: str) -> None:
        """A container runs: retry the ephemeral containers whose target it is."""
        for spec in self._pod["spec"].get("ephemeralContainers") or ():
            if spec.get("targetContainerName") == target and self._retry_at.pop(spec["name"], None) is not None:
                self._wake()

    async def _post_start(self, instance: ContainerInstance, event: RecordEvent) -> None:
        """Run the postStart hook, but not beyond the pod's deletion; the other containers wait for it."""
        hook = asyncio.ensure_future(instance.post_start())
        interrupted = asyncio.ensure_future(self._interruption.wait())
        try:
            await asyncio.wait({hook, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            if hook.done():
                hook.result()
        except HookError as error:
            event("Warning", "FailedPostStartHook", f"PostStartHook failed: {error}")
            instance.stop("FailedPostStartHook", self._grace())
        finally:
            hook.cancel()
            interrupted.cancel()

    # ------------------------------------------------------------- probe results and exits

    def _begin_startup_probe(self, instance: ContainerInstance, state: ContainerState) -> None:
        spec = instance.spec
        if spec.get("startupProbe"):
            instance.probe("Startup")
            return
        state.started = True
        self._begin_other_probes(instance, state)

    def _begin_other_probes(self, instance: ContainerInstance, state: ContainerState) -> None:
        if not instance.spec.get("readinessProbe"):
            state.ready = state.sidecar or not (state.init or state.ephemeral)
        for kind in ("Liveness", "Readiness"):
            instance.probe(kind)

    def _on_probe_result(self, spec: JSON, kind: str, passed: bool) -> None:
        name = spec["name"]
        state, instance = self.states[name], self.instances.get(name)
        if instance is None:
            return
        if kind == "Readiness":
            state.ready = passed
        elif kind == "Startup" and passed:
            state.started = True
            self._begin_other_probes(instance, state)
            self._wake()  # a sidecar that has started lets the next container start
        elif not passed:
            grace = spec[PROBES[kind]].get("terminationGracePeriodSeconds")
            message = f"Container {name} failed {kind.lower()} probe, will be restarted"
            instance.stop(message, self._grace() if grace is None else grace)
        self._on_change()

    def _on_container_exit(self, spec: JSON, status: ExitStatus) -> None:
        name = spec["name"]
        state = self.states[name]
        finished = status.finished_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        reason = "Completed" if status.code == 0 else "Error"
        path = self._context.log_path(self._pod, name, state.restart_count)
        message = termination_message(self._context.pod_directory(self._pod), spec, status.code, path)
        state.set_terminated(status.code, reason, finished, message)
        self._finished_at[name] = self._context.restarts.now()
        self.instances.pop(name, None)
        self._on_exit()

    # ------------------------------------------------------------- ending

    def _grace(self) -> float:
        metadata = self._pod["metadata"]
        if metadata.get("deletionGracePeriodSeconds") is not None:
            return float(metadata["deletionGracePeriodSeconds"])
        seconds = self._pod["spec"].get("terminationGracePeriodSeconds")
        return 30.0 if seconds is None else float(seconds)

    async def stop(self) -> None:
        """Stop the ordinary containers together, then the sidecars in reverse order; bounded by the grace period."""
        deadline = (self._deleted_at or time.monotonic()) + self._grace()
        init = [c["name"] for c in self._pod["spec"].get("initContainers") or ()]
        groups = [[n for n in self.instances if n not in init], *([n] for n in reversed(init))]
        for group in groups:
            running = [self.instances[n] for n in group if n in self.instances]
            for instance in running:
                instance.stop_probes("Startup", "Liveness")
                if self._removed:
                    instance.kill()
                else:
                    left = max(deadline - time.monotonic(), 0.0)
                    instance.stop(f"Stopping container {instance.spec['name']}", left)
            for instance in running:
                await instance.wait()

    async def shut_down(self, seconds: float) -> None:
        """End all because the node stops, at the latest after `seconds`."""
        running = list(self.instances.values())
        for instance in running:
            instance.stop("", seconds)
        for instance in running:
            await instance.wait()
