"""The environment variables of a container (kubelet_pods.go makeEnvironmentVariables, envvars.go, expand.go)."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from labcluster.api.objects import JSON, annotations_of, labels_of, name_of, namespace_of, uid_of
from labcluster.api.quantities import parse
from labcluster.api.resources import CONFIG_MAPS, SECRETS, SERVICES, Resource
from labcluster.storage.registry import Registry

_REFERENCE = re.compile(r"\$(\$|\([^()]*\))?")
_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")


class ConfigError(Exception):
    """The container cannot be configured as its spec says; becomes the reason CreateContainerConfigError."""


@dataclass(frozen=True)
class Placement:
    """Where a pod runs: what the downward API knows beyond the pod's spec."""

    node_name: str
    host_ip: str
    pod_ip: str
    allocatable: Mapping[str, str]  # of the node: the limits of a container that sets none


def expand(text: str, lookup: Callable[[str], str | None]) -> str:
    """Replace $(NAME) by its value and $$ by $; a name that is not known stays as it is written."""

    def replacement(match: re.Match[str]) -> str:
        reference = match.group(1)
        if reference in ("$", None):
            return "$"
        value = lookup(reference[1:-1])
        return match.group(0) if value is None else value

    return _REFERENCE.sub(replacement, text)


def field_value(pod: JSON, path: str, placement: Placement) -> str:
    """What a fieldRef of the downward API yields. Raises ConfigError for a path that it does not serve."""
    subscript = _SUBSCRIPT.match(path)
    if subscript:
        values = labels_of(pod) if subscript.group(1) == "labels" else annotations_of(pod)
        return values.get(subscript.group(2), "")
    values_by_path: dict[str, Callable[[], str]] = {
        "metadata.name": lambda: name_of(pod),
        "metadata.namespace": lambda: namespace_of(pod),
        "metadata.uid": lambda: uid_of(pod),
        "metadata.labels": lambda: _format_map(labels_of(pod)),
        "metadata.annotations": lambda: _format_map(annotations_of(pod)),
        "spec.nodeName": lambda: placement.node_name,
        "spec.serviceAccountName": lambda: str(pod["spec"].get("serviceAccountName", "")),
        "status.hostIP": lambda: placement.host_ip,
        "status.hostIPs": lambda: placement.host_ip,
        "status.podIP": lambda: placement.pod_ip,
        "status.podIPs": lambda: placement.pod_ip,
    }
    if path not in values_by_path:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return values_by_path[path]()


def _format_map(values: Mapping[str, str]) -> str:
    """Labels or annotations as the downward API writes them: sorted, values quoted, one each line."""
    escaped = {k: v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for k, v in values.items()}
    return "\n".join(f'{k}="{escaped[k]}"' for k in sorted(escaped))


def resource_value(pod: JSON, reference: JSON, container: JSON, placement: Placement) -> str:
    """What a resourceFieldRef yields, rounded up to the divisor. Raises ConfigError."""
    name = reference.get("containerName")
    if name:
        containers = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
        named = [c for c in containers if c["name"] == name]
        if not named:
            raise ConfigError(f'unable to find resource container "{name}"')
        container = named[0]
    kind, _, resource = str(reference["resource"]).partition(".")
    if kind not in ("limits", "requests"):
        raise ConfigError(f"unsupported container resource : {reference['resource']}")
    resources = container.get("resources") or {}
    quantity = (resources.get(kind) or {}).get(resource)
    if quantity is None and kind == "limits":
        quantity = placement.allocatable.get(resource, "0")
    divisor = parse(reference.get("divisor") or "1").amount or 1
    return str(math.ceil(parse(quantity or "0").amount / divisor))


