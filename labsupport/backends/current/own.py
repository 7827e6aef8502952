"""What the lab makes on somebody else's cluster, and takes away: the learner's namespaces, and pods in them."""

from __future__ import annotations

import contextlib
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from labsupport.backends.contract import CommandError, Progress
from labsupport.backends.current import relay
from labsupport.backends.readiness import is_ready, until
from labsupport.cluster import scope
from labsupport.settings import IMAGES

_MOST_NODES = 8  # that images are tried on: a large cluster is not ours to fill
_PULL_SECONDS = 300.0


def make_namespace(api: client.ApiClient, prefix: str) -> None:
    """The namespace for what belongs to the lab itself. Raises CommandError when one of that name is not ours."""
    core, name = client.CoreV1Api(api), relay.namespace(prefix)
    try:
        core.create_namespace({"metadata": {"name": name, "labels": {scope.LABEL: prefix}}})
    except ApiException as error:
        if error.status != 409:
            raise
        labels = core.read_namespace(name).metadata.labels or {}
        if labels.get(scope.LABEL) != prefix:
            raise CommandError(
                f"there is a namespace {name} that this course has not made, so it is left alone. "
                "Take another prefix: `make lab CLUSTER=current LAB_PREFIX=...`."
            ) from error

    until(
        api,
        f"/api/v1/namespaces/{name}/serviceaccounts",
        lambda accounts: any(account["metadata"]["name"] == "default" for account in accounts),
        seconds=60,
        what=f"the service account of {name}",
    )


def make_relay(api: client.ApiClient, prefix: str) -> None:
    """The pod that DNS goes through, ready. Raises CommandError."""
    core, name = client.CoreV1Api(api), relay.namespace(prefix)
    try:
        core.create_namespaced_pod(name, relay.pod(prefix, {scope.LABEL: prefix}))
    except ApiException as error:
        if error.status != 409:
            raise CommandError(f"the pod {name}/{relay.POD} was refused: {error.body}") from error

    def ready(pods: list[Any]) -> bool:
        _check_pulls(pods)
        return any(map(is_ready, pods))

    what, labels = f"the pod {name}/{relay.POD}", f"app={relay.POD}"
    until(api, f"/api/v1/namespaces/{name}/pods", ready, seconds=_PULL_SECONDS, what=what, labels=labels)


def pull_images(api: client.ApiClient, prefix: str, progress: Progress) -> int:
    """Start a pod of every image on every node that takes pods, and remove it; how many. Raises CommandError."""
    core, namespace = client.CoreV1Api(api), relay.namespace(prefix)
    try:
        nodes = core.list_node().items
    except ApiException:
        hosts: list[str | None] = [None]  # may not be looked at: wherever the scheduler puts it
    else:
        free = [n for n in nodes if not n.spec.unschedulable]
        taking = [n for n in free if not any(t.effect in ("NoSchedule", "NoExecute") for t in n.spec.taints or ())]
        hosts = [n.metadata.labels.get("kubernetes.io/hostname", n.metadata.name) for n in taking[:_MOST_NODES]]
    names = []
    try:
        for number, image in enumerate(IMAGES):
            progress(f"image {number + 1} of {len(IMAGES)}: {image} on {len(hosts)} nodes")
            for place, host in enumerate(hosts):
                names.append(f"preload-{number}-{place}")
                core.create_namespaced_pod(namespace, _pull_pod(names[-1], image, host))
        until(
            api,
            f"/api/v1/namespaces/{namespace}/pods",
            lambda pods: _ended(pods) >= len(names),
            seconds=_PULL_SECONDS,
            what="the end of the pods that pull images",
            labels="app=preload",
        )
    finally:
        for name in names:
            with contextlib.suppress(ApiException):  # the last one may not have been made
                core.delete_namespaced_pod(name, namespace)
    return len(names)


def _pull_pod(name: str, image: str, host: str | None) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "pull", "image": image, "command": ["sh", "-c", "exit 0"]}],
    }
    if host:
        spec["nodeSelector"] = {"kubernetes.io/hostname": host}
    return {"metadata": {"name": name, "labels": {"app": "preload"}}, "spec": spec}


def _ended(pods: list[Any]) -> int:
    _check_pulls(pods)
    return len([pod for pod in pods if pod["status"].get("phase") in ("Succeeded", "Failed")])


def _check_pulls(pods: list[Any]) -> None:
    """Raise CommandError when a pod cannot get its image."""
    for pod in pods:
        for status in pod["status"].get("containerStatuses") or ():
            waiting = (status.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName"):
                raise CommandError(
                    f"the cluster cannot pull {status['image']}: {waiting.get('message')}. Its administrator can: let "
                    "the nodes reach docker.io, or a mirror of it."
                )


def _remove_volumes(core: client.CoreV1Api, selector: str) -> None:
    """Delete the volumes that chapters have made by hand; they go once their claims have gone."""
    with contextlib.suppress(ApiException):  # who may not look at volumes has made none
        for volume in core.list_persistent_volume(label_selector=selector).items:
            core.delete_persistent_volume(volume.metadata.name)


def remove_namespaces(api: client.ApiClient, prefix: str, *, seconds: float = 180) -> list[str]:
    """Delete the learner's namespaces, and wait until they are gone; their names. Raises CommandError."""
    core = client.CoreV1Api(api)
    selector = f"{scope.LABEL}={prefix}"
    mine = core.list_namespace(label_selector=selector).items
    names = [n.metadata.name for n in mine if n.metadata.name.startswith(f"{prefix}-")]
    for name in names:
        try:
            core.delete_namespace(name)
        except ApiException as error:
            if error.status not in (404, 409):
                raise
    _remove_volumes(core, selector)
    until(
        api,
        "/api/v1/namespaces",
        lambda namespaces: set(names).isdisjoint(n["metadata"]["name"] for n in namespaces),
        seconds=seconds,
        what="the end of your namespaces",
        labels=selector,
    )
    return names
