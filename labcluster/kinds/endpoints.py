"""Endpoints: the addresses behind a service, in the older form (upstream: ValidateEndpoints, printers.go)."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, ClassVar

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import ENDPOINTS, Resource
from labcluster.kinds import formats
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import NONE, age
from labcluster.kinds.values import formatted, one_of

DEPRECATED = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
PROTOCOLS = ("SCTP", "TCP", "UDP")
_SHOWN = 3  # addresses in a table's cell; the rest is counted


class EndpointsKind(Kind):
    """Subsets of addresses and ports; kept for older clients beside the slices."""

    resource: ClassVar[Resource] = ENDPOINTS

    def default(self, obj: JSON) -> None:
        """Ports are TCP."""
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                port["protocol"] = port.get("protocol") or "TCP"

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of the subsets."""
        errors: list[FieldError] = []
        for index, subset in enumerate(obj.get("subsets") or ()):
            path = f"subsets[{index}]"
            ready, unready = subset.get("addresses") or [], subset.get("notReadyAddresses") or []
            if not ready and not unready:
                errors.append(field.required(path, "must specify `addresses` or `notReadyAddresses`"))
            for key, addresses in (("addresses", ready), ("notReadyAddresses", unready)):
                for place, address in enumerate(addresses):
                    errors += _address_errors(address, f"{path}.{key}[{place}]")
            ports = subset.get("ports") or []
            for place, port in enumerate(ports):
                errors += _port_errors(port, len(ports) > 1, f"{path}.ports[{place}]")
        return errors

    def warnings(self, obj: JSON, old: JSON | None = None) -> list[str]:
        """The API says so on every request."""
        return [DEPRECATED]

    columns = (Column("Name", format="name"), Column("Endpoints"), Column("Age"))

    def cells(self, obj: JSON) -> list[Any]:
        """Name, the first ready addresses with their ports, age."""
        targets: list[str] = []
        for subset in obj.get("subsets") or ():
            addresses = [a.get("ip", "") for a in subset.get("addresses") or ()]
            ports = subset.get("ports") or ()
            targets += [f"{ip}:{port.get('port')}" for port in ports for ip in addresses] if ports else addresses
        return [obj["metadata"]["name"], shortened(targets) or NONE, age(obj)]


def shortened(values: list[str]) -> str:
    """The first three values and how many more there are (printers.go listWithMoreString)."""
    shown = ",".join(values[:_SHOWN])
    return f"{shown} + {len(values) - _SHOWN} more..." if len(values) > _SHOWN else shown


def _address_errors(address: JSON, path: str) -> list[FieldError]:
    ip = address.get("ip", "")
    try:
        parsed = ip_address(ip)
    except ValueError:
        text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        return [field.invalid(f"{path}.ip", ip, text)]
    errors = (
        []
        if not address.get("hostname")
        else formatted(address["hostname"], formats.label(address["hostname"]), f"{path}.hostname")
    )
    if parsed.is_unspecified:
        errors.append(field.invalid(f"{path}.ip", ip, f"may not be unspecified ({ip})"))
    if parsed.is_loopback:
        text = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
        errors.append(field.invalid(f"{path}.ip", ip, text))
    if parsed.is_link_local:
        text = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        errors.append(field.invalid(f"{path}.ip", ip, text))
    return errors


def _port_errors(port: JSON, needs_name: bool, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name, number = port.get("name", ""), port.get("port") or 0
    if needs_name and not name:
        errors.append(field.required(f"{path}.name"))
    elif name:
        errors += formatted(name, formats.label(name), f"{path}.name")
    errors += formatted(number, formats.port_number(number), f"{path}.port")
    return errors + one_of(port.get("protocol"), PROTOCOLS, f"{path}.protocol")