def service_variables(registry: Registry, namespace: str, *, links: bool) -> dict[str, str]:
    """The variables of the services with a ClusterIP: of `kubernetes`, and with `links` of the pod's namespace."""
    services = [s for s in registry.list(SERVICES, "default") if name_of(s) == "kubernetes"]
    if links:
        services += [s for s in registry.list(SERVICES, namespace) if s not in services]
    variables: dict[str, str] = {}
    for service in services:
        address = service["spec"].get("clusterIP")
        ports = service["spec"].get("ports") or []
        if not address or address == "None" or not ports:
            continue
        prefix = name_of(service).upper().replace("-", "_")
        first = ports[0]
        variables[f"{prefix}_SERVICE_HOST"] = address
        variables[f"{prefix}_SERVICE_PORT"] = str(first["port"])
        for port in ports:
            if port.get("name"):
                variables[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
        # The variables that Docker's --link made.
        variables[f"{prefix}_PORT"] = f"{_protocol(first)}://{address}:{first['port']}"
        for port in ports:
            protocol = _protocol(port)
            head = f"{prefix}_PORT_{port['port']}_{protocol.upper()}"
            variables[head] = f"{protocol}://{address}:{port['port']}"
            variables[f"{head}_PROTO"] = protocol
            variables[f"{head}_PORT"] = str(port["port"])
            variables[f"{head}_ADDR"] = address
    return variables


def _protocol(port: JSON) -> str:
    return str(port.get("protocol") or "TCP").lower()


def make_environment(registry: Registry, pod: JSON, container: JSON, placement: Placement) -> dict[str, str]:
    """The variables of a container beyond its image's. Raises ConfigError when what a reference names is missing."""
    namespace = namespace_of(pod)
    services = service_variables(registry, namespace, links=pod["spec"].get("enableServiceLinks", True))
    variables: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        variables.update(_env_from(registry, namespace, source))

    def lookup(name: str) -> str | None:
        return variables.get(name, services.get(name))

    for variable in container.get("env") or ():
        if variable.get("valueFrom"):
            value = _value_from(registry, pod, container, variable["valueFrom"], placement)
            if value is not None:
                variables[variable["name"]] = value
        else:
            variables[variable["name"]] = expand(str(variable.get("value") or ""), lookup)
    return {**services, **variables}


def command_line(
    container: JSON, entrypoint: tuple[str, ...], command: tuple[str, ...], env: Mapping[str, str]
) -> tuple[str, ...]:
    """The program and its arguments: the container's command and args over the image's, with $(NAME) expanded."""
    own, args = container.get("command") or [], container.get("args") or []

    def expanded(words: list[str]) -> tuple[str, ...]:
        return tuple(expand(str(w), env.get) for w in words)

    if own:
        return (*expanded(own), *expanded(args))
    return (*entrypoint, *(expanded(args) if args else command))


def data_of(resource: Resource, obj: JSON) -> dict[str, bytes]:
    """The keys of a ConfigMap (data and binaryData) or Secret (data) with their contents."""
    if resource is SECRETS:
        return {k: base64.b64decode(v) for k, v in (obj.get("data") or {}).items()}
    texts = {k: str(v).encode() for k, v in (obj.get("data") or {}).items()}
    return texts | {k: base64.b64decode(v) for k, v in (obj.get("binaryData") or {}).items()}


def _env_from(registry: Registry, namespace: str, source: JSON) -> dict[str, str]:
    resource, kind, reference = (
        (CONFIG_MAPS, "configmap", source["configMapRef"])
        if source.get("configMapRef")
        else (SECRETS, "secret", source["secretRef"])
    )
    obj = registry.find(resource, namespace, reference["name"])
    if obj is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{kind} "{reference["name"]}" not found')
    prefix = source.get("prefix") or ""
    return {prefix + k: v.decode(errors="replace") for k, v in data_of(resource, obj).items()}


def _value_from(registry: Registry, pod: JSON, container: JSON, source: JSON, placement: Placement) -> str | None:
    """The value of one valueFrom; None when it is optional and missing."""
    if source.get("fieldRef"):
        return field_value(pod, source["fieldRef"]["fieldPath"], placement)
    if source.get("resourceFieldRef"):
        return resource_value(pod, source["resourceFieldRef"], container, placement)
    if source.get("configMapKeyRef"):
        resource, kind, reference = CONFIG_MAPS, "ConfigMap", source["configMapKeyRef"]
    elif source.get("secretKeyRef"):
        resource, kind, reference = SECRETS, "Secret", source["secretKeyRef"]
    else:
        raise ConfigError(f"the embedded cluster does not serve the variable source {', '.join(source)}")
    namespace = namespace_of(pod)
    obj = registry.find(resource, namespace, reference["name"])
    if obj is None:
        if reference.get("optional"):
            return None
        raise ConfigError(f'{kind.lower()} "{reference["name"]}" not found')
    data = data_of(resource, obj)
    if reference["key"] not in data:
        if reference.get("optional"):
            return None
        raise ConfigError(f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}")
    return data[reference["key"]].decode(errors="replace")
