"""Validation of containers and init containers (upstream: pkg/apis/core/validation/validation.go)."""

from __future__ import annotations

from collections.abc import Collection

from labcluster.api import field, quantities
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.kinds import formats
from labcluster.kinds.downward import validate_field_ref
from labcluster.kinds.values import NOT_NEGATIVE, formatted, not_negative, one_of, port_number_or_name, required

PROTOCOLS = ("SCTP", "TCP", "UDP")
RESTART_ALWAYS_ONLY = "may not be set for init containers without restartPolicy=Always"
_NOT_EPHEMERAL = (  # what a container may have and an ephemeral one may not
    *("ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules"),
    *("livenessProbe", "readinessProbe", "startupProbe", "lifecycle"),
)
_STANDARD_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)


def validate_containers(containers: list[JSON], volumes: Collection[str], path: str) -> list[FieldError]:
    """Errors of spec.containers; `volumes` are the names that may be mounted."""
    if not containers:
        return [field.required(path)]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, container in enumerate(containers):
        here = f"{path}[{index}]"
        errors += _validate_common(container, volumes, here)
        errors += _unique_name(container, seen, here)
        errors += _validate_hooks(container, here)
    return errors + _host_port_conflicts(containers, path)


def validate_init_containers(
    containers: list[JSON], regular: list[JSON], volumes: Collection[str], path: str
) -> list[FieldError]:
    """Errors of spec.initContainers; only those with restartPolicy Always (sidecars) have probes and hooks."""
    errors: list[FieldError] = []
    seen = {container.get("name", "") for container in regular}
    for index, container in enumerate(containers):
        here = f"{path}[{index}]"
        errors += _validate_common(container, volumes, here)
        errors += _unique_name(container, seen, here)
        policy = container.get("restartPolicy")
        if policy == "Always":
            errors += _validate_hooks(container, here)
            continue
        if policy is not None:
            errors.append(field.not_supported(f"{here}.restartPolicy", policy, ["Always"]))
        for key in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(key) is not None:
                errors.append(field.forbidden(f"{here}.{key}", RESTART_ALWAYS_ONLY))
    return errors


def validate_ephemeral_containers(
    containers: list[JSON], others: list[JSON], volumes: Collection[str], path: str
) -> list[FieldError]:
    """Errors of spec.ephemeralContainers; `others` are all other containers of the pod."""
    errors: list[FieldError] = []
    targets = {container.get("name", "") for container in others}
    seen = set(targets)
    for index, container in enumerate(containers):
        here = f"{path}[{index}]"
        errors += _validate_common(container, volumes, here)
        errors += _unique_name(container, seen, here)
        if (target := container.get("targetContainerName")) and target not in targets:
            errors.append(field.not_found(f"{here}.targetContainerName", target))
        given = [key for key in _NOT_EPHEMERAL if container.get(key) not in (None, {}, [], "")]
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            given += [f"volumeMounts[{number}].{key}" for key in ("subPath", "subPathExpr") if mount.get(key)]
        errors += [field.forbidden(f"{here}.{key}", "cannot be set for an Ephemeral Container") for key in given]
    return errors


def _unique_name(container: JSON, seen: set[str], path: str) -> list[FieldError]:
    name = container.get("name", "")
    if name in seen:
        return [field.duplicate(f"{path}.name", name)]
    seen.add(name)
    return []


