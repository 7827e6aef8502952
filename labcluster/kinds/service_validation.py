"""What a Service may say (upstream: pkg/apis/core/validation ValidateService, ValidateServiceUpdate)."""

from __future__ import annotations

from typing import Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.kinds import formats
from labcluster.kinds.metadata import validate_labels
from labcluster.kinds.values import formatted, one_of, port_number_or_name

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
AFFINITIES = ("ClientIP", "None")
TRAFFIC_POLICIES = ("Cluster", "Local")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
FAMILIES = ("IPv4", "IPv6")
HEADLESS = "None"
KUBELET_PORT = 10250
MAX_AFFINITY_SECONDS = 86400


def validate(spec: JSON) -> list[FieldError]:
    """Errors of a service's spec."""
    kind = spec.get("type", "")
    headless = spec.get("clusterIP") == HEADLESS
    ports = spec.get("ports") or []
    errors: list[FieldError] = []
    if not ports and not headless and kind != "ExternalName":
        errors.append(field.required("spec.ports"))
    errors += _type_rules(spec, kind, headless, ports)
    names_seen: set[str] = set()
    for index, port in enumerate(ports):
        errors += _port(port, len(ports) > 1, headless, names_seen, f"spec.ports[{index}]")
    errors += validate_labels(spec.get("selector"), "spec.selector")
    errors += one_of(spec.get("sessionAffinity"), AFFINITIES, "spec.sessionAffinity")
    errors += _affinity_timeout(spec)
    errors += _cluster_ips(spec, kind)
    errors += [e for i, ip in enumerate(spec.get("externalIPs") or ()) for e in _ip(ip, f"spec.externalIPs[{i}]")]
    errors += one_of(kind, TYPES, "spec.type")
    errors += _node_ports(kind, ports)
    errors += _duplicates(ports)
    return errors + _policies(spec, kind)


def validate_cluster_ip_change(new: JSON, old: JSON) -> list[FieldError]:
    """A service keeps its address as long as its type has one."""
    if "ExternalName" in (new.get("type"), old.get("type")):
        return []
    before, after = old.get("clusterIPs") or [], new.get("clusterIPs") or []
    if not before or before == after:
        return []
    if not after:
        return [field.invalid("spec.clusterIPs[0]", None, "primary clusterIP can not be unset")]
    if before[0] != after[0]:
        return [field.invalid("spec.clusterIPs[0]", after, "may not change once set")]
    return []


def _type_rules(spec: JSON, kind: str, headless: bool, ports: list[JSON]) -> list[FieldError]:
    errors: list[FieldError] = []
    if kind == "LoadBalancer":
        text = f"may not expose port {KUBELET_PORT} externally since it is used by kubelet"
        errors += [
            field.invalid(f"spec.ports[{i}]", KUBELET_PORT, text)
            for i, port in enumerate(ports)
            if port.get("port") == KUBELET_PORT
        ]
    if kind in ("LoadBalancer", "NodePort") and headless:
        errors.append(field.invalid("spec.clusterIPs[0]", HEADLESS, f"may not be set to 'None' for {kind} services"))
    if kind == "ExternalName":
        for key in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(key):
                errors.append(field.forbidden(f"spec.{key}", "may not be set for ExternalName services"))
        name = spec.get("externalName", "").removesuffix(".")
        if name:
            errors += formatted(name, formats.subdomain(name), "spec.externalName")
        else:
            errors.append(field.required("spec.externalName"))
    return errors


