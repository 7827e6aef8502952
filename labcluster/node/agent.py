"""The agent of the three nodes: a worker for every pod that is bound to one of them; answers logs, exec and attach.

One agent serves all nodes: what upstream's kubelets keep apart is the node name of each pod (pkg/kubelet/kubelet.go
syncLoopIteration, HandlePodAdditions ... HandlePodCleanups).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from labcluster import settings
from labcluster.api.conditions import is_pod_finished
from labcluster.api.errors import ApiError, bad_request
from labcluster.api.objects import JSON, annotations_of, is_terminating, name_of, namespace_of, uid_of
from labcluster.api.pod_runtime import LogOptions, StreamSession
from labcluster.api.resources import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
)
from labcluster.auth.token_binding import Binding, to_pod
from labcluster.node import node_object as node_status
from labcluster.node.containers.log import read_log
from labcluster.node.images import image_table
from labcluster.node.images.pull import ImagePuller
from labcluster.node.pods.node_context import NodeContext
from labcluster.node.pods.projected_files import VolumeError
from labcluster.node.pods.status import CONTAINER_LISTS
from labcluster.node.pods.volumes import PROVISIONED_BY, delete_directory, delete_volume_data, uses
from labcluster.node.pods.worker import PodWorker
from labcluster.node.runtime import Runtime
from labcluster.node.spec import Image, StartError
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Change, Registry

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 2.0  # the grace period of containers when the daemon stops

# (namespace, service account, its uid, audiences, seconds, what it is bound to) -> token
IssueToken = Callable[[str, str, str, list[str], int, Binding], str]


class NodeAgent:
    """Runs the pods of all nodes. Implements api.pod_runtime.PodRuntime."""

    def __init__(
        self,
        registry: Registry,
        runtime: Runtime,
        state: Path,
        issue_token: IssueToken | None = None,
        *,
        resolve_image: Callable[[str], Image] = image_table.resolve,
    ) -> None:
        """`state` is the state directory: the nodes live in `nodes/` below it. The runtime is started by the caller."""
        self._registry = registry
        self._issue_token = issue_token
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unsubscribe: list[Callable[[], None]] = []
        self._heartbeat: asyncio.Task[None] | None = None
        self._stopped = False
        directory = state / "nodes"
        directory.mkdir(parents=True, exist_ok=True)
        directory = directory.resolve()  # what containers mount has no links in its path
        self._capacity = node_status.capacity(directory)
        puller = ImagePuller(resolve_image)
        self._contexts = {
            node.name: NodeContext(
                node,
                directory / node.name,
                registry,
                runtime,
                EventRecorder(registry, "kubelet", node.name),
                puller,
                self._token if issue_token else None,
                self._capacity,
            )
            for node in settings.NODES
        }

    # ------------------------------------------------------------------ start and stop

    async def start(self) -> None:
        """Register the nodes, remove the leftovers of pods that are gone, and start a worker for each of the others."""
        for context in self._contexts.values():
            node_status.register(self._registry, context.node, self._capacity, _image_list())
        self._remove_leftovers()
        sources: dict[object, Callable[[Change], None]] = {
            PODS: self._pod_changed,
            CONFIG_MAPS: self._object_changed,
            SECRETS: self._object_changed,
            PERSISTENT_VOLUME_CLAIMS: self._object_changed,
            PERSISTENT_VOLUMES: self._volume_changed,
        }
        self._unsubscribe = [self._registry.subscribe(r, f) for r, f in sources.items()]  # type: ignore[arg-type]
        self._heartbeat = asyncio.create_task(self._report_statuses(), name="node heartbeat")

    async def stop(self) -> None:
        """End all containers, by TERM and then KILL; the pod objects stay, and run again after the next start."""
        self._stopped = True
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        if self._heartbeat:
            self._heartbeat.cancel()
        for worker in self._workers.values():
            worker.stop_publishing()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        ends = [worker.shut_down(SHUTDOWN_SECONDS) for worker in self._workers.values()]
        await asyncio.gather(*ends, return_exceptions=True)
        self._workers.clear()

    def remove_volume(self, node: str, path: str) -> None:
        """Delete a directory of a node, given by its path there: for the provisioner. Raises OSError."""
        context = self._contexts.get(node)
        if context is not None:
            delete_directory(context.rootfs, path)

    async def _report_statuses(self) -> None:
        while True:
            await asyncio.sleep(node_status.HEARTBEAT_SECONDS)
            for context in self._contexts.values():
                with contextlib.suppress(ApiError):  # deleted by a user: it comes back with the next start
                    node_status.report(self._registry, context.node, self._capacity, _image_list())

    def _remove_leftovers(self) -> None:
        """Remove the directories of pods that are gone (HandlePodCleanups)."""
        pods = {uid_of(p): p for p in self._registry.list(PODS)}
        for context in self._contexts.values():
            for directory in _entries(context.pods_directory):
                if directory.name not in pods or is_pod_finished(pods[directory.name]):
                    shutil.rmtree(directory, ignore_errors=True)
            shutil.rmtree(context.trash, ignore_errors=True)
            for directory in _entries(context.logs_directory):
                if directory.name.rpartition("_")[2] not in pods:
                    shutil.rmtree(directory, ignore_errors=True)

    # ------------------------------------------------------------------ changes

    def _pod_changed(self, change: Change) -> None:
        pod, uid = change.object, uid_of(change.object)
        worker = self._workers.get(uid)
        if change.type == "DELETED":
            if worker is not None:
                worker.pod_removed()
        elif worker is not None:
            worker.update(pod)
        elif pod["spec"].get("nodeName") in self._contexts and (not is_pod_finished(pod) or is_terminating(pod)):
            self._start_worker(pod)

    def _start_worker(self, pod: JSON) -> None:
        uid = uid_of(pod)
        worker = PodWorker(self._contexts[pod["spec"]["nodeName"]], pod)
        task = asyncio.get_running_loop().create_task(worker.run(), name=f"pod {namespace_of(pod)}/{name_of(pod)}")
        self._workers[uid], self._tasks[uid] = worker, task
        task.add_done_callback(lambda done: self._worker_ended(uid, done))

    def _worker_ended(self, uid: str, task: asyncio.Task[None]) -> None:
        if self._stopped:
            return
        self._workers.pop(uid, None)
        self._tasks.pop(uid, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("the worker of pod %s failed", uid, exc_info=task.exception())

    def _object_changed(self, change: Change) -> None:
        namespace, name = namespace_of(change.object), name_of(change.object)
        for worker in self._workers.values():
            if namespace_of(worker.pod) == namespace and uses(worker.pod, change.resource, name):
                worker.object_changed()

    def _volume_changed(self, change: Change) -> None:
        volume = change.object
        claim = volume["spec"].get("claimRef") or {}
        for worker in self._workers.values():
            if namespace_of(worker.pod) == claim.get("namespace") and uses(
                worker.pod, PERSISTENT_VOLUME_CLAIMS, claim.get("name", "")
            ):
                worker.object_changed()
        released = (volume.get("status") or {}).get("phase") in ("Released", "Failed")
        policy = volume["spec"].get("persistentVolumeReclaimPolicy")
        if change.type == "DELETED" and released and policy == "Delete" and PROVISIONED_BY in annotations_of(volume):
            for context in self._contexts.values():
                try:
                    delete_volume_data(context.rootfs, volume)
                except OSError:  # a link in its place, say
                    log.exception("the data of volume %s could not be removed from a node", name_of(volume))

    def _token(self, pod: JSON, audience: str, seconds: int) -> str:
        assert self._issue_token is not None
        namespace, name = namespace_of(pod), str(pod["spec"].get("serviceAccountName") or "default")
        account = self._registry.find(SERVICE_ACCOUNTS, namespace, name)
        if account is None:
            raise VolumeError(f'failed to fetch token: serviceaccounts "{name}" not found')
        audiences = [audience] if audience else []
        return self._issue_token(namespace, name, uid_of(account), audiences, seconds, to_pod(self._registry, pod))

    # ------------------------------------------------------------------ PodRuntime

    async def logs(self, pod: JSON, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Chunks of a container's log. Raises ApiError when there is nothing to read from (yet)."""
        context = self._contexts.get(pod["spec"].get("nodeName") or "")
        entry = _container_status(pod, container)
        state, last = entry.get("state") or {}, entry.get("lastState") or {}
        where = f'container "{container}" in pod "{name_of(pod)}"'
        count = int(entry.get("restartCount") or 0)
        if options.previous:
            if "terminated" not in last:
                raise bad_request(f"previous terminated {where} not found")
            count -= "waiting" not in state
        elif not ("running" in state or "terminated" in state or "terminated" in last):
            reason = (state.get("waiting") or {}).get("reason") or "ContainerCreating"
            why = {
                "ErrImagePull": "image can't be pulled",
                "ImagePullBackOff": "trying and failing to pull image",
            }
            raise bad_request(f"{where} is waiting to start: {why.get(reason, reason)}")
        if context is None:
            raise bad_request(f'pod "{name_of(pod)}" is not on a node of this cluster')
        try:
            async for chunk in read_log(context.log_path(pod, container, count), options):
                yield chunk
        except FileNotFoundError as error:
            identity = entry.get("containerID", "")
            raise ApiError(500, "InternalError", f"unable to retrieve container logs for {identity}") from error

    async def exec(self, pod: JSON, container: str, command: list[str], *, stdin: bool, tty: bool) -> StreamSession:
        """Start a program in a running container. Raises ApiError."""
        phase = (pod.get("status") or {}).get("phase")
        if is_pod_finished(pod):
            raise bad_request(f"cannot exec into a container in a completed pod; current phase is {phase}")
        worker = self._workers.get(uid_of(pod))
        instance = worker.instances.get(container) if worker else None
        if instance is None:
            raise _upgrade_refused(f'container not found ("{container}")')
        try:
            return await instance.container.exec(command, stdin=stdin, tty=tty)
        except StartError as error:
            message = f"Internal error occurred: error executing command in container: {error}"
            raise ApiError(500, "InternalError", message) from error

    async def attach(self, pod: JSON, container: str, *, stdin: bool, stderr: bool) -> StreamSession:
        """Attach to the streams of a running container (kubelet_pods.go, GetAttach). Raises ApiError."""
        worker = self._workers.get(uid_of(pod))
        instance = worker.instances.get(container) if worker else None
        if instance is None:
            raise _upgrade_refused(f"container {container} not found in pod {name_of(pod)}_{namespace_of(pod)}")
        if stderr and instance.spec.get("tty"):  # a terminal has one stream; kubectl knows, and does not ask for two
            raise _upgrade_refused("rpc error: code = InvalidArgument desc = tty and stderr cannot both be true")
        return instance.container.attach(stdin=stdin)

    async def dial(self, pod: JSON, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a port of a pod on its own 127.0.0.1. Raises ApiError when it is not running, and OSError."""
        worker = self._workers.get(uid_of(pod))
        sandbox = worker.sandbox if worker else None
        if sandbox is None:
            raise ApiError(404, "NotFound", f'pod not found ("{name_of(pod)}_{namespace_of(pod)}")')
        return await sandbox.dial(port)


def _upgrade_refused(why: str) -> ApiError:
    """The API server's error for a stream that the kubelet refuses (apiserver's StreamTranslatorHandler)."""
    return ApiError(500, "InternalError", f"Internal error occurred: unable to upgrade connection: {why}")


def _container_status(pod: JSON, name: str) -> JSON:
    status = pod.get("status") or {}
    for _, statuses in CONTAINER_LISTS:
        for entry in status.get(statuses) or ():
            if entry["name"] == name:
                return entry  # type: ignore[no-any-return]
    return {}


def _entries(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.is_dir() else []


def _image_list() -> list[JSON]:
    """The images of the table whose programs are on this machine, as a node lists them."""
    return [{"names": [name], "sizeBytes": 0} for name, _ in image_table.available()]