def _validate_common(container: JSON, volumes: Collection[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    name, image = container.get("name") or "", container.get("image") or ""
    if name:
        errors += formatted(name, formats.label(name), f"{path}.name")
    else:
        errors.append(field.required(f"{path}.name"))
    if not image:
        errors.append(field.required(f"{path}.image"))
    elif image != image.strip():
        errors.append(field.invalid(f"{path}.image", image, "must not have leading or trailing whitespace"))
    policies = ("FallbackToLogsOnError", "File")
    errors += one_of(container.get("terminationMessagePolicy"), policies, f"{path}.terminationMessagePolicy")
    errors += _validate_ports(container.get("ports") or [], f"{path}.ports")
    errors += _validate_env(container.get("env") or [], f"{path}.env")
    errors += _validate_env_from(container.get("envFrom") or [], f"{path}.envFrom")
    errors += _validate_mounts(container.get("volumeMounts") or [], volumes, f"{path}.volumeMounts")
    errors += one_of(container.get("imagePullPolicy"), ("Always", "IfNotPresent", "Never"), f"{path}.imagePullPolicy")
    return errors + _validate_resources(container.get("resources") or {}, f"{path}.resources")


def _validate_ports(ports: list[JSON], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        here = f"{path}[{index}]"
        if name := port.get("name"):
            wrong = formatted(name, formats.port_name(name), f"{here}.name")
            errors += wrong or ([field.duplicate(f"{here}.name", name)] if name in seen else [])
            seen.add(name)
        number = port.get("containerPort") or 0
        if number:
            errors += formatted(number, formats.port_number(number), f"{here}.containerPort")
        else:
            errors.append(field.required(f"{here}.containerPort"))
        if host := port.get("hostPort"):
            errors += formatted(host, formats.port_number(host), f"{here}.hostPort")
        errors += one_of(port.get("protocol"), PROTOCOLS, f"{here}.protocol")
    return errors


def _host_port_conflicts(containers: list[JSON], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, container in enumerate(containers):
        for number, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if key in seen:
                errors.append(field.duplicate(f"{path}[{index}].ports[{number}].hostPort", key))
            seen.add(key)
    return errors


def _validate_env(variables: list[JSON], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, variable in enumerate(variables):
        here = f"{path}[{index}]"
        if name := variable.get("name"):
            errors += formatted(name, formats.environment_name(name), f"{here}.name")
        else:
            errors.append(field.required(f"{here}.name"))
        if variable.get("valueFrom") is not None:
            errors += _validate_env_source(variable["valueFrom"], variable.get("value") or "", f"{here}.valueFrom")
    return errors


def _validate_env_source(source: JSON, value: str, path: str) -> list[FieldError]:
    given = [key for key, reference in source.items() if reference is not None]
    errors: list[FieldError] = []
    for key in given:
        here, reference = f"{path}.{key}", source[key]
        if key == "fieldRef":
            errors += validate_field_ref(reference, _ENV_FIELDS, here)
        elif key == "resourceFieldRef":
            errors += required(reference, "resource", here)
        elif key in ("configMapKeyRef", "secretKeyRef"):
            errors += required(reference, "name", here) + required(reference, "key", here)
            if reference.get("key"):
                errors += formatted(reference["key"], formats.config_key(reference["key"]), f"{here}.key")
    if not given:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        errors.append(field.invalid(path, "", text))
    elif value:
        errors.append(field.invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        errors.append(field.invalid(path, "", "may not have more than one field specified at a time"))
    return errors


def _validate_env_from(sources: list[JSON], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, source in enumerate(sources):
        here = f"{path}[{index}]"
        if prefix := source.get("prefix"):
            errors += formatted(prefix, formats.environment_name(prefix), f"{here}.prefix")
        given = [key for key in ("configMapRef", "secretRef") if source.get(key) is not None]
        for key in given:
            errors += required(source[key], "name", f"{here}.{key}")
        if not given:
            errors.append(field.invalid(here, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            errors.append(field.invalid(here, "", "may not have more than one field specified at a time"))
    return errors


def _validate_mounts(mounts: list[JSON], volumes: Collection[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        here = f"{path}[{index}]"
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        errors += required(mount, "name", here)
        if name not in volumes:
            errors.append(field.not_found(f"{here}.name", name))
        errors += required(mount, "mountPath", here)
        if target in seen:
            errors.append(field.invalid(f"{here}.mountPath", target, "must be unique"))
        seen.add(target)
        if sub_path := mount.get("subPath"):
            errors += descending_path(sub_path, f"{here}.subPath")
        if expression := mount.get("subPathExpr"):
            if mount.get("subPath"):
                text = "subPathExpr and subPath are mutually exclusive"
                errors.append(field.invalid(f"{here}.subPathExpr", expression, text))
            errors += descending_path(expression, f"{here}.subPathExpr")
    return errors


def descending_path(value: str, path: str) -> list[FieldError]:
    """A relative path that never climbs (validateLocalDescendingPath)."""
    errors = [field.invalid(path, value, "must be a relative path")] if value.startswith("/") else []
    if ".." in value.split("/"):
        errors.append(field.invalid(path, value, "must not contain '..'"))
    return errors


def _validate_resources(resources: JSON, path: str) -> list[FieldError]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    errors: list[FieldError] = []
    for key, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            errors += _validate_resource_name(name, f"{path}.{key}[{name}]")
            if quantities.parse(amount).amount < 0:
                errors.append(field.invalid(f"{path}.{key}[{name}]", str(amount), NOT_NEGATIVE))
    for name, amount in requests.items():
        limit = limits.get(name)
        if limit is not None and quantities.parse(amount) > quantities.parse(limit):
            text = f"must be less than or equal to {name} limit of {limit}"
            errors.append(field.invalid(f"{path}.requests", str(amount), text))
    return errors


def _validate_resource_name(name: str, path: str) -> list[FieldError]:
    errors = formatted(name, formats.qualified_name(name), path)
    if errors or "/" in name or name in _STANDARD_RESOURCES or name.startswith("hugepages-"):
        return errors
    return [
        field.invalid(path, name, "must be a standard resource type or fully qualified"),
        field.invalid(path, name, "must be a standard resource for containers"),
    ]


def _validate_hooks(container: JSON, path: str) -> list[FieldError]:
    """Lifecycle hooks and probes: what containers and sidecars have, and other init containers have not."""
    errors: list[FieldError] = []
    for hook in ("postStart", "preStop"):
        if (handler := (container.get("lifecycle") or {}).get(hook)) is not None:
            errors += _validate_handler(handler, f"{path}.lifecycle.{hook}")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if (probe := container.get(name)) is not None:
            errors += _validate_probe(probe, name, f"{path}.{name}")
    return errors


def _validate_probe(probe: JSON, name: str, path: str) -> list[FieldError]:
    errors = _validate_handler(probe, path)
    counters = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
    errors += not_negative(probe, counters, path)
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        errors.append(field.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    if name == "readinessProbe":
        if grace is not None:
            text = "must not be set for readinessProbes"
            errors.append(field.invalid(f"{path}.terminationGracePeriodSeconds", grace, text))
    elif probe.get("successThreshold") != 1:
        errors.append(field.invalid(f"{path}.successThreshold", probe.get("successThreshold"), "must be 1"))
    return errors


def _validate_handler(handler: JSON, path: str) -> list[FieldError]:
    given = [key for key in _HANDLERS if handler.get(key) is not None]
    if not given:
        return [field.required(path, "must specify a handler type")]
    key, action = given[0], handler[given[0]]
    here = f"{path}.{key}"
    errors: list[FieldError] = []
    if key == "exec":
        errors += required(action, "command", here)
    elif key == "httpGet":
        errors += required(action, "path", here)
        errors += port_number_or_name(action.get("port"), f"{here}.port")
        errors += one_of(action.get("scheme"), ("HTTP", "HTTPS"), f"{here}.scheme")
    elif key == "tcpSocket":
        errors += port_number_or_name(action.get("port"), f"{here}.port")
    elif key == "grpc":
        errors += formatted(action.get("port", 0), formats.port_number(action.get("port", 0)), f"{here}.port")
    errors += [field.forbidden(f"{path}.{more}", "may not specify more than 1 handler type") for more in given[1:]]
    return errors
