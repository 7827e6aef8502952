"""Acting on objects with kubectl's verbs: apply, scale, patch, delete, evict; and reading them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from labsupport import errors
from labsupport.cluster import api, scope, sharing, waiting


def apply(manifest: str | Path) -> None:
    """Create or change what a manifest describes, and say which: YAML text, or a file of notebooks/manifests.

    Objects without a namespace go to the chapter's own; on a shared cluster they are adapted to it (see `sharing`).
    Raises Refused with the server's own text.

    >>> apply("manifests/web.yaml")
    service/web created
    statefulset.apps/web created
    """
    for document in _documents(manifest):
        with errors.readable():
            applied, what = sharing.apply(document, _apply_one)
        print(f"{_reference(applied)} {what}")


def manifest(file: str) -> None:
    """Show a manifest of the chapter as it is written.

    >>> manifest("manifests/web.yaml")
    """
    from IPython.display import Markdown, display

    display(Markdown(f"```yaml\n{Path(file).read_text().rstrip()}\n```"))  # type: ignore[no-untyped-call]


def scale(reference: str, replicas: int) -> None:
    """Ask for that many replicas, as `kubectl scale` does.

    >>> scale("statefulset/web", 3)
    statefulset/web scaled to 3
    """
    patch(reference, {"spec": {"replicas": replicas}}, say=f"{reference} scaled to {replicas}")


def patch(reference: str, change: dict[str, Any], *, say: str = "") -> None:
    """Merge a change into an object (a JSON merge patch), and say so.

    >>> patch("pod/web-0", {"metadata": {"labels": {"colour": "blue"}}})
    pod/web-0 patched
    """
    resource, name = api.split_reference(reference)
    with errors.readable():
        resource.patch(
            body=change, name=name, namespace=scope.of(resource), content_type="application/merge-patch+json"
        )
    print(say or f"{reference} patched")


def delete(
    reference: str, *, grace: int | None = None, cascade: str = "background", wait: bool = True, quiet: bool = False
) -> None:
    """Delete an object and wait until it is gone, as `kubectl delete` does.

    `grace` is in seconds; `cascade` is background, foreground or orphan; `wait=False` returns once the deletion is
    asked for; `quiet` prints nothing, for names that are random. Raises Refused, and WaitFailed after a minute.

    >>> delete("pod/web-0")
    pod/web-0 deleted
    """
    resource, name = api.split_reference(reference)
    options: dict[str, Any] = {"propagationPolicy": cascade.capitalize()}
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    with errors.readable():
        uid = resource.get(name=name, namespace=scope.of(resource)).metadata.uid
        resource.delete(name=name, namespace=scope.of(resource), body=options)
    if wait:
        waiting.gone(resource, name, scope.of(resource), uid)
    if not quiet:
        print(f"{reference} deleted" if wait else f"{reference} deletion asked for")


def evict(pod: str, *, quiet: bool = False) -> None:
    """Ask for a pod's eviction, as `kubectl drain` does for each pod of a node: its PodDisruptionBudget decides.

    `quiet` prints nothing. Raises Refused, with status 429 when the budget has nothing left.

    >>> evict("web-0")
    pod/web-0 evicted
    """
    body = client.V1Eviction(metadata=client.V1ObjectMeta(name=pod))
    with errors.readable():
        api.core().create_namespaced_pod_eviction(pod, scope.namespace(), body)
    if not quiet:
        print(f"pod/{pod} evicted")


def objects(word: str, selector: str = "") -> list[Any]:
    """The chapter's objects of a kind, ordered by name, as the dynamic client's objects.

    >>> [pod.metadata.name for pod in objects("pods", "app=web")]
    ['web-0', 'web-1', 'web-2']
    """
    resource = api.resource(word)
    listed = resource.get(namespace=scope.of(resource), label_selector=selector or None)
    return sorted(listed.items, key=lambda item: str(item.metadata.name))


def obj(reference: str) -> Any:
    """One object, by `kind/name`. Raises Refused when it is not there.

    >>> obj("statefulset/web").status.readyReplicas
    3
    """
    resource, name = api.split_reference(reference)
    with errors.readable():
        return resource.get(name=name, namespace=scope.of(resource))


def _documents(manifest: str | Path) -> Iterator[dict[str, Any]]:
    text = str(manifest)
    if "\n" not in text:
        text = Path(text).read_text()
    for document in yaml.safe_load_all(text):
        if document:
            yield document


def _reference(document: dict[str, Any]) -> str:
    group = document["apiVersion"].rpartition("/")[0]
    kind = document["kind"].lower()
    return f"{kind}.{group}/{document['metadata']['name']}" if group else f"{kind}/{document['metadata']['name']}"


def _apply_one(document: dict[str, Any]) -> str:
    """Server-side apply; returns kubectl's word for what happened."""
    resource = api.resource(document["kind"], document["apiVersion"])
    name, namespace = document["metadata"]["name"], document["metadata"].get("namespace") or scope.of(resource)
    before = api.read(resource, name, namespace)
    after = resource.server_side_apply(
        body=document, name=name, namespace=namespace, field_manager=api.MANAGER, force_conflicts=True
    )
    if before is None:
        return "created"
    return "unchanged" if after.metadata.resourceVersion == before["metadata"]["resourceVersion"] else "configured"
