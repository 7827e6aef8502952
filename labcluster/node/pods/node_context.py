"""One node: its settings, its directories, and what the workers of its pods share."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from labcluster.api.generated_names import random_suffix
from labcluster.api.objects import JSON, name_of, namespace_of, uid_of
from labcluster.node.backoff import Backoff
from labcluster.node.images.pull import ImagePuller, RecordEvent
from labcluster.node.pods.environment import Placement
from labcluster.node.pods.projected_files import TokenSource
from labcluster.node.runtime import Runtime
from labcluster.settings import NodeSettings
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Registry


@dataclass
class NodeContext:
    """One node: its settings, its directories, and the services that its pods use."""

    node: NodeSettings
    directory: Path  # everything of this node: pods/, logs/, rootfs/
    registry: Registry
    runtime: Runtime
    recorder: EventRecorder
    images: ImagePuller
    tokens: TokenSource | None = None
    allocatable: dict[str, str] = field(default_factory=dict)
    restarts: Backoff = field(default_factory=Backoff)  # CrashLoopBackOff

    @property
    def rootfs(self) -> Path:
        """The directory that stands for the node's root file system."""
        return self.directory / "rootfs"

    @property
    def pods_directory(self) -> Path:
        """Where each pod has a directory, by uid."""
        return self.directory / "pods"

    @property
    def logs_directory(self) -> Path:
        """Where each pod has a directory of logs, as in /var/log/pods."""
        return self.directory / "logs"

    @property
    def trash(self) -> Path:
        """Where directories go that are being removed; emptied when the agent starts."""
        return self.directory / "trash"

    def discard(self, directory: Path) -> None:
        """Move a directory to the trash at once, and remove it in the background; nothing when it does not exist."""
        if directory.exists():
            self.trash.mkdir(parents=True, exist_ok=True)
            trashed = self.trash / f"{directory.name}.{random_suffix()}"
            directory.rename(trashed)
            asyncio.get_running_loop().run_in_executor(None, lambda: shutil.rmtree(trashed, ignore_errors=True))

    def pod_directory(self, pod: JSON) -> Path:
        """The pod's own directory."""
        return self.pods_directory / uid_of(pod)

    def pod_logs(self, pod: JSON) -> Path:
        """The directory of the pod's logs."""
        return self.logs_directory / f"{namespace_of(pod)}_{name_of(pod)}_{uid_of(pod)}"

    def log_path(self, pod: JSON, container: str, restart_count: int) -> Path:
        """The log file of one instance of a container."""
        return self.pod_logs(pod) / container / f"{restart_count}.log"

    def placement(self, pod_ip: str) -> Placement:
        """What the downward API knows of a pod with that address."""
        return Placement(self.node.name, str(self.node.address), pod_ip, self.allocatable)

    def events_of(self, pod: Callable[[], JSON], field_path: str = "") -> RecordEvent:
        """A function that records events (type, reason, message) about the pod, or about one of its containers."""
        return lambda kind, reason, message: self.recorder.event(pod(), kind, reason, message, field_path=field_path)


def pod_text(pod: JSON) -> str:
    """The pod as the kubelet's messages name it: name_namespace(uid)."""
    return f"{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"
