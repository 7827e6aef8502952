"""The kinds: what each one defaults, admits, validates and prints."""

from __future__ import annotations

from labsupport.embedded.kinds.configmaps import ConfigMapKind
from labsupport.embedded.kinds.controllerrevisions import ControllerRevisionKind
from labsupport.embedded.kinds.cronjobs import CronJobKind
from labsupport.embedded.kinds.customresourcedefinitions import CustomResourceDefinitionKind
from labsupport.embedded.kinds.daemonsets import DaemonSetKind
from labsupport.embedded.kinds.deployments import DeploymentKind
from labsupport.embedded.kinds.endpoints import EndpointsKind
from labsupport.embedded.kinds.endpointslices import EndpointSliceKind
from labsupport.embedded.kinds.events import EventKind
from labsupport.embedded.kinds.ingressclasses import IngressClassKind
from labsupport.embedded.kinds.ingresses import IngressKind
from labsupport.embedded.kinds.jobs import JobKind
from labsupport.embedded.kinds.kind import Kind
from labsupport.embedded.kinds.leases import LeaseKind
from labsupport.embedded.kinds.namespaces import NamespaceKind
from labsupport.embedded.kinds.networkpolicies import NetworkPolicyKind
from labsupport.embedded.kinds.nodes import NodeKind
from labsupport.embedded.kinds.persistentvolumeclaims import PersistentVolumeClaimKind
from labsupport.embedded.kinds.persistentvolumes import PersistentVolumeKind
from labsupport.embedded.kinds.poddisruptionbudgets import PodDisruptionBudgetKind
from labsupport.embedded.kinds.pods import PodKind
from labsupport.embedded.kinds.replicasets import ReplicaSetKind
from labsupport.embedded.kinds.rolebindings import ClusterRoleBindingKind, RoleBindingKind
from labsupport.embedded.kinds.roles import ClusterRoleKind, RoleKind
from labsupport.embedded.kinds.secrets import SecretKind
from labsupport.embedded.kinds.serviceaccounts import ServiceAccountKind
from labsupport.embedded.kinds.services import ServiceKind
from labsupport.embedded.kinds.statefulsets import StatefulSetKind
from labsupport.embedded.kinds.storageclasses import StorageClassKind
from labsupport.embedded.resources import Resource

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
