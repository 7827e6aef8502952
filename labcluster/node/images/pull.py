"""Pulling a container's image, with the kubelet's events, reasons and back-off (pkg/kubelet/images/image_manager.go).

Images are local programs, so a "pull" takes no time: it finds the image or it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from labcluster.api.objects import JSON
from labcluster.node.backoff import Backoff
from labcluster.node.images.image_table import ImageError, InvalidImageName
from labcluster.node.spec import Image

# Records an event about the container: (type, reason, message).
RecordEvent = Callable[[str, str, str], None]

ERR_IMAGE_PULL_SECONDS = 1.0  # until ErrImagePull becomes ImagePullBackOff: about one sync of the kubelet


@dataclass
class ImageWait(Exception):
    """The image is not there: the reason and message of the waiting container, and when to look again."""

    reason: str
    message: str
    retry_after: float  # seconds


class ImagePuller:
    """Resolves the images of containers; remembers failures by pod and image, for the back-off."""

    def __init__(self, resolve: Callable[[str], Image], backoff: Backoff | None = None) -> None:
        self._resolve = resolve
        self._backoff = backoff or Backoff()
        self._failed_at: dict[str, tuple[float, str]] = {}

    def ensure(self, pod_uid: str, container: JSON, event: RecordEvent) -> Image:
        """The image of the container. Raises ImageWait."""
        name, policy = container["image"], container.get("imagePullPolicy") or "IfNotPresent"
        try:
            image, problem = self._find(name)
        except InvalidImageName as error:
            event("Warning", "InspectFailed", str(error))
            raise ImageWait("InvalidImageName", str(error), self._backoff.maximum) from error
        if image is not None and policy != "Always":
            event(
                "Normal",
                "Pulled",
                f'Container image "{name}" already present on machine and can be accessed by the pod',
            )
            return image
        if policy == "Never":
            message = f'Container image "{name}" is not present with pull policy of Never'
            event("Warning", "ErrImageNeverPull", message)
            raise ImageWait("ErrImageNeverPull", message, self._backoff.maximum)
        key = f"{pod_uid}_{name}"
        since, before = self._failed_at.get(key, (0.0, ""))
        remaining = self._backoff.remaining(key, since) if before else 0.0
        if remaining > 0:
            event("Normal", "BackOff", f'Back-off pulling image "{name}"')
            raise ImageWait("ImagePullBackOff", f'Back-off pulling image "{name}": ErrImagePull: {before}', remaining)
        event("Normal", "Pulling", f'Pulling image "{name}"')
        if image is None:
            event("Warning", "Failed", f'Failed to pull image "{name}": {problem}')
            now = self._backoff.now()
            self._backoff.next(key, now)
            self._failed_at[key] = (now, problem)
            raise ImageWait("ErrImagePull", problem, ERR_IMAGE_PULL_SECONDS)
        self._failed_at.pop(key, None)
        event("Normal", "Pulled", f'Successfully pulled image "{name}" in 1ms (1ms including waiting).')
        return image

    def forget(self, pod_uid: str) -> None:
        """Forget the failures of a pod that is gone."""
        for key in [k for k in self._failed_at if k.startswith(f"{pod_uid}_")]:
            del self._failed_at[key]
            self._backoff.forget(key)

    def _find(self, name: str) -> tuple[Image | None, str]:
        try:
            return self._resolve(name), ""
        except InvalidImageName:
            raise
        except ImageError as error:
            return None, str(error)
