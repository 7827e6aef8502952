"""Ingress: HTTP routes for a controller to serve (upstream: pkg/apis/networking/validation, printers.go)."""

from __future__ import annotations

from typing import Any, ClassVar

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON, annotations_of
from labcluster.api.resources import INGRESS_CLASSES, INGRESSES, Resource
from labcluster.kinds import formats
from labcluster.kinds.ingressclasses import default_class, typed_reference_errors
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import age, or_none
from labcluster.kinds.reading import Reader
from labcluster.kinds.values import formatted

CLASS_ANNOTATION = "kubernetes.io/ingress.class"  # what classes were called before they were objects
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
HOSTS_SHOWN = 3
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES = ("/..", "/.")
_NOT_AN_ADDRESS = "must be a DNS name, not an IP address"


class IngressKind(Kind):
    """Stored and checked; served only where a controller of its class runs, as on any cluster."""

    resource: ClassVar[Resource] = INGRESSES
    tracks_generation: ClassVar[bool] = True
    columns = (
        Column("Name", format="name"),
        Column("Class"),
        Column("Hosts"),
        Column("Address"),
        Column("Ports"),
        Column("Age"),
    )

    def default(self, obj: JSON) -> None:
        """An Ingress without spec or status has empty ones."""
        obj.setdefault("spec", {})
        obj.setdefault("status", {}).setdefault("loadBalancer", {})

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Name the default class where none is named (plugin/pkg/admission/network/defaultingressclass)."""
        if "ingressClassName" in obj["spec"] or CLASS_ANNOTATION in annotations_of(obj):
            return
        if name := default_class(reader.list(INGRESS_CLASSES)):
            obj["spec"]["ingressClassName"] = name

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a new Ingress (ValidateIngressCreate)."""
        errors = self.validate_update(obj, obj)
        annotation, name = annotations_of(obj).get(CLASS_ANNOTATION), obj["spec"].get("ingressClassName")
        if None not in (annotation, name) and annotation != name:
            why = "must match `ingressClassName` when both are specified"
            errors.append(field.invalid(f"annotations.{CLASS_ANNOTATION}", annotation, why))
        return errors

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of the spec (ValidateIngressSpec)."""
        spec = new["spec"]
        rules, backend = spec.get("rules") or [], spec.get("defaultBackend")
        errors: list[FieldError] = []
        if not rules and backend is None:
            errors.append(field.invalid("spec", rules, "either `defaultBackend` or `rules` must be specified"))
        if backend is not None:
            errors += _backend_errors(backend, "spec.defaultBackend")
        for index, rule in enumerate(rules):
            errors += _rule_errors(rule, f"spec.rules[{index}]")
        for index, tls in enumerate(spec.get("tls") or ()):
            for number, host in enumerate(tls.get("hosts") or ()):
                errors += _host_errors(host, f"spec.tls[{index}].hosts[{number}]")
            if secret := tls.get("secretName"):
                errors += formatted(secret, formats.subdomain(secret), f"spec.tls[{index}].secretName")
        if (name := spec.get("ingressClassName")) is not None:
            errors += formatted(name, formats.subdomain(name), "spec.ingressClassName")
        return errors

    def validate_status_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of the addresses that a controller writes (ValidateIngressLoadBalancerStatus)."""
        errors: list[FieldError] = []
        for index, entry in enumerate(_load_balancers(new)):
            path = f"status.loadBalancer.ingress[{index}]"
            address, host = entry.get("ip"), entry.get("hostname")
            if address and not formats.is_address(address):
                why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
                errors.append(field.invalid(f"{path}.ip", address, why))
            if host:
                errors += formatted(host, formats.subdomain(host), f"{path}.hostname")
                if formats.is_address(host):
                    errors.append(field.invalid(f"{path}.hostname", host, _NOT_AN_ADDRESS))
        return errors

    def warnings(self, obj: JSON, old: JSON | None = None) -> list[str]:
        """The annotation that named a class before there was a field for it."""
        if CLASS_ANNOTATION in annotations_of(obj) and "ingressClassName" not in obj["spec"]:
            return [f"annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"]
        return []

    def cells(self, obj: JSON) -> list[Any]:
        """Name, class, hosts, addresses, ports, age."""
        spec = obj.get("spec") or {}
        addresses = {entry.get("ip") or entry.get("hostname") or "" for entry in _load_balancers(obj)}
        return [
            obj["metadata"]["name"],
            or_none(spec.get("ingressClassName")),
            _hosts(spec.get("rules") or []),
            ",".join(sorted(addresses)),
            "80, 443" if spec.get("tls") else "80",
            age(obj),
        ]