def _port(port: JSON, needs_name: bool, headless: bool, seen: set[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name, number = port.get("name", ""), port.get("port") or 0
    if name:
        errors += formatted(name, formats.label(name), f"{path}.name")
        if name in seen:
            errors.append(field.duplicate(f"{path}.name", name))
        seen.add(name)
    elif needs_name:
        errors.append(field.required(f"{path}.name"))
    errors += formatted(number, formats.port_number(number), f"{path}.port")
    errors += one_of(port.get("protocol"), PROTOCOLS, f"{path}.protocol")
    errors += port_number_or_name(port.get("targetPort"), f"{path}.targetPort")
    if protocol := port.get("appProtocol"):
        errors += formatted(protocol, formats.qualified_name(protocol), f"{path}.appProtocol")
    return errors


def _affinity_timeout(spec: JSON) -> list[FieldError]:
    if spec.get("sessionAffinity") != "ClientIP":
        return []
    seconds = spec["sessionAffinityConfig"]["clientIP"].get("timeoutSeconds")
    if seconds is not None and not 0 < seconds <= MAX_AFFINITY_SECONDS:
        path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        return [field.invalid(path, seconds, f"must be greater than 0 and less than {MAX_AFFINITY_SECONDS}")]
    return []


def _cluster_ips(spec: JSON, kind: str) -> list[FieldError]:
    """ValidateServiceClusterIPsRelatedFields, for a cluster with IPv4 only."""
    if kind == "ExternalName":
        return []
    first, addresses = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    errors: list[FieldError] = []
    if addresses and not first:
        text = "must be empty when `clusterIP` is not specified"
        errors.append(field.invalid("spec.clusterIPs", addresses, text))
    elif addresses and addresses[0] != first:
        errors.append(field.invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`"))
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        path = f"spec.ipFamilies[{index}]"
        if family not in FAMILIES:
            errors.append(field.not_supported(path, family, list(FAMILIES)))
        elif family != "IPv4":
            errors.append(field.invalid(path, family, "not configured on this cluster"))
    policy = spec.get("ipFamilyPolicy")
    if policy and policy not in FAMILY_POLICIES:
        errors.append(field.not_supported("spec.ipFamilyPolicy", policy, list(FAMILY_POLICIES)))
    elif policy == "RequireDualStack":
        text = "this cluster is not configured for dual-stack services"
        errors.append(field.invalid("spec.ipFamilyPolicy", policy, text))
    for index, address in enumerate(addresses):
        if index or address != HEADLESS:
            errors += _ip(address, f"spec.clusterIPs[{index}]")
    return errors


def _ip(value: Any, path: str) -> list[FieldError]:
    if formats.is_address(value):
        return []
    return [field.invalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]


def _node_ports(kind: str, ports: list[JSON]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen = set()
    for index, port in enumerate(ports):
        number, path = port.get("nodePort"), f"spec.ports[{index}].nodePort"
        if not number:
            continue
        if kind == "ClusterIP":
            errors.append(field.forbidden(path, "may not be used when `type` is 'ClusterIP'"))
        elif kind == "ExternalName":
            errors.append(field.forbidden(path, "may not be used when `type` is 'ExternalName'"))
        elif (port.get("protocol"), number) in seen:
            errors.append(field.duplicate(path, number))
        seen.add((port.get("protocol"), number))
    return errors


def _duplicates(ports: list[JSON]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen = set()
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port"))
        if key in seen:  # upstream prints the Go struct of its internal version
            shown = {
                "Name": "",
                "Protocol": key[0],
                "AppProtocol": None,
                "Port": key[1],
                "TargetPort": 0,
                "NodePort": 0,
            }
            errors.append(field.duplicate(f"spec.ports[{index}]", shown))
        seen.add(key)
    return errors


def _policies(spec: JSON, kind: str) -> list[FieldError]:
    errors: list[FieldError] = []
    external, inner = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    if kind in ("NodePort", "LoadBalancer"):
        errors += one_of(external, TRAFFIC_POLICIES, "spec.externalTrafficPolicy")
    elif external and not spec.get("externalIPs"):
        text = "may only be set for externally-accessible services"
        errors.append(field.invalid("spec.externalTrafficPolicy", external, text))
    if inner and kind != "ExternalName" and inner not in TRAFFIC_POLICIES:
        errors.append(field.not_supported("spec.internalTrafficPolicy", inner, list(TRAFFIC_POLICIES)))
    return errors
