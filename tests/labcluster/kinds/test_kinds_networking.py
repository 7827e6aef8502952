"""Ingresses, their classes and network policies as they are stored, refused and printed."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.errors import ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.api.resources import INGRESS_CLASSES, INGRESSES, NETWORK_POLICIES, Resource
from labcluster.kinds import KINDS
from labcluster.kinds.ingressclasses import DEFAULT_ANNOTATION
from labcluster.kinds.ingresses import CLASS_ANNOTATION
from labcluster.storage.registry import Registry
from tests.labcluster.rbac_objects import empty_registry

BACKEND = {"service": {"name": "web", "port": {"number": 80}}}


@pytest.fixture
def registry() -> Registry:
    return empty_registry()


def ingress(name: str = "web", annotations: JSON | None = None, **spec: Any) -> JSON:
    metadata = {"name": name, "namespace": "default", "annotations": annotations or {}}
    return {"metadata": metadata, "spec": spec or {"defaultBackend": BACKEND}}


def rule(host: str = "a.example", path: str = "/", kind: str | None = "Prefix", backend: JSON | None = None) -> JSON:
    entry: JSON = {"path": path, "backend": BACKEND if backend is None else backend}
    if kind:
        entry["pathType"] = kind
    return {"host": host, "http": {"paths": [entry]}}


def ingress_class(name: str, *, default: bool = False, **spec: Any) -> JSON:
    annotations = {DEFAULT_ANNOTATION: "true"} if default else {}
    return {
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"controller": "example.com/proxy", **spec},
    }


def refusal(registry: Registry, resource: Resource, obj: JSON) -> str:
    with pytest.raises(ApiError) as refused:
        registry.create(resource, obj)
    assert refused.value.code == 422
    return refused.value.message


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"tls": []}, "spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"),
        (
            {"rules": [rule(kind=None)]},
            "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
        ),
        (
            {"rules": [rule(kind="Regex")]},
            'pathType: Unsupported value: "Regex": supported values: "Exact", "ImplementationSpecific", "Prefix"',
        ),
        ({"rules": [rule(path="a")]}, 'paths[0].path: Invalid value: "a": must be an absolute path'),
        ({"rules": [rule(path="/a//b")]}, "path: Invalid value: \"/a//b\": must not contain '//'"),
        ({"rules": [rule(path="/a/..")]}, "path: Invalid value: \"/a/..\": cannot end with '/..'"),
        ({"rules": [rule(host="10.0.0.1")]}, 'spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name'),
        ({"rules": [rule(host="a.*.example")]}, "a wildcard DNS-1123 subdomain must start with '*.'"),
        ({"rules": [{"http": {}}]}, "spec.rules[0].http.paths: Required value"),
        ({"rules": [rule(backend={})]}, 'backend: Invalid value: "": resource or service backend is required'),
        (
            {"defaultBackend": {**BACKEND, "resource": {"kind": "A", "name": "b"}}},
            'spec.defaultBackend: Invalid value: "": cannot set both resource and service backends',
        ),
        (
            {"defaultBackend": {"service": {"name": "web"}}},
            "spec.defaultBackend: Required value: port name or number is required",
        ),
        ({"defaultBackend": {"service": {"port": {"number": 80}}}}, "spec.defaultBackend.service.name: Required value"),
        (
            {"defaultBackend": {"service": {"name": "web", "port": {"number": 80, "name": "http"}}}},
            "cannot set both port name & port number",
        ),
        ({"defaultBackend": {"resource": {"name": "b"}}}, "spec.defaultBackend.resource.kind: Required value"),
        ({"defaultBackend": BACKEND, "ingressClassName": "A"}, 'spec.ingressClassName: Invalid value: "A"'),
        ({"defaultBackend": BACKEND, "tls": [{"secretName": "A"}]}, 'spec.tls[0].secretName: Invalid value: "A"'),
    ],
)
def test_wrong_ingresses(registry: Registry, spec: JSON, expected: str) -> None:
    assert expected in refusal(registry, INGRESSES, ingress(**spec))


def test_a_path_may_be_left_out_where_the_controller_decides(registry: Registry) -> None:
    registry.create(INGRESSES, ingress(rules=[rule(host="*.a.example", path="", kind="ImplementationSpecific")]))


def test_the_default_class_is_named_where_none_is(registry: Registry) -> None:
    assert "ingressClassName" not in registry.create(INGRESSES, ingress("before"))["spec"]
    registry.create(INGRESS_CLASSES, ingress_class("b", default=True))
    registry.create(INGRESS_CLASSES, ingress_class("a", default=True))
    registry.create(INGRESS_CLASSES, ingress_class("other"))
    assert registry.create(INGRESSES, ingress("mine"))["spec"]["ingressClassName"] == "a"
    named = ingress("named", defaultBackend=BACKEND, ingressClassName="other")
    assert registry.create(INGRESSES, named)["spec"]["ingressClassName"] == "other"
    old = registry.create(INGRESSES, ingress("old", {CLASS_ANNOTATION: "x"}))
    assert "ingressClassName" not in old["spec"]
    assert "is deprecated, please use 'spec.ingressClassName'" in KINDS[INGRESSES].warnings(old)[0]
    both = ingress("both", {CLASS_ANNOTATION: "x"}, defaultBackend=BACKEND, ingressClassName="y")
    assert "must match `ingressClassName` when both are specified" in refusal(registry, INGRESSES, both)


def test_the_address_comes_with_the_status(registry: Registry) -> None:
    rules = [rule(f"{letter}.example") for letter in "abcde"]
    made = registry.create(INGRESSES, ingress(rules=rules, tls=[{"hosts": ["a.example"]}]))
    assert (made["metadata"]["generation"], made["status"]) == (1, {"loadBalancer": {}})
    status = {"loadBalancer": {"ingress": [{"ip": "172.18.0.3"}, {"hostname": "lb.example"}]}}
    made = registry.modify(INGRESSES, "default", "web", lambda new: new.update(status=status), subresource="status")
    assert KINDS[INGRESSES].cells(made) == [
        "web",
        "<none>",
        "a.example,b.example,c.example + 2 more...",
        "172.18.0.3,lb.example",
        "80, 443",
        "0s",
    ]
    for entry, expected in (({"ip": "x"}, "must be a valid IP address"), ({"hostname": "10.0.0.1"}, "not an IP")):
        wrong = {"loadBalancer": {"ingress": [entry]}}
        with pytest.raises(ApiError, match=expected):
            registry.modify(
                INGRESSES, "default", "web", lambda new, w=wrong: new.update(status=w), subresource="status"
            )


def test_hosts_that_fit_are_not_counted(registry: Registry) -> None:
    shown = {
        (): "*",
        ("", ""): "*",
        ("a.b", "c.d", "e.f"): "a.b,c.d,e.f",
        ("", "a.b", "c.d", "e.f"): "a.b,c.d,e.f",
        ("a.b", "c.d", "e.f", ""): "a.b,c.d,e.f + 1 more...",
    }
    for hosts, expected in shown.items():
        obj = {"metadata": {"name": "x"}, "spec": {"rules": [{"host": host} for host in hosts]}}
        assert KINDS[INGRESSES].cells(obj)[2] == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"controller": ""}, "spec.controller: Required value"),
        ({"controller": "proxy"}, 'must be a domain-prefixed path (such as "acme.io/foo")'),
        ({"controller": "Example.com/x"}, "a lowercase RFC 1123 subdomain"),
        ({"controller": "a.b/ "}, "Invalid path (regex used for validation is"),
        ({"controller": "a.b/" + "x" * 250}, "spec.controller: Too long: may not be more than 250 bytes"),
        ({"parameters": {"kind": "A"}}, "spec.parameters.name: Required value"),
        (
            {"parameters": {"kind": "A", "name": "b", "scope": "Namespace"}},
            "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
        ),
        (
            {"parameters": {"kind": "A", "name": "b", "namespace": "c"}},
            "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
        ),
        (
            {"parameters": {"kind": "A", "name": "b", "scope": "Node"}},
            'spec.parameters.scope: Unsupported value: "Node": supported values: "Cluster", "Namespace"',
        ),
    ],
)
def test_wrong_classes(registry: Registry, spec: JSON, expected: str) -> None:
    assert expected in refusal(registry, INGRESS_CLASSES, ingress_class("a", **spec))


def test_a_class_keeps_its_controller(registry: Registry) -> None:
    made = registry.create(
        INGRESS_CLASSES, ingress_class("a", parameters={"kind": "A", "name": "b", "apiGroup": "c.d"})
    )
    assert made["spec"]["parameters"]["scope"] == "Cluster"
    assert KINDS[INGRESS_CLASSES].cells(made) == ["a", "example.com/proxy", "A.c.d/b", "0s"]
    with pytest.raises(ApiError, match=r"spec\.controller: Invalid value: .*: field is immutable"):
        registry.modify(INGRESS_CLASSES, "", "a", lambda new: new["spec"].update(controller="a.b/c"))


def policy(**spec: Any) -> JSON:
    return {"metadata": {"name": "deny", "namespace": "default"}, "spec": spec}


def test_a_policy_is_stored_with_its_defaults(registry: Registry) -> None:
    made = registry.create(NETWORK_POLICIES, policy(egress=[{"ports": [{"port": 53}]}]))
    assert made["spec"] == {
        "podSelector": {},
        "egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}],
        "policyTypes": ["Ingress", "Egress"],
    }
    assert KINDS[NETWORK_POLICIES].cells(made) == ["deny", "<none>", "0s"]
    other = clone(policy(podSelector={"matchLabels": {"a": "b"}}))
    other["metadata"]["name"] = "other"
    made = registry.create(NETWORK_POLICIES, other)
    assert made["spec"]["policyTypes"] == ["Ingress"]
    assert KINDS[NETWORK_POLICIES].cells(made) == ["other", "a=b", "0s"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"ingress": [{"from": [{}]}]}, "spec.ingress[0].from[0]: Required value: must specify a peer"),
        (
            {"egress": [{"to": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
            "spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer",
        ),
        ({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0"}}]}]}, 'ipBlock.cidr: Invalid value: "10.0.0.0"'),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8", "11.0.0.0/16"]}}]}]},
            'ipBlock.except[1]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
        ),
        ({"ingress": [{"ports": [{"port": 0}]}]}, "ports[0].port: Invalid value: 0: must be between 1 and 65535"),
        ({"ingress": [{"ports": [{"port": 9, "endPort": 8}]}]}, "must be greater than or equal to `port`"),
        ({"ingress": [{"ports": [{"port": "http", "endPort": 8}]}]}, "when `port` is non-numeric"),
        ({"ingress": [{"ports": [{"endPort": 8}]}]}, "may not be specified when `port` is not specified"),
        ({"ingress": [{"ports": [{"protocol": "ICMP"}]}]}, 'protocol: Unsupported value: "ICMP"'),
        ({"policyTypes": ["Both"]}, 'spec.policyTypes[0]: Unsupported value: "Both"'),
    ],
)
def test_wrong_policies(registry: Registry, spec: JSON, expected: str) -> None:
    assert expected in refusal(registry, NETWORK_POLICIES, policy(**spec))
