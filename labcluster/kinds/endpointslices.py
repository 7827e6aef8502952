"""EndpointSlice: the endpoints of a service in pieces (upstream: pkg/apis/discovery/validation, printers.go)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any, ClassVar

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import ENDPOINT_SLICES, Resource
from labcluster.kinds import formats
from labcluster.kinds.endpoints import PROTOCOLS, shortened
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import age
from labcluster.kinds.values import formatted, one_of

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ENDPOINTS = 1000
MAX_PORTS = 20_000
MAX_ADDRESSES = 100  # of one endpoint
_UNSET = "<unset>"


class EndpointSliceKind(Kind):
    """Up to a thousand endpoints of one address type that share their ports."""

    resource: ClassVar[Resource] = ENDPOINT_SLICES
    tracks_generation: ClassVar[bool] = True

    def default(self, obj: JSON) -> None:
        """Ports are TCP and have a name, if only an empty one; none at all are null, as Go shows them."""
        for items in ("endpoints", "ports"):
            obj[items] = obj.get(items) or None
        for port in obj.get("ports") or ():
            port.setdefault("name", "")
            port["protocol"] = port.get("protocol") or "TCP"

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of endpoints, ports and address type (ValidateEndpointSlice)."""
        kind = obj.get("addressType")
        errors = one_of(kind, ADDRESS_TYPES, "addressType")
        endpoints, ports = obj.get("endpoints") or [], obj.get("ports") or []
        if len(endpoints) > MAX_ENDPOINTS:
            errors.append(field.too_many("endpoints", len(endpoints), MAX_ENDPOINTS))
        if len(ports) > MAX_PORTS:
            errors.append(field.too_many("ports", len(ports), MAX_PORTS))
        for index, endpoint in enumerate(endpoints):
            errors += _endpoint_errors(endpoint, kind, f"endpoints[{index}]")
        seen = set()
        for index, port in enumerate(ports):
            path, name = f"ports[{index}]", port.get("name") or ""
            if name:
                errors += formatted(name, formats.label(name), f"{path}.name")
            if name in seen:
                errors.append(field.duplicate(f"{path}.name", name))
            seen.add(name)
            errors += one_of(port.get("protocol"), PROTOCOLS, f"{path}.protocol")
        return errors

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """The address type never changes."""
        errors = self.validate(new)
        if new.get("addressType") != old.get("addressType"):
            errors.append(field.invalid("addressType", new.get("addressType"), "field is immutable"))
        return errors

    columns = (
        Column("Name", format="name"),
        Column("AddressType"),
        Column("Ports"),
        Column("Endpoints"),
        Column("Age"),
    )

    def cells(self, obj: JSON) -> list[Any]:
        """Name, type, the first ports and addresses (ready or not), age."""
        ports = [str(p.get("port") or p.get("name") or "*") for p in obj.get("ports") or ()]
        endpoints = [",".join(e.get("addresses") or ()) for e in obj.get("endpoints") or ()]
        return [
            obj["metadata"]["name"],
            obj.get("addressType", ""),
            shortened(ports) or _UNSET,
            shortened(endpoints) or _UNSET,
            age(obj),
        ]


def _endpoint_errors(endpoint: JSON, kind: Any, path: str) -> list[FieldError]:
    addresses = endpoint.get("addresses") or []
    errors: list[FieldError] = []
    if not addresses:
        errors.append(field.required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > MAX_ADDRESSES:
        errors.append(field.too_many(f"{path}.addresses", len(addresses), MAX_ADDRESSES))
    for index, address in enumerate(addresses):
        errors += formatted(address, _address_messages(address, kind), f"{path}.addresses[{index}]")
    if hostname := endpoint.get("hostname"):
        errors += formatted(hostname, formats.label(hostname), f"{path}.hostname")
    return errors


def _address_messages(address: str, kind: Any) -> list[str]:
    if kind == "FQDN":
        return formats.subdomain(address)
    family = {"IPv4": IPv4Address, "IPv6": IPv6Address}.get(kind)
    try:
        if family is not None:
            family(address)
    except ValueError:
        return [f"must be an {kind} address"]
    return []
