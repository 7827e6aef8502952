"""NetworkPolicy: who may talk to whom (upstream: pkg/apis/networking). Stored and checked; nothing enforces it."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Any, ClassVar

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import NETWORK_POLICIES, Resource
from labcluster.kinds import formats
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.metadata import validate_label_selector
from labcluster.kinds.printing import age, format_selector
from labcluster.kinds.values import formatted

POLICY_TYPES = ("Ingress", "Egress")
PROTOCOLS = ("TCP", "UDP", "SCTP")
_DIRECTIONS = (("ingress", "from"), ("egress", "to"))


class NetworkPolicyKind(Kind):
    """As on a cluster whose network plugin knows nothing of policies."""

    resource: ClassVar[Resource] = NETWORK_POLICIES
    tracks_generation: ClassVar[bool] = True
    columns = (Column("Name", format="name"), Column("Pod-Selector"), Column("Age"))

    def default(self, obj: JSON) -> None:
        """All pods of the namespace; what comes in, and what goes out if there are rules for it; TCP."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("podSelector", {})
        if not spec.get("policyTypes"):
            spec["policyTypes"] = list(POLICY_TYPES) if spec.get("egress") else ["Ingress"]
        for direction, _ in _DIRECTIONS:
            for rule in spec.get(direction) or ():
                for port in rule.get("ports") or ():
                    port["protocol"] = port.get("protocol") or "TCP"

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of selectors, ports, peers and types (ValidateNetworkPolicySpec)."""
        spec = obj["spec"]
        errors = validate_label_selector(spec.get("podSelector"), "spec.podSelector")
        for direction, side in _DIRECTIONS:
            for index, rule in enumerate(spec.get(direction) or ()):
                path = f"spec.{direction}[{index}]"
                for number, port in enumerate(rule.get("ports") or ()):
                    errors += _port_errors(port, f"{path}.ports[{number}]")
                for number, peer in enumerate(rule.get(side) or ()):
                    errors += _peer_errors(peer, f"{path}.{side}[{number}]")
        types = spec.get("policyTypes") or []
        if len(types) > len(POLICY_TYPES):
            return [*errors, field.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")]
        return errors + [
            field.not_supported(f"spec.policyTypes[{index}]", kind, list(POLICY_TYPES))
            for index, kind in enumerate(types)
            if kind not in POLICY_TYPES
        ]

    def cells(self, obj: JSON) -> list[Any]:
        """Name, the pods it is about, age."""
        return [obj["metadata"]["name"], format_selector((obj.get("spec") or {}).get("podSelector")), age(obj)]


def _port_errors(port: JSON, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if port.get("protocol") not in PROTOCOLS:
        errors.append(field.not_supported(f"{path}.protocol", port.get("protocol", ""), list(PROTOCOLS)))
    value, end = port.get("port"), port.get("endPort")
    if value is None or isinstance(value, str):
        if end is not None:
            why = "is not specified" if value is None else "is non-numeric"
            errors.append(field.invalid(f"{path}.endPort", end, f"may not be specified when `port` {why}"))
        return errors + (formatted(value, formats.port_name(value), f"{path}.port") if value is not None else [])
    errors += formatted(value, formats.port_number(value), f"{path}.port")
    if end is not None:
        if end < value:
            errors.append(field.invalid(f"{path}.endPort", end, "must be greater than or equal to `port`"))
        errors += formatted(end, formats.port_number(end), f"{path}.endPort")
    return errors


def _peer_errors(peer: JSON, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    given = [key for key in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(key) is not None]
    for key in given:
        where = f"{path}.{key}"
        errors += _block_errors(peer[key], where) if key == "ipBlock" else validate_label_selector(peer[key], where)
    if not given:
        errors.append(field.required(path, "must specify a peer"))
    elif len(given) > 1 and "ipBlock" in given:
        errors.append(field.forbidden(path, "may not specify both ipBlock and another peer"))
    return errors


def _block_errors(block: JSON, path: str) -> list[FieldError]:
    """Errors of an address range and the ranges taken out of it (ValidateIPBlock)."""
    if not block.get("cidr"):
        return [field.required(f"{path}.cidr")]
    errors = _range_errors(block["cidr"], f"{path}.cidr")
    if errors:
        return errors
    whole = ip_interface(block["cidr"]).network
    for index, text in enumerate(block.get("except") or ()):
        where = f"{path}.except[{index}]"
        wrong = _range_errors(text, where)
        errors += wrong
        if wrong:
            continue
        part = ip_interface(text).network
        inside = part.version == whole.version and part.prefixlen > whole.prefixlen
        if not inside or part.network_address not in whole:
            errors.append(field.invalid(where, text, "must be a strict subset of `cidr`"))
    return errors


def _range_errors(text: str, path: str) -> list[FieldError]:
    try:
        if "/" in text:
            ip_interface(text)
            return []
    except ValueError:
        pass
    return [field.invalid(path, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")]
