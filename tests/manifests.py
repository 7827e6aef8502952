"""The objects that the tests of the running cluster make."""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]

WEB = "echo $HOSTNAME > /usr/share/nginx/html/index.html && exec nginx -g 'daemon off;'"
FOREVER = "trap 'exit 0' TERM; sleep infinity & wait"


def shell(script: str = FOREVER, **container: Any) -> JSON:
    """A container that runs a shell script."""
    return {"name": "main", "image": "busybox:1.37", "command": ["sh", "-c", script], **container}


def web(**container: Any) -> JSON:
    """A container that serves its pod's name on port 80."""
    probe = {"httpGet": {"port": 80}, "periodSeconds": 1}
    return {"name": "main", "image": "nginx:1.31.3", "command": ["sh", "-c", WEB], "readinessProbe": probe, **container}


def valkey(**container: Any) -> JSON:
    """A container with a Valkey server whose data is the volume `data`."""
    probe = {"exec": {"command": ["valkey-cli", "ping"]}, "periodSeconds": 1}
    mounts = [{"name": "data", "mountPath": "/data"}]
    return {
        "name": "main",
        "image": "valkey/valkey:8.1.8",
        "readinessProbe": probe,
        "volumeMounts": mounts,
        **container,
    }


def pod(name: str, *containers: JSON, labels: JSON | None = None, **spec: Any) -> JSON:
    """A pod that ends at once when it is deleted."""
    spec = {"terminationGracePeriodSeconds": 1, **spec, "containers": list(containers) or [shell()]}
    metadata = {"name": name, "labels": labels or {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def service(name: str, app: str = "", port: int = 80, **spec: Any) -> JSON:
    """A Service in front of the pods labelled `app`."""
    ports = [{"name": "main", "port": port, **({"nodePort": spec.pop("nodePort")} if "nodePort" in spec else {})}]
    spec = {"selector": {"app": app or name}, "ports": ports, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def claim(name: str) -> JSON:
    """A claim of the default class."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def workload(kind: str, name: str, replicas: int, container: JSON, **spec: Any) -> JSON:
    """A ReplicaSet, Deployment or StatefulSet; a StatefulSet's pods have the claim `data`."""
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    if kind == "StatefulSet":
        template_of_claims = {"metadata": {"name": "data"}, "spec": claim("data")["spec"]}
        spec = {"serviceName": name, "volumeClaimTemplates": [template_of_claims], **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def daemon_set(name: str, container: JSON, **spec: Any) -> JSON:
    """A DaemonSet."""
    made = workload("DaemonSet", name, 1, container, **spec)
    del made["spec"]["replicas"]
    return made


def cron_job(name: str, schedule: str, container: JSON, **spec: Any) -> JSON:
    """A CronJob whose pods run once."""
    pods = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    spec = {"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": pods}}}, **spec}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}
