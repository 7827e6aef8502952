"""What the course needs of somebody else's cluster, looked at before anything is made there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from labsupport.backends.contract import Finding
from labsupport.backends.current import relay, rights
from labsupport.backends.readiness import is_default
from labsupport.settings import IMAGES

OLDEST = (1, 29)


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
    yield from host_network(api, prefix)
    yield Finding("NodePorts", "ok", "not needed: port-forwards stand in for them, on 127.0.0.1")


def _version(api: client.ApiClient) -> Finding:
    told = client.VersionApi(api).get_code()
    found = tuple(int(re.sub(r"\D.*", "", part) or 0) for part in (told.major, told.minor))
    text = f"Kubernetes {told.git_version} at {api.configuration.host}"
    if found < OLDEST:
        return Finding("version", "fail", text, "the course needs 1.29 or newer: use another cluster, or CLUSTER=kind")
    return Finding("version", "ok", text)


def _rights(api: client.ApiClient, prefix: str) -> Iterator[Finding]:
    lacking = list(rights.missing(api, relay.namespace(prefix)))
    for right, verbs in lacking:
        where = "in the whole cluster" if right.cluster_wide else f"in namespaces that begin with {prefix}-"
        text = f"you may not {', '.join(verbs)} {right.qualified} {where}" + (f" ({right.why})" if right.why else "")
        remedy = "ask the cluster's administrator: docs/learner-role.yaml grants all that the course needs"
        yield Finding("permissions", "fail" if right.needed else "note", text, remedy)
    if not lacking:
        yield Finding("permissions", "ok", "you may do everything that the course does")


def _storage(api: client.ApiClient) -> Finding:
    try:
        classes = client.StorageV1Api(api).list_storage_class().items
    except ApiException as error:
        return Finding("storage class", "note", f"could not be looked at ({error.status})")
    if not any(is_default(one.metadata.annotations) for one in classes):
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


def host_network(api: client.ApiClient, prefix: str) -> Iterator[Finding]:
    """Whether a pod in its node's network is admitted: asked by a dry run, once the lab's namespace is there."""
    container = {"name": "machine", "image": IMAGES[0]}
    pod = {"metadata": {"name": "machine"}, "spec": {"hostNetwork": True, "containers": [container]}}
    try:
        client.CoreV1Api(api).create_namespaced_pod(relay.namespace(prefix), pod, dry_run="All")
    except ApiException as error:
        if error.status == 403 and "hostNetwork" in str(error.body):  # Pod Security: host namespaces
            remedy = (
                "the administrator labels your namespaces pod-security.kubernetes.io/enforce=privileged, or skip it"
            )
            yield Finding("hostNetwork", "note", "such a pod is not admitted; chapter 10 has one", remedy)
        return  # not there yet, or something that `permissions` tells of
    yield Finding("hostNetwork", "ok", "a pod in its node's network is admitted, as chapter 10 has one")
