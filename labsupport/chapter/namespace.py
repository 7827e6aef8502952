"""A chapter's own namespace: clean at the first cell, removed at the last.

What a chapter makes outside of it, a PersistentVolume, carries the label course.lab/chapter and goes with it.
"""

from __future__ import annotations

from kubernetes import client

from labsupport import errors
from labsupport.chapter import shell
from labsupport.cluster import api, nodes, scope, verbs, waiting

LABEL = "course.lab/chapter"


def begin(chapter: str) -> None:
    """Start a chapter in a clean namespace of its own. Whatever an earlier run left in it is removed first.

    Raises Refused, NotConnected, WaitFailed.

    >>> begin("01")
    namespace chapter-01 is clean
    """
    name = scope.prefixed(f"chapter-{chapter}")
    body = client.V1Namespace(metadata=client.V1ObjectMeta(name=name, labels={LABEL: chapter, **scope.labels()}))
    with errors.readable():
        nodes.release()
        _remove(name)
        api.core().create_namespace(body)
        # Pods are refused until the namespace has its service account.
        accounts = api.resource("serviceaccount")
        waiting.until(accounts, "default", name, lambda account: account is not None, "there", timeout=30)
    scope.enter(name)
    shell.prepare(name)
    print(f"namespace {name} is clean")


def end() -> None:
    """Remove the chapter's namespace and everything in it. Raises Refused, NotConnected, WaitFailed.

    >>> end()
    namespace chapter-01 is removed
    """
    name = scope.namespace()
    with errors.readable():
        nodes.release()
        _remove(name)
    scope.enter(None)
    print(f"namespace {name} is removed")


def _remove(name: str) -> None:
    """Delete a namespace and wait until it is gone, and then the chapter's volumes, which are in no namespace."""
    try:
        api.core().delete_namespace(name)
    except api.ApiException as error:
        if error.status != 404:
            raise
    else:
        waiting.until(api.resource("namespace"), name, None, lambda obj: obj is None, "gone", timeout=120)
    for volume in _volumes({LABEL: name.rpartition("chapter-")[2], **scope.labels()}):
        verbs.delete(f"persistentvolume/{volume}", quiet=True)


def _volumes(labels: dict[str, str]) -> list[str]:
    """The names of the volumes with these labels; none where this user may not look at volumes."""
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    try:
        volumes = api.core().list_persistent_volume(label_selector=selector).items
    except api.ApiException as error:
        if error.status != 403:
            raise
        return []
    return [str(volume.metadata.name) for volume in volumes]
