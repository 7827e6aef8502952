"""A chapter's own namespace: clean at the first cell, removed at the last.

What a chapter makes outside of it, a PersistentVolume, carries the label course.lab/chapter and goes with it.
"""

from __future__ import annotations

from kubernetes import client

from labsupport.chapter import shell
from labsupport.cluster import api, nodes, scope, sharing, verbs, waiting

LABEL = "course.lab/chapter"


def begin(chapter: str) -> None:
    """Start a chapter in a clean namespace of its own. Whatever an earlier run left in it is removed first.

    >>> begin("01")
    namespace chapter-01 is clean
    """
    name = sharing.namespace(f"chapter-{chapter}")
    nodes.release()
    _remove(name)
    body = client.V1Namespace(metadata=client.V1ObjectMeta(name=name, labels={LABEL: chapter, **sharing.labels()}))
    api.core().create_namespace(body)
    # Pods are refused until the namespace has its service account.
    waiting.until(api.resource("serviceaccount"), "default", name, lambda found: found is not None, "there", timeout=30)
    scope.enter(name)
    shell.prepare(name)
    print(f"namespace {name} is clean")


def end() -> None:
    """Remove the chapter's namespace and everything in it.

    >>> end()
    namespace chapter-01 is removed
    """
    name = scope.namespace()
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
        waiting.until(api.resource("namespace"), name, "", lambda found: found is None, "gone", timeout=120)
    for volume in _volumes({LABEL: name.rpartition("chapter-")[2], **sharing.labels()}):
        verbs.delete(f"persistentvolume/{volume}", quiet=True)


def _volumes(labels: dict[str, str]) -> list[str]:
    """The names of the volumes with these labels; none where this user may not look at volumes."""
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    try:
        return [str(found.metadata.name) for found in api.core().list_persistent_volume(label_selector=selector).items]
    except api.ApiException as error:
        if error.status != 403:
            raise
        return []
