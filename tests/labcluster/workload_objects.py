"""Objects that the tests of the workload controllers share."""

from __future__ import annotations

from typing import Any

from labcluster.api.objects import JSON


def redis_template(image: str = "redis:7") -> JSON:
    """A template as a real cluster stored it, defaults included."""
    return {
        "metadata": {"labels": {"app": "redis"}},
        "spec": {
            "containers": [
                {
                    "name": "redis",
                    "image": image,
                    "args": ["redis-server", "--appendonly", "yes", "--dir", "/data"],
                    "ports": [{"name": "redis", "containerPort": 6379, "protocol": "TCP"}],
                    "resources": {},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    "readinessProbe": {
                        "exec": {"command": ["redis-cli", "ping"]},
                        "initialDelaySeconds": 1,
                        "timeoutSeconds": 1,
                        "periodSeconds": 1,
                        "successThreshold": 1,
                        "failureThreshold": 3,
                    },
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "imagePullPolicy": "IfNotPresent",
                }
            ],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "securityContext": {},
            "schedulerName": "default-scheduler",
        },
    }


def stateful_set(replicas: int = 3, **spec: Any) -> JSON:
    """A StatefulSet `redis` with one claim each; `spec` overrides."""
    return {
        "metadata": {"name": "redis", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "serviceName": "redis",
            "selector": {"matchLabels": {"app": "redis"}},
            "template": redis_template(),
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "data"},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}},
                }
            ],
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "revisionHistoryLimit": 10,
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            **spec,
        },
    }


def web_template(image: str = "nginx:1.27") -> JSON:
    """The template of a stateless server, with no more than a user writes."""
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": image}]},
    }


def replica_set(replicas: int = 3, **spec: Any) -> JSON:
    """A ReplicaSet `web`; `spec` overrides."""
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": web_template(),
            **spec,
        },
    }


def deployment(replicas: int = 3, **spec: Any) -> JSON:
    """A Deployment `web`; `spec` overrides."""
    return replica_set(replicas, **spec)


def daemon_set(**spec: Any) -> JSON:
    """A DaemonSet `web`; `spec` overrides."""
    made = replica_set(**spec)
    del made["spec"]["replicas"]
    return made
