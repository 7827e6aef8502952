"""The objects at a scenario's end, whole, without what differs by nature from cluster to cluster.

The tables below are all that is left out or renamed, each line with its reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import reduce
from typing import Any

JSON = dict[str, Any]
Objects = dict[str, list[JSON]]  # of each kind, by name

KINDS = (
    "Pod",
    "Service",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "Endpoints",
    "StatefulSet",
    "ReplicaSet",
    "Deployment",
    "ControllerRevision",
    "EndpointSlice",
)

# Left out of both: the kind, the path (`*` is any key or item, `**` any number of them), and why.
LEFT_OUT = (
    ("*", "** uid", "made up by the cluster"),
    ("*", "** resourceVersion", "counts the writes of the whole cluster"),
    ("*", "** creationTimestamp", "a time"),
    ("*", "** startTime", "a time"),
    ("*", "** startedAt", "a time"),
    ("*", "** lastTransitionTime", "a time"),
    ("*", "** lastPhaseTransitionTime", "a time"),
    ("*", "** endpoints.kubernetes.io/last-change-trigger-time", "a time, of a change that is more than a second old"),
    ("*", "metadata managedFields", "the objects were recorded without; an error's text has some"),
    ("*", "** readinessProbe initialDelaySeconds", "the scenarios are played without this delay, to take less time"),
    ("EndpointSlice", "metadata generation", "counts the changes, and some come together"),
    ("Pod", "** containerID", "made up by the container runtime"),
    ("Pod", "** imageID", "the digest of another image"),
    ("Pod", "status containerStatuses * image", "any of the names that the runtime knows the image by"),
    ("PersistentVolumeClaim", "** volume.kubernetes.io/selected-node", "the recorded volumes were bound at once"),
    ("PersistentVolume", "** kubernetes.io/createdby", "only the recorded, in-tree provisioner says so"),
    ("PersistentVolume", "** volume.kubernetes.io/provisioner-deletion-secret-name", "only ours, as kind's does"),
    ("PersistentVolume", "** volume.kubernetes.io/provisioner-deletion-secret-namespace", "only ours, as kind's does"),
    ("PersistentVolume", "** local.path.provisioner/selected-node", "only ours, as kind's does"),
    ("PersistentVolume", "** pv.kubernetes.io/bound-by-controller", "ours is made bound, as outside of the tree"),
    ("PersistentVolume", "metadata finalizers", "the in-tree provisioner's volumes have one more"),
    ("PersistentVolume", "spec hostPath", "where the volume is differs by provisioner"),
    ("PersistentVolume", "spec local", "where the volume is differs by provisioner"),
    ("PersistentVolume", "spec nodeAffinity", "where the volume is differs by provisioner"),
)

# Renamed in both: what, by what, and why.
RENAMED = (
    (r"\b\d{1,3}(\.\d{1,3}){3}\b", "ADDRESS", "addresses are given in the order of a race"),
    (r"\b(node-1|lab-control-plane|lab-worker2?)\b", "NODE", "there was one node, here are three"),
    (r"\bkube-api-access-\w{5}\b", "kube-api-access", "the suffix is made up"),
    (r"\b(kubernetes\.io/host-path|rancher\.io/local-path)\b", "PROVISIONER", "another provisioner"),
    (r"\b\d+/\d+ nodes\b", "N/N nodes", "there was one node, here are three"),
    (r"\b\d+ (Insufficient|Preemption)\b", r"N \1", "there was one node, here are three"),
    (r"\b\d+ node\(s\) had untolerated taint\(s\), ", "", "the only recorded node has no taint"),
)

# What the scenarios are played with, in place of what they were recorded with.
PLAYED = (
    (r"\bredis:7\.2\b", "valkey/valkey:8.1", "the same image by another name"),
    (r"\bredis:7\b", "valkey/valkey:8.1.8", "the image that the cluster has"),
    (r"\bredis-(server|cli)\b", r"valkey-\1", "its programs"),
)

# Objects and items of the recordings that have no counterpart.
_NOT_PLAYED: tuple[tuple[str, Callable[[JSON], bool], str], ...] = (
    ("Pod", lambda pod: bool(pod["metadata"]["name"] == "client"), "it asked the DNS; nothing else depended on it"),
)
_OPENSHIFT = "openshift-service-ca.crt"  # a projected source that the recorded cluster, built by OpenShift, adds

APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def played(text: str) -> str:
    """A recorded text with what the scenarios are played with."""
    return _substituted(text, PLAYED)


def reduced(objects: Objects, namespace: str) -> Objects:
    """The objects of a namespace without what differs by nature. Reducing them twice changes nothing more."""
    objects = {kind: [o for o in objects.get(kind, ()) if _is_played(kind, o)] for kind in KINDS}
    names = made_up(objects, namespace)
    found = {kind: [_reduced(kind, o, names) for o in of_kind] for kind, of_kind in objects.items() if of_kind}
    return {kind: sorted(of_kind, key=lambda o: str(o["metadata"]["name"])) for kind, of_kind in found.items()}


def _is_played(kind: str, obj: JSON) -> bool:
    return not any(kind == k and fits(obj) for k, fits, _ in _NOT_PLAYED)


def made_up(objects: Objects, namespace: str) -> dict[str, str]:
    """The names that a cluster makes up, and what they are called here."""
    names = {namespace: "NAMESPACE"}
    for volume in objects.get("PersistentVolume", ()):
        names[volume["metadata"]["name"]] = f"volume-of-{volume['spec']['claimRef']['name']}"
    for revision in objects.get("ControllerRevision", ()):
        names[revision["metadata"]["labels"]["controller.kubernetes.io/hash"]] = f"rev{revision['revision']}"
    for endpoints in objects.get("EndpointSlice", ()):
        names[endpoints["metadata"]["name"]] = endpoints["metadata"]["generateName"] + "slice"
    return names


def _reduced(kind: str, obj: JSON, names: dict[str, str]) -> JSON:
    rules = [path.split() for of, path, _ in LEFT_OUT if of in ("*", kind)]

    def value(found: Any, path: tuple[str, ...]) -> Any:
        if isinstance(found, dict):
            kept = {
                _renamed(key, names): value(json.loads(v) if key == APPLIED and isinstance(v, str) else v, (*path, key))
                for key, v in found.items()
                if not any(_fits(rule, (*path, key)) for rule in rules)
            }
            return {key: v for key, v in kept.items() if key != "annotations" or v}
        if isinstance(found, list):
            items = [value(item, (*path, str(n))) for n, item in enumerate(found)]
            if path[-1] in ("endpoints", "addresses"):  # in the order of the addresses
                items.sort(key=json.dumps)
            return [item for item in items if not _is_openshift(item)]
        return _renamed(found, names) if isinstance(found, str) else found

    return dict(value(obj, ()))


def _is_openshift(item: Any) -> bool:
    return isinstance(item, dict) and bool(item.get("configMap", {}).get("name") == _OPENSHIFT)


def _fits(rule: list[str], path: tuple[str, ...]) -> bool:
    if not rule or not path:
        return not rule and not path
    if rule[0] == "**":
        return any(_fits(rule[1:], path[n:]) for n in range(len(path)))
    return rule[0] in ("*", path[0]) and _fits(rule[1:], path[1:])


def _renamed(text: str, names: dict[str, str]) -> str:
    for name, called in names.items():
        text = re.sub(rf"(?<![\w]){re.escape(name)}(?!\w)", called, text)
    return _substituted(text, RENAMED)


def _substituted(text: str, rules: tuple[tuple[str, str, str], ...]) -> str:
    return reduce(lambda told, rule: re.sub(rule[0], rule[1], told), rules, text)
