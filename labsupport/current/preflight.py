"""What the course needs of somebody else's cluster, looked at before anything is made there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from labsupport.backend import Finding
from labsupport.current import relay
from labsupport.kind.readiness import default_classes

OLDEST = (1, 29)


@dataclass(frozen=True)
class Right:
    """Something that the learner has to be allowed. Without a namespace it is asked for in the learner's own."""

    verbs: tuple[str, ...]
    resource: str
    group: str = ""
    subresource: str = ""
    cluster_wide: bool = False
    needed: bool = True  # False: some chapters only
    why: str = ""


_ALL = ("get", "list", "watch", "create", "update", "patch", "delete")
RIGHTS = (
    Right(("get", "list", "watch", "create", "delete"), "namespaces", cluster_wide=True, why="each chapter makes one"),
    Right(("get", "list", "watch"), "nodes", cluster_wide=True, needed=False, why="chapters 00 and 01 look at them"),
    Right(("get", "list", "watch"), "storageclasses", "storage.k8s.io", cluster_wide=True, why="to find the default"),
    Right(
        ("get", "list", "watch", "create", "patch", "delete"),
        "persistentvolumes",
        cluster_wide=True,
        needed=False,
        why="chapters 01 and 02 look at volumes, 03 makes one by hand",
    ),
    Right(("patch",), "nodes", cluster_wide=True, needed=False, why="some chapters cordon a node for a moment"),
    *(Right(_ALL, name) for name in ("pods", "services", "configmaps", "persistentvolumeclaims")),
    *(Right(_ALL, name, "apps") for name in ("statefulsets", "replicasets", "deployments")),
    Right(_ALL, "poddisruptionbudgets", "policy", needed=False, why="chapter 04 makes them"),
    Right(("get", "list", "watch"), "endpointslices", "discovery.k8s.io"),
    Right(("get", "list", "watch"), "events"),
    Right(("get", "list"), "controllerrevisions", "apps"),
    Right(("get", "create"), "pods", subresource="exec"),
    Right(("get",), "pods", subresource="log"),
    Right(("get", "create"), "pods", subresource="portforward", why="in place of NodePorts"),
    Right(("create",), "pods", subresource="eviction", needed=False, why="chapter 04 evicts pods"),
)

# What the course touches outside of the learner's namespaces: said before anything is made, and in the README.
CLUSTER_WIDE = (
    "namespaces: made and deleted, only ones whose name begins with `{prefix}-`",
    "persistent volumes: made by your storage class for claims in those namespaces, and by some chapters by hand",
    "nodes: chapters on placement cordon one for a moment; it is marked, and freed when the chapter begins or ends",
    "NodePorts 30000 to 30029: asked for by Services in those namespaces; another one is taken where it is in use",
)


def examine(api: client.ApiClient, prefix: str) -> Iterator[Finding]:
    """Look at the cluster, as the learner with that prefix. Raises ApiException, urllib3's HTTPError."""
    yield _version(api)
    yield from _rights(api, prefix)
    yield _storage(api)
    yield _nodes(api)
    yield Finding("NodePorts", "ok", "not needed: port-forwards stand in for them, on 127.0.0.1")


def _version(api: client.ApiClient) -> Finding:
    told = client.VersionApi(api).get_code()
    found = tuple(int(re.sub(r"\D.*", "", part) or 0) for part in (told.major, told.minor))
    text = f"Kubernetes {told.git_version} at {api.configuration.host}"
    if found < OLDEST:
        return Finding("version", "fail", text, "the course needs 1.29 or newer: use another cluster, or CLUSTER=kind")
    return Finding("version", "ok", text)


def _rights(api: client.ApiClient, prefix: str) -> Iterator[Finding]:
    missing = []
    for right in RIGHTS:
        namespace = "" if right.cluster_wide else relay.namespace(prefix)
        refused = [verb for verb in right.verbs if not allowed(api, right, verb, namespace)]
        if refused:
            missing.append((right, refused))
    for right, verbs in missing:
        name = right.resource + (f".{right.group}" if right.group else "")
        name += f"/{right.subresource}" if right.subresource else ""
        where = "in the whole cluster" if right.cluster_wide else f"in namespaces that begin with {prefix}-"
        text = f"you may not {', '.join(verbs)} {name} {where}" + (f" ({right.why})" if right.why else "")
        remedy = "ask the cluster's administrator; the README has the list of what the course needs"
        yield Finding("permissions", "fail" if right.needed else "note", text, remedy)
    if not missing:
        yield Finding("permissions", "ok", "you may do everything that the course does")


def allowed(api: client.ApiClient, right: Right, verb: str, namespace: str) -> bool:
    """Whether the user may, by SelfSubjectAccessReview."""
    attributes: dict[str, Any] = {
        "verb": verb,
        "group": right.group,
        "resource": right.resource,
        "subresource": right.subresource,
        "namespace": namespace,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    answer = client.AuthorizationV1Api(api).create_self_subject_access_review(review)
    return bool(answer.status.allowed)


def _storage(api: client.ApiClient) -> Finding:
    try:
        classes = client.StorageV1Api(api).list_storage_class().items
    except ApiException as error:
        return Finding("storage class", "note", f"could not be looked at ({error.status})")
    if not default_classes(classes):
        names = ", ".join(one.metadata.name for one in classes) or "none at all"
        remedy = (
            "the administrator marks one with `kubectl annotate storageclass NAME "
            "storageclass.kubernetes.io/is-default-class=true`"
        )
        return Finding("storage class", "fail", f"none is the default one (there are: {names})", remedy)
    return Finding("storage class", "ok", ", ".join(one.metadata.name for one in classes))


def _nodes(api: client.ApiClient) -> Finding:
    try:
        nodes = client.CoreV1Api(api).list_node().items
    except ApiException as error:
        return Finding("nodes", "note", f"could not be looked at ({error.status}): the pictures lack them")
    taking = [n for n in nodes if not any(t.effect in ("NoSchedule", "NoExecute") for t in n.spec.taints or ())]
    text = f"{len(nodes)}, of which {len(taking)} take ordinary pods"
    if len(taking) < 2:
        return Finding("nodes", "note", f"{text}: chapters on placement expect two", "go on; their outputs differ")
    return Finding("nodes", "ok", text)
