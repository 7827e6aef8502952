"""The worker of one pod on its node: a task that syncs the pod with its spec, again after every event.

The steps are those of the kubelet's syncPod and syncTerminatingPod (pkg/kubelet/kubelet.go, pod_workers.go).
Container exits, probe results, changes of the pod and of the objects it refers to wake the task; between two events
it sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, is_terminating, name_of, namespace_of, uid_of
from labcluster.api.resources import PODS
from labcluster.api.times import age_seconds, now
from labcluster.node.pods import etc_files
from labcluster.node.pods.container_instance import ContainerInstance
from labcluster.node.pods.environment import Placement
from labcluster.node.pods.node_context import NodeContext, pod_text
from labcluster.node.pods.pod_containers import PodContainers
from labcluster.node.pods.projected_files import VolumeError
from labcluster.node.pods.status import FINISHED, pod_status
from labcluster.node.pods.unsupported import refusals
from labcluster.node.pods.volumes import PodVolumes
from labcluster.node.sandboxes.sandbox import Sandbox
from labcluster.storage.registry import DeleteOptions

log = logging.getLogger(__name__)

RETRY_FIRST = 0.5  # seconds until volumes or the sandbox are tried again, doubling up to RETRY_MOST
RETRY_MOST = 122.0


class PodWorker:
    """Runs one pod. `run` ends when the pod has left the node."""

    def __init__(self, context: NodeContext, pod: JSON) -> None:
        self._context = context
        self.pod = pod
        self._failures = 0
        self._mounted = False
        self._sandbox: Sandbox | None = None
        self._pod_ip = str((pod.get("status") or {}).get("podIP") or "")
        self._started_at = now()
        self._wake = asyncio.Event()
        self._removed = False
        self._publishing = True
        self._failed: tuple[str, str] = ("", "")  # reason and message of a pod that the node failed (its deadline)
        self._volumes = PodVolumes(context.registry, context.rootfs, context.pod_directory(pod), context.tokens)
        self._event = context.events_of(lambda: self.pod)
        self._containers = PodContainers(
            context, pod, self._volumes, wake=self._wake.set, on_change=self.publish, on_exit=self._exited
        )

    @property
    def instances(self) -> dict[str, ContainerInstance]:
        """The containers that run, by name."""
        return self._containers.instances

    @property
    def sandbox(self) -> Sandbox | None:
        """The pod's network; None while it has none."""
        return self._sandbox

    # ------------------------------------------------------------- changes of objects

    def update(self, pod: JSON) -> None:
        """Take a new version of the pod."""
        old, self.pod = self.pod, pod
        self._containers.update(pod)
        if is_terminating(pod):
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
        """A ConfigMap, Secret or claim that the pod uses has changed: refresh volumes, retry containers that wait."""
        self._volumes.refresh(self.pod, self._placement())
        self._containers.retry()
        self._wake.set()

    def pod_removed(self) -> None:
        """The pod object has been removed: kill everything at once."""
        self._removed = True
        self._containers.kill()
        self._wake.set()

    # ------------------------------------------------------------- syncing

    async def run(self) -> None:
        """Sync until the pod is deleted; leaves nothing behind."""
        if not self._containers.interrupted:
            self._note_lost_sandbox()
        while not self._containers.interrupted:
            self._wake.clear()
            delay = await self._sync_safely()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), delay)
        if not self._removed:
            self.publish()
        await self._containers.stop()
        await self._stop_sandbox()
        if not self._removed:
            self.publish(terminal=True)
        try:
            self._clean_up()
        except OSError:  # a full disk, say; what stays is cleared at the next start
            log.exception("pod %s: its directory could not be removed", pod_text(self.pod))
        if not self._removed:
            options = DeleteOptions(grace_seconds=0, uid=uid_of(self.pod))
            with contextlib.suppress(ApiError):
                self._context.registry.delete(PODS, namespace_of(self.pod), name_of(self.pod), options)

    def stop_publishing(self) -> None:
        """The daemon stops: from now on the pod object stays as it is."""
        self._publishing = False

    async def shut_down(self, seconds: float) -> None:
        """End the containers because the daemon stops, within `seconds`; `run` has been cancelled before."""
        await self._containers.shut_down(seconds)
        await self._stop_sandbox()

    async def _sync_safely(self) -> float | None:
        try:
            return await self._sync()
        except Exception as error:
            log.exception("pod %s", pod_text(self.pod))
            self._event("Warning", "FailedSync", f"error syncing pod: {error}")
            return self._next_retry()

    async def _sync(self) -> float | None:
        """One step towards the spec (syncPod); returns the seconds until the next one without an event."""
        if (self.pod.get("status") or {}).get("phase") in FINISHED or self._containers.work_done:
            await self._finish()
            return None
        self.publish()
        refused = "; ".join(refusals(self.pod))
        if refused:
            self._containers.refuse(refused)
            self.publish()
            return None
        left = self._seconds_to_deadline()
        if left is not None and left <= 0:
            message = "Pod was active on the node longer than the specified deadline"
            self._event("Normal", "DeadlineExceeded", message)
            self._failed = ("DeadlineExceeded", message)
            await self._finish()
            return None
        if not await self._prepare():
            return self._next_retry()
        assert self._sandbox is not None
        delays = [await self._containers.start(self._sandbox), left, self._volumes.seconds_to_renewal()]
        if self._containers.work_done:
            await self._finish()
            return None
        self.publish()
        return min((d for d in delays if d is not None), default=None)

    async def _prepare(self) -> bool:
        """Set up volumes and sandbox, as far as they are missing; False when that has to be tried again."""
        if not self._mounted:
            try:
                self._volumes.set_up(self.pod, self._placement())
            except VolumeError as error:
                self._event("Warning", "FailedMount", str(error))
                return False
            self._mounted = True
        elif self._volumes.seconds_to_renewal() == 0:
            self._volumes.refresh(self.pod, self._placement())
        if self._sandbox is None:
            spec = self.pod["spec"]
            node = self._context.node.name
            try:
                self._sandbox = await self._context.runtime.create_sandbox(
                    node,
                    etc_files.hostname(self.pod, node),
                    host_network=bool(spec.get("hostNetwork")),
                    share_processes=bool(spec.get("shareProcessNamespace")),
                )
            except Exception as error:
                text = f"Failed to create pod sandbox: rpc error: code = Unknown desc = {error}"
                self._event("Warning", "FailedCreatePodSandBox", text)
                return False
            self._pod_ip = self._sandbox.ip
            etc_files.write_files(self._context.pod_directory(self.pod), self.pod, self._pod_ip)
        self._failures = 0
        return True

    def _exited(self) -> None:
        """A container has ended. The last one of a pod that ends is published with the end of the sandbox."""
        self._wake.set()
        ending = self._containers.interrupted or self._failed[0] or self._containers.work_done
        if self.instances or not ending:
            self.publish()

    # ------------------------------------------------------------- ending

    async def _stop_sandbox(self) -> None:
        if self._sandbox is not None:
            sandbox, self._sandbox = self._sandbox, None
            try:
                await self._context.runtime.stop_sandbox(sandbox)
            except Exception:  # the pod ends without it
                log.exception("the sandbox of pod %s", pod_text(self.pod))

    async def _finish(self) -> None:
        """Stop what is left of a pod that has finished; the object stays bound to the node until it is deleted."""
        await self._containers.stop()
        await self._stop_sandbox()
        self.publish(terminal=True)
        self._context.discard(self._context.pod_directory(self.pod))

    def _clean_up(self) -> None:
        self._context.images.forget(uid_of(self.pod))
        self._containers.forget_backoff()
        self._context.discard(self._context.pod_directory(self.pod))
        self._context.discard(self._context.pod_logs(self.pod))

    # ------------------------------------------------------------- status

    def publish(self, *, terminal: bool = False) -> None:
        """Write the status, if it differs from what is stored."""
        registry = self._context.registry
        stored = registry.find(PODS, namespace_of(self.pod), name_of(self.pod))
        if not self._publishing or stored is None or uid_of(stored) != uid_of(self.pod):
            return
        reason, message = self._failed
        status = pod_status(
            stored,
            self._containers.states,
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

    def _note_lost_sandbox(self) -> None:
        """Record that the sandbox from before the daemon's stop is lost; in a new one the init containers run again."""
        if not any(state.container_id for state in self._containers.states.values()) or self._containers.work_done:
            return
        self._pod_ip = ""
        self._event("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        for state in self._containers.states.values():
            if state.init and "terminated" in state.state:
                state.set_waiting("PodInitializing")

    def _placement(self) -> Placement:
        return self._context.placement(self._pod_ip)

    def _seconds_to_deadline(self) -> float | None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        began = (self.pod.get("status") or {}).get("startTime")
        return None if seconds is None or not began else float(seconds) - age_seconds(began)

    def _next_retry(self) -> float:
        self._failures += 1
        return min(RETRY_FIRST * 2.0 ** (self._failures - 1), RETRY_MOST)
