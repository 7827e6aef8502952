"""Leaving out empty fields, as Go's encoding/json does with `omitempty` (k8s.io/api/*/types.go).

An empty list or map, and the zero value of a field that is no pointer, are the same as no field at all: an object that
gives them is equal to one that does not, its generation does not move, and its template has the same hash. The
published schemas do not distinguish pointers from values, so the fields that are values are listed here.
"""

from __future__ import annotations

from typing import Any

from labcluster.api.objects import JSON
from labcluster.api.resources import Resource
from labcluster.schema.definitions import Type, type_of

_CONTAINER = "image imagePullPolicy stdin stdinOnce terminationMessagePath terminationMessagePolicy tty workingDir"
_VALUES = {
    "Container": _CONTAINER,
    "EphemeralContainer": _CONTAINER,
    "ContainerPort": "hostIP hostPort name protocol",
    "EnvVar": "value",
    "EnvFromSource": "prefix",
    "HTTPGetAction": "host path scheme",
    "TCPSocketAction": "host",
    "Probe": "failureThreshold initialDelaySeconds periodSeconds successThreshold timeoutSeconds",
    "VolumeMount": "readOnly subPath subPathExpr",
    "EmptyDirVolumeSource": "medium",
    "NFSVolumeSource": "readOnly",
    "PersistentVolumeClaimVolumeSource": "readOnly",
    "SecretVolumeSource": "secretName",
    "ResourceFieldSelector": "containerName",
    "PodSpec": (
        "dnsPolicy hostIPC hostNetwork hostPID hostname nodeName priorityClassName restartPolicy schedulerName "
        "serviceAccount serviceAccountName subdomain"
    ),
    "Toleration": "effect key operator value",
    "Taint": "value",
    "NodeSpec": "podCIDR providerID unschedulable",
    "ServiceSpec": (
        "clusterIP externalName externalTrafficPolicy healthCheckNodePort loadBalancerIP publishNotReadyAddresses "
        "sessionAffinity type"
    ),
    "ServicePort": "name nodePort protocol",
    "CronJobSpec": "concurrencyPolicy",
    "DaemonSetSpec": "minReadySeconds",
    "DaemonSetUpdateStrategy": "type",
    "DeploymentSpec": "minReadySeconds paused",
    "DeploymentStrategy": "type",
    "ReplicaSetSpec": "minReadySeconds",
    "StatefulSetSpec": "minReadySeconds podManagementPolicy",
    "StatefulSetUpdateStrategy": "type",
    "StatefulSetPersistentVolumeClaimRetentionPolicy": "whenDeleted whenScaled",
    "PersistentVolumeClaimSpec": "volumeName",
    "PersistentVolumeSpec": "persistentVolumeReclaimPolicy storageClassName",
    "Secret": "type",
}
_OMITTED = {struct: frozenset(names.split()) for struct, names in _VALUES.items()}
_WRITTEN_EMPTY = {  # lists without omitempty
    ("ClusterRole", "rules"),
    ("EndpointSlice", "endpoints"),
    ("EndpointSlice", "ports"),
    ("ProjectedVolumeSource", "sources"),
    ("Role", "rules"),
}


def without_empty(obj: JSON, resource: Resource) -> JSON:
    """The object of a resource, which must be in its normal form, without what `omitempty` leaves out."""
    result: JSON = _kept(obj, type_of(resource))
    return result


def _kept(value: Any, kind: Type) -> Any:
    if kind.kind == "struct" and isinstance(value, dict):
        omitted = _OMITTED.get(kind.struct, frozenset())
        result: JSON = {}
        for key, item in value.items():
            field = kind.fields.get(key)
            if field is None:
                result[key] = item
            elif field.type.kind in ("array", "map"):
                if item or field.required or (kind.struct, key) in _WRITTEN_EMPTY:
                    result[key] = _kept(item, field.type)
            elif item or key not in omitted:
                result[key] = _kept(item, field.type)
        return result
    if kind.item is not None and kind.item.kind in ("struct", "array", "map"):
        if isinstance(value, list):
            return [_kept(item, kind.item) for item in value]
        if isinstance(value, dict):
            return {key: _kept(item, kind.item) for key, item in value.items()}
    return value
