"""The table of resources that are served: one row each.

The rows here are built in. Those of CustomResourceDefinitions come and go; a registry's `served` holds them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

_ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, eq=False)
class Resource:
    """One resource of the API: where it is served and what it is called.

    Two are equal when they hold the same objects: the versions of a custom resource are views of one store.
    """

    group: str  # "" is the core group
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = _ALL_VERBS

    custom: ClassVar[bool] = False  # whether a CustomResourceDefinition brought it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resource) and self.plural == other.plural and self.group == other.group

    def __hash__(self) -> int:
        return hash((self.group, self.plural))

    @property
    def singular(self) -> str:
        """The singular name, as discovery gives it."""
        return self.kind.lower()

    @property
    def list_kind(self) -> str:
        """The kind of a list of the objects."""
        return self.kind + "List"

    @property
    def api_version(self) -> str:
        """`v1` or `group/version`, as in an object's apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`plural` or `plural.group`, as error texts write it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def prefix(self) -> str:
        """The key prefix of the resource's objects in the store."""
        return f"/registry/{self.group or 'core'}/{self.plural}/"

    def key(self, namespace: str | None, name: str) -> str:
        """The store's key of one object."""
        return f"{self.prefix}{namespace}/{name}" if self.namespaced else f"{self.prefix}{name}"


NAMESPACES = Resource(
    "",
    "v1",
    "namespaces",
    "Namespace",
    False,
    ("ns",),
    (),
    ("status", "finalize"),
    tuple(verb for verb in _ALL_VERBS if verb != "deletecollection"),  # as upstream: one by one
)
NODES = Resource("", "v1", "nodes", "Node", False, ("no",), (), ("status",))
PODS = Resource(
    "",
    "v1",
    "pods",
    "Pod",
    True,
    ("po",),
    ("all",),
    ("status", "log", "exec", "attach", "portforward", "proxy", "binding", "eviction", "ephemeralcontainers"),
)
SERVICES = Resource("", "v1", "services", "Service", True, ("svc",), ("all",), ("status", "proxy"))
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints", True, ("ep",))
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", True, ("cm",))
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",), (), ("token",))
EVENTS = Resource("", "v1", "events", "Event", True, ("ev",))
PERSISTENT_VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", False, ("pv",), (), ("status",))
PERSISTENT_VOLUME_CLAIMS = Resource(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, ("pvc",), (), ("status",)
)
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, ("sc",))
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet", True, ("rs",), ("all",), ("status", "scale"))
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True, ("deploy",), ("all",), ("status", "scale"))
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet", True, ("sts",), ("all",), ("status", "scale"))
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", True, ("ds",), ("all",), ("status",))
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
JOBS = Resource("batch", "v1", "jobs", "Job", True, (), ("all",), ("status",))
CRON_JOBS = Resource("batch", "v1", "cronjobs", "CronJob", True, ("cj",), ("all",), ("status",))
POD_DISRUPTION_BUDGETS = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, ("pdb",), (), ("status",)
)
RBAC_GROUP = "rbac.authorization.k8s.io"
ROLES = Resource(RBAC_GROUP, "v1", "roles", "Role")
ROLE_BINDINGS = Resource(RBAC_GROUP, "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = Resource(RBAC_GROUP, "v1", "clusterroles", "ClusterRole", False)
CLUSTER_ROLE_BINDINGS = Resource(RBAC_GROUP, "v1", "clusterrolebindings", "ClusterRoleBinding", False)
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress", True, ("ing",), (), ("status",))
INGRESS_CLASSES = Resource("networking.k8s.io", "v1", "ingressclasses", "IngressClass", False)
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True, ("netpol",))
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    False,
    ("crd", "crds"),
    ("api-extensions",),
    ("status",),
)

_AUTHENTICATION, _AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"


def _review(group: str, kind: str, *, namespaced: bool = False) -> Resource:
    return Resource(group, "v1", kind.lower() + "s", kind, namespaced, verbs=("create",))


SELF_SUBJECT_REVIEWS = _review(_AUTHENTICATION, "SelfSubjectReview")
TOKEN_REVIEWS = _review(_AUTHENTICATION, "TokenReview")
SELF_ACCESS_REVIEWS = _review(_AUTHORIZATION, "SelfSubjectAccessReview")
SELF_RULES_REVIEWS = _review(_AUTHORIZATION, "SelfSubjectRulesReview")
ACCESS_REVIEWS = _review(_AUTHORIZATION, "SubjectAccessReview")
LOCAL_ACCESS_REVIEWS = _review(_AUTHORIZATION, "LocalSubjectAccessReview", namespaced=True)
# Questions: they are answered, never stored.
REVIEWS = (
    SELF_SUBJECT_REVIEWS,
    TOKEN_REVIEWS,
    SELF_ACCESS_REVIEWS,
    SELF_RULES_REVIEWS,
    ACCESS_REVIEWS,
    LOCAL_ACCESS_REVIEWS,
)
# Answered by looking, never stored.
COMPONENT_STATUSES = Resource("", "v1", "componentstatuses", "ComponentStatus", False, ("cs",), verbs=("get", "list"))

