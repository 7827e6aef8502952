"""Defaults of pods and pod templates (upstream: pkg/apis/core/v1/defaults.go)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON

FILE_MODE = 0o644  # of the files in Secret, ConfigMap, projected and downward API volumes
TOKEN_SECONDS = 3600  # the life of a projected service-account token

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def default_pod(pod: JSON) -> None:
    """Fill in what only a pod gets, not a template, and the defaults of its spec."""
    spec = _set(pod, "spec", {})
    default_pod_spec(spec)
    _set(spec, "enableServiceLinks", True)
    for container in all_containers(spec):
        resources = container["resources"]
        if limits := resources.get("limits"):
            # A limit without a request asks for what it limits.
            resources["requests"] = {**clone(limits), **(resources.get("requests") or {})}
        if spec.get("hostNetwork"):
            for port in container.get("ports") or ():
                port["hostPort"] = port.get("hostPort") or port.get("containerPort")


def default_template(spec: JSON) -> None:
    """Fill in the defaults of the pod template of a workload's spec."""
    template = _set(spec, "template", {})
    _set(template, "metadata", {})
    template["metadata"].pop("creationTimestamp", None)
    default_pod_spec(_set(template, "spec", {}))


def default_pod_spec(spec: JSON) -> None:
    """Fill in the defaults of a pod spec, in place."""
    _set(spec, "restartPolicy", "Always")
    _set(spec, "dnsPolicy", "ClusterFirst")
    _set(spec, "schedulerName", "default-scheduler")
    _set(spec, "terminationGracePeriodSeconds", 30)
    _set(spec, "securityContext", {})
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account  # the second is the first's old name
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for container in (*all_containers(spec), *(spec.get("ephemeralContainers") or ())):
        _default_container(container)


def all_containers(spec: JSON) -> Iterator[JSON]:
    """The init containers and containers of a pod spec, without the ephemeral ones."""
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def _set(obj: JSON, key: str, value: Any) -> Any:
    """Set what is absent, null or the empty string; returns what holds then."""
    if obj.get(key) in (None, ""):
        obj[key] = value
    return obj[key]


def _default_container(container: JSON) -> None:
    _set(container, "resources", {})
    _set(container, "terminationMessagePath", "/dev/termination-log")
    _set(container, "terminationMessagePolicy", "File")
    _set(container, "imagePullPolicy", "Always" if _is_latest(container.get("image") or "") else "IfNotPresent")
    for port in container.get("ports") or ():
        _set(port, "protocol", "TCP")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        if reference := source.get("fieldRef"):
            _set(reference, "apiVersion", "v1")
        if reference := source.get("resourceFieldRef"):
            _set(reference, "divisor", "0")
    for name in _PROBES:
        if probe := container.get(name):
            _default_probe(probe)
    for name in ("postStart", "preStop"):
        _default_handler((container.get("lifecycle") or {}).get(name) or {})


def _is_latest(image: str) -> bool:
    """Whether the image's tag is `latest`, given or by being left out."""
    if "@" in image:
        return False
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    return tag in ("", "latest")


def _default_probe(probe: JSON) -> None:
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(key):
            probe[key] = value
    _default_handler(probe)


def _default_handler(handler: JSON) -> None:
    if get := handler.get("httpGet"):
        _set(get, "path", "/")
        _set(get, "scheme", "HTTP")
    if handler.get("grpc"):
        handler["grpc"].setdefault("service", "")


def _default_volume(volume: JSON) -> None:
    if not any(key != "name" and source is not None for key, source in volume.items()):
        volume["emptyDir"] = {}
    for key in ("secret", "configMap", "projected", "downwardAPI"):
        if isinstance(volume.get(key), dict):
            _set(volume[key], "defaultMode", FILE_MODE)
    if isinstance(volume.get("hostPath"), dict):
        volume["hostPath"].setdefault("type", "")
    if isinstance(volume.get("ephemeral"), dict):
        template = volume["ephemeral"].get("volumeClaimTemplate") or {}
        _set(template.setdefault("spec", {}), "volumeMode", "Filesystem")
    downward = [volume.get("downwardAPI")]
    for source in (volume.get("projected") or {}).get("sources") or ():
        if token := source.get("serviceAccountToken"):
            _set(token, "expirationSeconds", TOKEN_SECONDS)
        downward.append(source.get("downwardAPI"))
    for source in downward:
        for item in (source or {}).get("items") or ():
            if reference := item.get("fieldRef"):
                _set(reference, "apiVersion", "v1")
