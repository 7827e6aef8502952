"""Variables of containers: order, references, expansion."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from labcluster.api.objects import JSON
from labcluster.api.resources import CONFIG_MAPS, SECRETS, SERVICES
from labcluster.node.pods.environment import (
    ConfigError,
    Placement,
    command_line,
    expand,
    make_environment,
    service_variables,
)
from labcluster.storage.registry import Registry
from tests.labcluster.node_cluster import container, new_registry, pod_object

HERE = Placement("lab-worker", "172.18.0.3", "10.244.1.7", {"cpu": "4", "memory": "8Gi"})


@pytest.fixture
def registry() -> Registry:
    registry = new_registry()
    registry.create(CONFIG_MAPS, {"metadata": {"name": "cm", "namespace": "default"}, "data": {"A": "1", "B": "2"}})
    secret = {"metadata": {"name": "s", "namespace": "default"}, "data": {"P": base64.b64encode(b"pw").decode()}}
    registry.create(SECRETS, secret)
    return registry


def variables(registry: Registry, *env: JSON, env_from: list[JSON] | None = None, **pod: Any) -> dict[str, str]:
    spec = container(env=list(env), envFrom=env_from or [])
    obj = pod_object(containers=[spec], **pod)
    obj["metadata"] |= {"uid": "u-1", "labels": {"app": "web", "a": 'say "hi"'}}
    return make_environment(registry, obj, spec, HERE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(A)", "x1y1"),
        ("$$(A)", "$(A)"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$(A", "$(A"),
        ("$A", "$A"),
        ("$", "$"),
        ("$$", "$"),
    ],
)
def test_references_expand_as_upstream_does(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}.get) == expected


def test_later_variables_see_earlier_ones_and_own_ones_win(registry: Registry) -> None:
    made = variables(
        registry,
        {"name": "A", "value": "own"},
        {"name": "C", "value": "$(A)-$(B)"},
        env_from=[{"configMapRef": {"name": "cm"}}, {"prefix": "S_", "secretRef": {"name": "s"}}],
    )
    assert made == {"A": "own", "B": "2", "C": "own-2", "S_P": "pw"}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"configMapKeyRef": {"name": "cm", "key": "Z"}}, "couldn't find key Z in ConfigMap default/cm"),
        ({"secretKeyRef": {"name": "s", "key": "Z"}}, "couldn't find key Z in Secret default/s"),
        ({"secretKeyRef": {"name": "no", "key": "Z"}}, 'secret "no" not found'),
    ],
)
def test_references_that_lead_nowhere_are_named(registry: Registry, source: JSON, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        variables(registry, {"name": "X", "valueFrom": source})
    assert str(caught.value) == text


def test_an_optional_reference_may_be_missing(registry: Registry) -> None:
    optional = {"configMapKeyRef": {"name": "no", "key": "Z", "optional": True}}
    made = variables(registry, {"name": "X", "valueFrom": optional})
    assert "X" not in made


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"),
        ("metadata.namespace", "default"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels", 'a="say \\"hi\\""\napp="web"'),
        ("spec.nodeName", "lab-worker"),
        ("status.podIP", "10.244.1.7"),
        ("status.hostIP", "172.18.0.3"),
    ],
)
def test_the_downward_api_knows_the_pod(registry: Registry, path: str, value: str) -> None:
    made = variables(registry, {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}})
    assert made["X"] == value


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ({"resource": "limits.cpu"}, "4"),
        ({"resource": "requests.cpu", "divisor": "1m"}, "0"),
        ({"resource": "limits.memory", "divisor": "1Mi"}, "8192"),
    ],
)
def test_limits_default_to_what_the_node_has(registry: Registry, reference: JSON, value: str) -> None:
    made = variables(registry, {"name": "X", "valueFrom": {"resourceFieldRef": reference}})
    assert made["X"] == value


def service(name: str, namespace: str, cluster_ip: str | None, *ports: JSON) -> JSON:
    spec: JSON = {"ports": list(ports), **({"clusterIP": cluster_ip} if cluster_ip else {})}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def test_services_with_a_cluster_ip_have_variables(registry: Registry) -> None:
    registry.create(SERVICES, service("kubernetes", "default", "10.96.0.1", {"name": "https", "port": 443}))
    registry.create(SERVICES, service("my-web", "default", "10.96.3.4", {"port": 80, "protocol": "TCP"}))
    registry.create(SERVICES, service("headless", "default", "None", {"port": 80}))
    made = service_variables(registry, "default", links=True)
    assert made["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert made["KUBERNETES_SERVICE_PORT_HTTPS"] == "443"
    assert made["MY_WEB_PORT_80_TCP"] == "tcp://10.96.3.4:80"
    assert made["MY_WEB_SERVICE_PORT"] == "80"
    assert not any(name.startswith("HEADLESS") for name in made)
    without = service_variables(registry, "default", links=False)
    assert "KUBERNETES_SERVICE_HOST" in without and "MY_WEB_SERVICE_HOST" not in without


@pytest.mark.parametrize(
    ("own", "args", "expected"),
    [
        ([], [], ("/entry", "serve")),
        ([], ["a$(X)"], ("/entry", "a1")),
        (["run"], [], ("run",)),
        (["run", "$(X)"], ["b"], ("run", "1", "b")),
    ],
)
def test_command_and_args_override_the_image(own: list[str], args: list[str], expected: tuple[str, ...]) -> None:
    assert command_line({"command": own, "args": args}, ("/entry",), ("serve",), {"X": "1"}) == expected
