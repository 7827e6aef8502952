"""The life of one pod on its node: one task that brings it to its spec, again after everything that happens.

The steps are those of the kubelet's syncPod, computePodActions and syncTerminatingPod (pkg/kubelet/kubelet.go,
pod_workers.go, kuberuntime/kuberuntime_manager.go). Container exits, probe results, changes of the pod and of the
objects it refers to wake the task; between two events it sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from labsupport.embedded.errors import ApiError
from labsupport.embedded.node import etc_files
from labsupport.embedded.node.backoff import go_duration
from labsupport.embedded.node.container_instance import PROBES, ContainerInstance, HookError
from labsupport.embedded.node.container_start import ContainerWait, prepare
from labsupport.embedded.node.image_pull import ImageWait
from labsupport.embedded.node.node_context import NodeContext, pod_text
from labsupport.embedded.node.pod_status import FINISHED, ContainerState, initial_states, pod_status
from labsupport.embedded.node.projected_files import VolumeError
from labsupport.embedded.node.restart_rules import is_work_done, should_restart
from labsupport.embedded.node.spec import ExitStatus, StartError
from labsupport.embedded.node.termination_message import read_message
from labsupport.embedded.node.unsupported import refusals
from labsupport.embedded.node.volumes import PodVolumes
from labsupport.embedded.objects import JSON, age_seconds, is_terminating, name_of, namespace_of, now, uid_of
from labsupport.embedded.registry import DeleteOptions
from labsupport.embedded.resources import PODS

if TYPE_CHECKING:
    from collections.abc import Callable

    from labsupport.embedded.node.environment import Placement
    from labsupport.embedded.node.sandbox import Sandbox

log = logging.getLogger(__name__)

RETRY_FIRST = 0.5  # seconds until volumes or the sandbox are tried again, doubling up to RETRY_MOST
RETRY_MOST = 122.0


class PodWorker:
    """Runs one pod. `run` ends when the pod has left the node."""

    def __init__(self, context: NodeContext, pod: JSON) -> None:
        self._context = context
        self.pod = pod
        self.states: dict[str, ContainerState] = {}
        self.instances: dict[str, ContainerInstance] = {}
        self._finished_at: dict[str, float] = {}  # by container, on the clock of the restart back-off
        self._retry_at: dict[str, float] = {}  # by container, time.monotonic()
        self._failures = 0
        self._mounted = False
        self._sandbox: Sandbox | None = None
        self._pod_ip = str((pod.get("status") or {}).get("podIP") or "")
        self._started_at = now()
        self._wake = asyncio.Event()
        self._gone = False
        self._frozen = False
        self._deleted_at = 0.0
        self._failed: tuple[str, str] = ("", "")  # reason and message of a pod that was ended by the node
        self._volumes = PodVolumes(context.registry, context.rootfs, context.pod_directory(pod), context.tokens)
        self._events: dict[str, Callable[[str, str, str], None]] = {"": context.events_of(lambda: self.pod)}
        self._load_containers()

    @property
    def sandbox(self) -> Sandbox | None:
        """The pod's network; None while it has none."""
        return self._sandbox

    # ------------------------------------------------------------- what others tell it
    def update(self, pod: JSON) -> None:
        """Take a new version of the pod."""
        old, self.pod = self.pod, pod
        if is_terminating(pod):
            self._note_deletion()
            old_grace = old["metadata"].get("deletionGracePeriodSeconds")
            if not is_terminating(old) or old_grace != pod["metadata"].get("deletionGracePeriodSeconds"):
                self._wake.set()
        elif old["spec"] != pod["spec"]:
            self._wake.set()
        if any(old["metadata"].get(k) != pod["metadata"].get(k) for k in ("labels", "annotations")):
            self._volumes.refresh(pod, self._placement())
        if pod["spec"].get("readinessGates"):
            self._wake.set()  # the condition of a gate may have changed: Ready depends on it

    def object_changed(self) -> None:
        """A ConfigMap, Secret or claim that the pod uses has changed: show it, or try again what failed for it."""
        self._volumes.refresh(self.pod, self._placement())
        self._retry_at.clear()
        self._wake.set()

    def vanish(self) -> None:
        """The pod object is gone: end everything at once."""
        self._gone = True
        for instance in self.instances.values():
            instance.kill()
        self._wake.set()

    # ------------------------------------------------------------- its life

    async def run(self) -> None:
        """Live until the pod is deleted; leaves nothing behind."""
        self._note_deletion()
        if not self._interrupted():
            self._note_lost_sandbox()
        while not self._interrupted():
            self._wake.clear()
            delay = await self._sync_safely()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), delay)
        if not self._gone:
            self.publish()
        await self._stop_containers()
        await self._close_sandbox()
        if not self._gone:
            self.publish(terminal=True)
        try:
            self._clean_up()
        except OSError:  # a full disk, say; what stays is cleared at the next start
            log.exception("pod %s: its directory could not be removed", pod_text(self.pod))
        if not self._gone:
            options = DeleteOptions(grace_seconds=0, uid=uid_of(self.pod))
            with contextlib.suppress(ApiError):
                self._context.registry.delete(PODS, namespace_of(self.pod), name_of(self.pod), options)

    def freeze(self) -> None:
        """The node stops: from now on the pod object stays as it is."""
        self._frozen = True

    async def shut_down(self, seconds: float) -> None:
        """End the containers of a node that stops, at the latest after `seconds`; `run` has been cancelled before."""
        running = list(self.instances.values())
        for instance in running:
            instance.stop("", seconds)
        for instance in running:
            await instance.wait()
        await self._close_sandbox()

    async def _sync_safely(self) -> float | None:
        try:
            return await self._sync()
        except Exception as error:
            log.exception("pod %s", pod_text(self.pod))
            self._events[""]("Warning", "FailedSync", f"error syncing pod: {error}")
            return self._next_retry()

    async def _sync(self) -> float | None:
        """One step towards the spec; returns the seconds until it must look again on its own."""
        if (self.pod.get("status") or {}).get("phase") in FINISHED or is_work_done(self.pod, self.states):
            await self._finish()
            return None
        self.publish()
        refused = "; ".join(refusals(self.pod))
        if refused:
            for name, state in self.states.items():
                state.wait("CreateContainerConfigError", refused)
                self._events[name]("Warning", "Failed", f"Error: {refused}")
            self.publish()
            return None
        left = self._seconds_to_deadline()
        if left is not None and left <= 0:
            message = "Pod was active on the node longer than the specified deadline"
            self._events[""]("Normal", "DeadlineExceeded", message)
            self._failed = ("DeadlineExceeded", message)
            await self._finish()
            return None
        if not await self._ready_to_start():
            return self._next_retry()
        delays = [await self._start_containers(), left, self._volumes.seconds_to_renewal()]
        if is_work_done(self.pod, self.states):
            await self._finish()
            return None
        self.publish()
        return min((d for d in delays if d is not None), default=None)

    async def _ready_to_start(self) -> bool:
        """Have volumes and a sandbox; False when that has to be tried again."""
        if not self._mounted:
            try:
                self._volumes.set_up(self.pod, self._placement())
            except VolumeError as error:
                self._events[""]("Warning", "FailedMount", str(error))
                return False
            self._mounted = True
        elif self._volumes.seconds_to_renewal() == 0:
            self._volumes.refresh(self.pod, self._placement())
        if self._sandbox is None:
            spec = self.pod["spec"]
            node = self._context.node.name
            try:
                self._sandbox = await self._context.runtime.create_sandbox(
                    uid_of(self.pod),
                    node,
                    etc_files.hostname(self.pod, node),
                    host_network=bool(spec.get("hostNetwork")),
                )
            except Exception as error:
                text = f"Failed to create pod sandbox: rpc error: code = Unknown desc = {error}"
                self._events[""]("Warning", "FailedCreatePodSandBox", text)
                return False
            self._pod_ip = self._sandbox.ip
            etc_files.write_files(self._context.pod_directory(self.pod), self.pod, self._pod_ip)
        self._failures = 0
        return True

    # ------------------------------------------------------------- starting containers

    async def _start_containers(self) -> float | None:
        """Start what should run and does not: the next init container, or all others. Returns seconds to wait."""
        delays: list[float] = []
        initialized = True
        for spec in self.pod["spec"].get("initContainers") or ():
            state = self.states[spec["name"]]
            if state.sidecar:
                delays += await self._keep_running(spec, state)
                if not state.started:
                    return min(delays, default=None)
            elif not (state.completed and "terminated" in state.state):
                delays += await self._keep_running(spec, state)
                initialized = False
                break
        if initialized:
            for spec in self.pod["spec"]["containers"]:
                if self._interrupted():
                    break
                delays += await self._keep_running(spec, self.states[spec["name"]])
        return min(delays, default=None)

    async def _keep_running(self, spec: JSON, state: ContainerState) -> list[float]:
        """Start one container if it is due. Returns the seconds to wait for it, if any."""
        name = spec["name"]
        instance = self.instances.get(name)
        if instance is not None:
            if instance.spec["image"] != spec["image"] and not instance.stopping:
                instance.stop(f"Container {name} definition changed, will be restarted", self._grace())
            return []
        if state.terminated is not None and not should_restart(self.pod, spec, state.terminated["exitCode"]):
            return []
        left = self._retry_at.get(name, 0.0) - time.monotonic()
        if left > 0:
            return [left]
        if state.terminated is not None and name in self._finished_at:
            left = self._back_off(name, state)
            if left > 0:
                return [left]
        try:
            await self._start(spec, state)
        except (ImageWait, ContainerWait) as wait:
            what = wait.message if isinstance(wait, ContainerWait) else wait.reason
            self._events[name]("Warning", "Failed", f"Error: {what}")
            state.wait(wait.reason, wait.message)
            self._retry_at[name] = time.monotonic() + wait.retry_after
            return [wait.retry_after]
        return []

    def _back_off(self, name: str, state: ContainerState) -> float:
        """Seconds until a container that has ended may be started again (doBackOff)."""
        restarts, key, since = self._context.restarts, f"{uid_of(self.pod)}_{name}", self._finished_at[name]
        left = restarts.remaining(key, since)
        if left <= 0:
            restarts.next(key, since)
            return 0.0
        if "terminated" in state.state:
            where = pod_text(self.pod)
            self._events[name]("Warning", "BackOff", f"Back-off restarting failed container {name} in pod {where}")
            delay = go_duration(restarts.seconds(key))
            state.wait("CrashLoopBackOff", f"back-off {delay} restarting failed container={name} pod={where}")
        return left

    async def _start(self, spec: JSON, state: ContainerState) -> None:
        """Start one container. Raises ImageWait and ContainerWait when it cannot be started now."""
        assert self._sandbox is not None
        name = spec["name"]
        event = self._events[name]
        image = self._context.images.ensure(uid_of(self.pod), spec, event)
        again = state.terminated is not None
        count = state.restart_count + 1 if again else state.restart_count
        wanted = prepare(self._context, self.pod, spec, image, self._volumes, self._sandbox, count)
        state.image, state.image_id = wanted.image_name, wanted.image_id
        try:
            container = await self._context.runtime.run(self._sandbox, wanted.container)
        except StartError as error:
            event("Normal", "Created", "Container created")
            event("Warning", "Failed", f"Error: {error}")
            state.restart_count = count
            state.end(128, "StartError", now(), str(error))
            self._finished_at[name] = self._context.restarts.now()
            self._wake.set()
            return
        event("Normal", "Created", "Container created")
        event("Normal", "Started", "Container started")
        self._retry_at.pop(name, None)
        state.restart_count = count
        state.run(f"bubblewrap://{container.id}", container.started_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
        instance = ContainerInstance(
            spec,
            container,
            self._pod_ip,
            event,
            lambda kind, passed: self._probed(spec, kind, passed),
            lambda status: self._exited(spec, status),
        )
        self.instances[name] = instance
        if self._gone:
            instance.kill()
        elif (spec.get("lifecycle") or {}).get("postStart"):
            self.publish()
            await self._post_start(instance, event)
        if spec.get("stdin"):
            await instance.settle()
        if not instance.exited:
            self._begin_probing(instance, state)

    async def _post_start(self, instance: ContainerInstance, event: Callable[[str, str, str], None]) -> None:
        """Run the hook, but not beyond the pod's deletion; the other containers wait for it."""
        hook = asyncio.ensure_future(instance.post_start())
        woken = asyncio.ensure_future(self._deletion())
        try:
            await asyncio.wait({hook, woken}, return_when=asyncio.FIRST_COMPLETED)
            if hook.done():
                hook.result()
        except HookError as error:
            event("Warning", "FailedPostStartHook", f"PostStartHook failed: {error}")
            instance.stop("FailedPostStartHook", self._grace())
        finally:
            hook.cancel()
            woken.cancel()
            self._wake.set()  # _deletion may have taken what was meant for the next step

    async def _deletion(self) -> None:
        while not self._interrupted():
            self._wake.clear()
            await self._wake.wait()

    def _begin_probing(self, instance: ContainerInstance, state: ContainerState) -> None:
        spec = instance.spec
        if spec.get("startupProbe"):
            instance.probe("Startup")
            return
        state.started = True
        self._probe_started(instance, state)

    def _probe_started(self, instance: ContainerInstance, state: ContainerState) -> None:
        if not instance.spec.get("readinessProbe"):
            state.ready = not state.init or state.sidecar
        for kind in ("Liveness", "Readiness"):
            instance.probe(kind)

    # ------------------------------------------------------------- what happens to containers

    def _probed(self, spec: JSON, kind: str, passed: bool) -> None:
        name = spec["name"]
        state, instance = self.states[name], self.instances.get(name)
        if instance is None:
            return
        if kind == "Readiness":
            state.ready = passed
        elif kind == "Startup" and passed:
            state.started = True
            self._probe_started(instance, state)
            self._wake.set()  # a sidecar that has started lets the next container start
        elif not passed:
            grace = spec[PROBES[kind]].get("terminationGracePeriodSeconds")
            message = f"Container {name} failed {kind.lower()} probe, will be restarted"
            instance.stop(message, self._grace() if grace is None else grace)
        self.publish()

    def _exited(self, spec: JSON, status: ExitStatus) -> None:
        name = spec["name"]
        state = self.states[name]
        finished = status.finished_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        reason = "Completed" if status.code == 0 else "Error"
        path = self._context.log_path(self.pod, name, state.restart_count)
        message = read_message(self._context.pod_directory(self.pod), spec, status.code, path)
        state.end(status.code, reason, finished, message)
        self._finished_at[name] = self._context.restarts.now()
        self.instances.pop(name, None)
        self._wake.set()
        # The last one of a pod that is over is published together with the end of the sandbox.
        if self.instances or not (self._interrupted() or self._failed[0] or is_work_done(self.pod, self.states)):
            self.publish()

    # ------------------------------------------------------------- ending

    def _note_deletion(self) -> None:
        """Begin (or shorten) the grace period when the pod is being deleted."""
        if is_terminating(self.pod):
            self._deleted_at = self._deleted_at or time.monotonic()
            left = self._deleted_at + self._grace() - time.monotonic()
            for instance in self.instances.values():
                if instance.stopping:
                    instance.stop("", max(left, 0.0))

    def _grace(self) -> float:
        metadata = self.pod["metadata"]
        if metadata.get("deletionGracePeriodSeconds") is not None:
            return float(metadata["deletionGracePeriodSeconds"])
        seconds = self.pod["spec"].get("terminationGracePeriodSeconds")
        return 30.0 if seconds is None else float(seconds)

    async def _stop_containers(self) -> None:
        """Stop the ordinary containers together, then the sidecars, last first; bounded by the grace period."""
        deadline = (self._deleted_at or time.monotonic()) + self._grace()
        init = [c["name"] for c in self.pod["spec"].get("initContainers") or ()]
        groups = [[n for n in self.instances if n not in init], *([n] for n in reversed(init))]
        for group in groups:
            running = [self.instances[n] for n in group if n in self.instances]
            for instance in running:
                instance.stop_probes("Startup", "Liveness")
                if self._gone:
                    instance.kill()
                else:
                    left = max(deadline - time.monotonic(), 0.0)
                    instance.stop(f"Stopping container {instance.spec['name']}", left)
            for instance in running:
                await instance.wait()

    async def _close_sandbox(self) -> None:
        if self._sandbox is not None:
            sandbox, self._sandbox = self._sandbox, None
            try:
                await sandbox.close()
            except Exception:  # nothing that a pod's end could wait for
                log.exception("the sandbox of pod %s", pod_text(self.pod))

    async def _finish(self) -> None:
        """End what is left of a pod whose work is over; it stays on the node until it is deleted."""
        await self._stop_containers()
        await self._close_sandbox()
        self.publish(terminal=True)
        self._context.discard(self._context.pod_directory(self.pod))

    def _clean_up(self) -> None:
        self._context.images.forget(uid_of(self.pod))
        for name in self.states:
            self._context.restarts.forget(f"{uid_of(self.pod)}_{name}")
        self._context.discard(self._context.pod_directory(self.pod))
        self._context.discard(self._context.pod_logs(self.pod))

    # ------------------------------------------------------------- status

    def publish(self, *, terminal: bool = False) -> None:
        """Write the status, if it differs from what is stored."""
        registry = self._context.registry
        stored = registry.find(PODS, namespace_of(self.pod), name_of(self.pod))
        if self._frozen or stored is None or uid_of(stored) != uid_of(self.pod):
            return
        reason, message = self._failed
        status = pod_status(
            stored,
            self.states,
            host_ip=str(self._context.node.address),
            pod_ip=self._pod_ip,
            sandbox_ready=self._sandbox is not None,
            start_time=self._started_at,
            terminal=terminal,
            reason=reason,
            message=message,
        )
        if status != stored.get("status"):
            with contextlib.suppress(ApiError):
                registry.update(PODS, {**stored, "status": status}, subresource="status")

    def _load_containers(self) -> None:
        self.states = initial_states(self.pod)
        for name, state in self.states.items():
            path = f"spec.{'initContainers' if state.init else 'containers'}{{{name}}}"
            self._events[name] = self._context.events_of(lambda: self.pod, path)

    def _note_lost_sandbox(self) -> None:
        """Say so when the pod had a sandbox before the node was stopped; in a new one the init containers run again."""
        if not any(state.container_id for state in self.states.values()) or is_work_done(self.pod, self.states):
            return
        self._pod_ip = ""
        self._events[""]("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        for state in self.states.values():
            if state.init and "terminated" in state.state:
                state.wait("PodInitializing")

    def _placement(self) -> Placement:
        return self._context.placement(self._pod_ip)

    def _interrupted(self) -> bool:
        return self._gone or is_terminating(self.pod)

    def _seconds_to_deadline(self) -> float | None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        began = (self.pod.get("status") or {}).get("startTime")
        return None if seconds is None or not began else float(seconds) - age_seconds(began)

    def _next_retry(self) -> float:
        self._failures += 1
        return min(RETRY_FIRST * 2.0 ** (self._failures - 1), RETRY_MOST)
