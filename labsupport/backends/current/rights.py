"""What a learner has to be allowed on somebody else's cluster. `docs/learner-role.yaml` grants exactly this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubernetes import client


@dataclass(frozen=True)
class Right:
    """Some verbs on a resource. Without `cluster_wide` they are asked for in the learner's own namespaces."""

    verbs: tuple[str, ...]
    resource: str
    group: str = ""
    subresource: str = ""
    cluster_wide: bool = False
    needed: bool = True  # False: some chapters only
    why: str = ""

    @property
    def name(self) -> str:
        """As a role names it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    @property
    def qualified(self) -> str:
        """As kubectl names it in a refusal, with the group."""
        found = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{found}/{self.subresource}" if self.subresource else found


_LOOK = ("get", "list", "watch")
_ALL = (*_LOOK, "create", "update", "patch", "delete")
_RBAC = "rbac.authorization.k8s.io"
RIGHTS = (
    Right((*_LOOK, "create", "delete"), "namespaces", cluster_wide=True, why="each chapter makes one"),
    Right(_LOOK, "storageclasses", "storage.k8s.io", cluster_wide=True, why="to find the default one"),
    Right(
        _LOOK,
        "nodes",
        cluster_wide=True,
        needed=False,
        why="chapters 00, 02, 03, 05 and 10 look at them, the first map too",
    ),
    Right(("patch",), "nodes", cluster_wide=True, needed=False, why="chapters 02 and 05 cordon one for a moment"),
    Right(
        ("list",),
        "pods",
        cluster_wide=True,
        needed=False,
        why="`kubectl drain` in chapters 02 and 04 asks for a node's",
    ),
    Right(
        (*_LOOK, "create", "patch", "delete"),
        "persistentvolumes",
        cluster_wide=True,
        needed=False,
        why="chapters 01 and 02 look at volumes, 03 makes one by hand",
    ),
    *(Right(_ALL, name) for name in ("pods", "services", "configmaps", "persistentvolumeclaims")),
    *(Right(_ALL, name, "apps") for name in ("statefulsets", "replicasets", "deployments")),
    Right(_ALL, "poddisruptionbudgets", "policy", needed=False, why="chapters 04 and 05 make them"),
    Right(
        (*_LOOK, "create", "patch"),
        "secrets",
        needed=False,
        why="chapters 05, 10 and 11 make one; 11 lets its proxy look",
    ),
    Right(("list", "watch"), "serviceaccounts", why="a namespace takes pods once it has one"),
    Right(_LOOK, "endpointslices", "discovery.k8s.io"),
    Right(_LOOK, "events"),
    Right(("get", "list"), "controllerrevisions", "apps"),
    Right(("get", "create"), "pods", subresource="exec"),
    Right(("get",), "pods", subresource="log"),
    Right(("get", "create"), "pods", subresource="portforward", why="in place of NodePorts"),
    Right(("create",), "pods", subresource="eviction", needed=False, why="chapters 02, 04 and 05 evict pods"),
    # Chapter 11. Nobody can give away a right that he has not: what its proxy may read, the learner may, too.
    Right(
        (*_LOOK, "create"),
        "customresourcedefinitions",
        "apiextensions.k8s.io",
        cluster_wide=True,
        needed=False,
        why="chapter 11 adds Traefik's kinds where they are missing",
    ),
    Right(("get", "create", "patch"), "serviceaccounts", needed=False, why="chapter 11 makes one"),
    Right((*_LOOK, "create", "patch"), "ingresses", "networking.k8s.io", needed=False, why="chapter 11 makes one"),
    Right(
        ("create", "patch"), "ingressroutetcps", "traefik.io", needed=False, why="chapter 11 leads connections by them"
    ),
    Right(_LOOK, "*", "traefik.io", needed=False, why="chapter 11 lets its proxy look at them"),
    Right(("get", "create", "patch"), "roles", _RBAC, needed=False, why="chapter 11 makes one for its proxy"),
    Right(("create",), "rolebindings", _RBAC, needed=False, why="chapter 11 makes one for its proxy"),
)


def missing(api: client.ApiClient, namespace: str) -> Iterator[tuple[Right, list[str]]]:
    """The rights that the user lacks, each with the verbs; `namespace` stands for the learner's own."""
    for right in RIGHTS:
        where = "" if right.cluster_wide else namespace
        if refused := [verb for verb in right.verbs if not _allowed(api, right, verb, where)]:
            yield right, refused


def _allowed(api: client.ApiClient, right: Right, verb: str, namespace: str) -> bool:
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