EVERYTHING = Resource("*", "*", "*", "*")  # in subscriptions: all resources, those that are served later too

RESOURCES: tuple[Resource, ...] = (
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    ENDPOINTS,
    CONFIG_MAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
    EVENTS,
    PERSISTENT_VOLUMES,
    PERSISTENT_VOLUME_CLAIMS,
    STORAGE_CLASSES,
    ENDPOINT_SLICES,
    LEASES,
    REPLICA_SETS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    DAEMON_SETS,
    CONTROLLER_REVISIONS,
    JOBS,
    CRON_JOBS,
    POD_DISRUPTION_BUDGETS,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    INGRESSES,
    INGRESS_CLASSES,
    NETWORK_POLICIES,
    CUSTOM_RESOURCE_DEFINITIONS,
)
BUILT_IN = frozenset((*RESOURCES, *REVIEWS))  # no CustomResourceDefinition takes their place


class ServedResources:
    """The resources that are served at the moment: the built-in ones and those of CustomResourceDefinitions."""

    def __init__(self) -> None:
        self.generation = 0  # moves with every change: what is made from the table is kept no longer
        self._by_path = {(r.group, r.version, r.plural): r for r in (*RESOURCES, *REVIEWS, COMPONENT_STATUSES)}
        self._by_kind = {(r.api_version, r.kind): r for r in RESOURCES}
        self._stored = {r.qualified: r for r in RESOURCES}
        self._custom: dict[str, tuple[Resource, ...]] = {}
        self._endings: dict[Resource, list[Callable[[], None]]] = {}

    def all(self) -> list[Resource]:
        """Every version of every resource that is stored, the built-in ones first."""
        return [*RESOURCES, *(version for versions in self._custom.values() for version in versions)]

    def stored(self) -> list[Resource]:
        """Every resource once, in the version in which its objects are stored."""
        return list(self._stored.values())

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource served at that group, version and plural name, or None."""
        return self._by_path.get((group, version, plural))

    def find_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource of an object's apiVersion and kind, or None."""
        return self._by_kind.get((api_version, kind))

    def named(self, qualified: str) -> Resource | None:
        """The resource called `plural` or `plural.group`, as its objects are stored, or None."""
        return self._stored.get(qualified)

    def until_changed(self, resource: Resource, ended: Callable[[], None]) -> Callable[[], None]:
        """Call `ended` once the resource is no longer served as it is now. Returns the function that forgets it."""
        waiting = self._endings.setdefault(resource, [])
        waiting.append(ended)
        return lambda: waiting.remove(ended) if ended in waiting else None

    def replace(self, storage: Resource, versions: Iterable[Resource]) -> None:
        """Serve these versions of a custom resource from now on. It is known without any, too: its objects are kept.

        `storage` is the version in which the objects are stored, served or not.
        """
        self._forget(storage)
        served = self._custom[storage.qualified] = tuple(versions)
        self._stored[storage.qualified] = storage
        for new in served:
            self._by_path[new.group, new.version, new.plural] = new
            if (new.api_version, new.kind) not in _BY_KIND:  # which come first
                self._by_kind[new.api_version, new.kind] = new
        self._end(storage)

    def withdraw(self, resource: Resource) -> None:
        """Serve a custom resource no longer, and know it no longer."""
        self._forget(resource)
        self._end(resource)

    def _forget(self, storage: Resource) -> None:
        for old in self._custom.pop(storage.qualified, ()):
            del self._by_path[old.group, old.version, old.plural]
            if self._by_kind.get((old.api_version, old.kind)) is old:
                del self._by_kind[old.api_version, old.kind]
        self._stored.pop(storage.qualified, None)

    def _end(self, storage: Resource) -> None:
        self.generation += 1
        for ended in self._endings.pop(storage, ()):
            ended()


def find_kind(api_version: str, kind: str) -> Resource | None:
    """The built-in resource of an object's apiVersion and kind, or None."""
    return _BY_KIND.get((api_version, kind))


_BY_KIND = {(r.api_version, r.kind): r for r in RESOURCES}
