"""What a Service says of its pods: for the controllers of Endpoints and of slices (pkg/controller/util/endpoint)."""

from __future__ import annotations

from collections.abc import Iterator

from labcluster.api.conditions import is_pod_finished
from labcluster.api.objects import JSON, is_terminating, key_of, labels_of, name_of, namespace_of, uid_of
from labcluster.api.resources import PODS, SERVICES
from labcluster.api.selectors import LabelSelector
from labcluster.storage.registry import Change, Registry

HEADLESS_LABEL = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"


def is_headless(service: JSON) -> bool:
    """Whether the Service has no cluster IP by choice."""
    return bool(service["spec"].get("clusterIP") == "None")


def has_endpoints(service: JSON) -> bool:
    """Whether the endpoints of the Service are managed: it has a selector and is not an ExternalName."""
    return bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def endpoint_labels(service: JSON, managed: dict[str, str]) -> dict[str, str]:
    """The labels of a Service's Endpoints or slices: the Service's own, `managed`, and whether it is headless."""
    labels = {**labels_of(service), **managed}
    labels.pop(HEADLESS_LABEL, None)
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    return labels


def services_of(registry: Registry, change: Change) -> list[str]:
    """The keys of the Services that select the changed pod, as it is or as it was (GetPodServiceMemberships)."""
    pod, old = change.object, change.old
    if change.type == "MODIFIED" and old is not None and _endpoint_fields(old) == _endpoint_fields(pod):
        return []
    label_sets = [labels_of(state) for state in (pod, old) if state is not None]
    return [
        key_of(service)
        for service in registry.list(SERVICES, namespace_of(pod))
        if has_endpoints(service)
        and any(LabelSelector.from_labels(service["spec"]["selector"]).matches(labels) for labels in label_sets)
    ]


def _endpoint_fields(pod: JSON) -> tuple[object, ...]:
    """What an endpoint is made from (podEndpointsChanged)."""
    status = pod.get("status") or {}
    ready = next((c.get("status") for c in status.get("conditions") or () if c["type"] == "Ready"), None)
    return (
        labels_of(pod),
        pod["spec"],
        status.get("podIP"),
        status.get("podIPs"),
        ready,
        is_pod_finished(pod),
        is_terminating(pod),
    )


def backing_pods(registry: Registry, service: JSON, *, terminating: bool) -> Iterator[JSON]:
    """The pods behind a Service: selected, with an IP, not finished; those being deleted only if asked for.

    In the order of their names, web-2 before web-10.
    """
    selector = LabelSelector.from_labels(service["spec"]["selector"])
    pods = registry.list(PODS, namespace_of(service), labels=selector)
    for pod in sorted(pods, key=lambda p: (len(name_of(p)), name_of(p))):
        has_address = bool(pod.get("status", {}).get("podIP"))
        if has_address and not is_pod_finished(pod) and (terminating or not is_terminating(pod)):
            yield pod


def resolved_ports(service: JSON, pod: JSON) -> list[JSON]:
    """The Service's ports as they are on this pod; a named target that the pod does not have is left out."""
    ports: list[JSON] = []
    for port in service["spec"].get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        target = port.get("targetPort") or port["port"]
        number = _container_port(pod, target, protocol) if isinstance(target, str) else target
        if number is None:
            continue
        entry = {"name": port.get("name", ""), "port": number, "protocol": protocol}
        if port.get("appProtocol"):
            entry["appProtocol"] = port["appProtocol"]
        ports.append(entry)
    return ports


def _container_port(pod: JSON, name: str, protocol: str) -> int | None:
    sidecars = [c for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in (*(pod["spec"].get("containers") or ()), *sidecars):
        for port in container.get("ports") or ():
            if port.get("name") == name and (port.get("protocol") or "TCP") == protocol:
                return int(port["containerPort"])
    return None


def hostname(service: JSON, pod: JSON) -> str:
    """The name of the endpoint in DNS: only where pod.hostname is set and pod.subdomain is this Service."""
    spec = pod["spec"]
    same = spec.get("subdomain") == name_of(service) and namespace_of(pod) == namespace_of(service)
    return (spec.get("hostname") or "") if same else ""


def target_reference(pod: JSON) -> JSON:
    """The reference from an endpoint to its pod."""
    return {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}
