"""The kinds: what each one defaults, admits, validates and prints."""

from __future__ import annotations

from labcluster.api.resources import Resource
from labcluster.kinds.configmaps import ConfigMapKind
from labcluster.kinds.controllerrevisions import ControllerRevisionKind
from labcluster.kinds.cronjobs import CronJobKind
from labcluster.kinds.customresourcedefinitions import CustomResourceDefinitionKind
from labcluster.kinds.daemonsets import DaemonSetKind
from labcluster.kinds.deployments import DeploymentKind
from labcluster.kinds.endpoints import EndpointsKind
from labcluster.kinds.endpointslices import EndpointSliceKind
from labcluster.kinds.events import EventKind
from labcluster.kinds.ingressclasses import IngressClassKind
from labcluster.kinds.ingresses import IngressKind
from labcluster.kinds.jobs import JobKind
from labcluster.kinds.kind import Kind
from labcluster.kinds.leases import LeaseKind
from labcluster.kinds.namespaces import NamespaceKind
from labcluster.kinds.networkpolicies import NetworkPolicyKind
from labcluster.kinds.nodes import NodeKind
from labcluster.kinds.persistentvolumeclaims import PersistentVolumeClaimKind
from labcluster.kinds.persistentvolumes import PersistentVolumeKind
from labcluster.kinds.poddisruptionbudgets import PodDisruptionBudgetKind
from labcluster.kinds.pods import PodKind
from labcluster.kinds.replicasets import ReplicaSetKind
from labcluster.kinds.rolebindings import ClusterRoleBindingKind, RoleBindingKind
from labcluster.kinds.roles import ClusterRoleKind, RoleKind
from labcluster.kinds.secrets import SecretKind
from labcluster.kinds.serviceaccounts import ServiceAccountKind
from labcluster.kinds.services import ServiceKind
from labcluster.kinds.statefulsets import StatefulSetKind
from labcluster.kinds.storageclasses import StorageClassKind

_KINDS: tuple[Kind, ...] = (
    NamespaceKind(),
    NodeKind(),
    PodKind(),
    ServiceKind(),
    EndpointsKind(),
    ConfigMapKind(),
    SecretKind(),
    ServiceAccountKind(),
    EventKind(),
    PersistentVolumeKind(),
    PersistentVolumeClaimKind(),
    StorageClassKind(),
    EndpointSliceKind(),
    LeaseKind(),
    ReplicaSetKind(),
    DeploymentKind(),
    StatefulSetKind(),
    DaemonSetKind(),
    ControllerRevisionKind(),
    JobKind(),
    CronJobKind(),
    PodDisruptionBudgetKind(),
    RoleKind(),
    RoleBindingKind(),
    ClusterRoleKind(),
    ClusterRoleBindingKind(),
    IngressKind(),
    IngressClassKind(),
    NetworkPolicyKind(),
    CustomResourceDefinitionKind(),
)

KINDS: dict[Resource, Kind] = {kind.resource: kind for kind in _KINDS}