def _load_balancers(ingress: JSON) -> list[JSON]:
    return ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []


def _hosts(rules: list[JSON]) -> str:
    """The first hosts; what comes after the last of them is counted (formatHosts)."""
    named = [(index, rule["host"]) for index, rule in enumerate(rules) if rule.get("host")][:HOSTS_SHOWN]
    if not named:
        return "*"
    shown = ",".join(host for _, host in named)
    full = len(named) == HOSTS_SHOWN and named[-1][0] < len(rules) - 1
    return f"{shown} + {len(rules) - HOSTS_SHOWN} more..." if full else shown


def _rule_errors(rule: JSON, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if host := rule.get("host"):
        if formats.is_address(host):
            errors.append(field.invalid(f"{path}.host", host, _NOT_AN_ADDRESS))
        errors += _host_errors(host, f"{path}.host")
    if (http := rule.get("http")) is not None:
        paths = http.get("paths") or []
        if not paths:
            errors.append(field.required(f"{path}.http.paths"))
        for index, entry in enumerate(paths):
            errors += _path_errors(entry, f"{path}.http.paths[{index}]")
    return errors


def _path_errors(entry: JSON, path: str) -> list[FieldError]:
    """Errors of one path and what is behind it (validateHTTPIngressPath)."""
    kind, value = entry.get("pathType"), entry.get("path", "")
    if kind is None:
        return [field.required(f"{path}.pathType", "pathType must be specified")]
    errors: list[FieldError] = []
    if kind not in PATH_TYPES:
        errors.append(field.not_supported(f"{path}.pathType", kind, list(PATH_TYPES)))
    elif not value.startswith("/") and (value or kind != "ImplementationSpecific"):
        errors.append(field.invalid(f"{path}.path", value, "must be an absolute path"))
    if kind in ("Exact", "Prefix"):
        errors += [
            field.invalid(f"{path}.path", value, f"must not contain '{bad}'") for bad in _BAD_SEQUENCES if bad in value
        ]
        errors += [
            field.invalid(f"{path}.path", value, f"cannot end with '{bad}'")
            for bad in _BAD_SUFFIXES
            if value.endswith(bad)
        ]
    return errors + _backend_errors(entry.get("backend") or {}, f"{path}.backend")


def _backend_errors(backend: JSON, path: str) -> list[FieldError]:
    """Errors of a service, or another object, behind a route (validateIngressBackend)."""
    service, other = backend.get("service"), backend.get("resource")
    if service is not None and other is not None:
        return [field.invalid(path, "", "cannot set both resource and service backends")]
    if other is not None:
        return typed_reference_errors(other, f"{path}.resource")
    if service is None:
        return [field.invalid(path, "", "resource or service backend is required")]
    errors: list[FieldError] = []
    if name := service.get("name"):
        errors += formatted(name, formats.label_1035(name), f"{path}.service.name")
    else:
        errors.append(field.required(f"{path}.service.name"))
    port = service.get("port") or {}
    if port.get("name") and port.get("number"):
        errors.append(field.invalid(path, "", "cannot set both port name & port number"))
    elif port.get("name"):
        errors += formatted(port["name"], formats.port_name(port["name"]), f"{path}.service.port.name")
    elif port.get("number"):
        errors += formatted(port["number"], formats.port_number(port["number"]), f"{path}.service.port.number")
    else:
        errors.append(field.required(path, "port name or number is required"))
    return errors


def _host_errors(host: str, path: str) -> list[FieldError]:
    return formatted(host, formats.wildcard_subdomain(host) if "*" in host else formats.subdomain(host), path)
