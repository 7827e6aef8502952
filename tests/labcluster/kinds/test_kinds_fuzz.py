"""Whatever decodes is stored or refused: no well-typed object makes the API server stumble."""

from __future__ import annotations

import random
from typing import Any

import pytest

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON
from labcluster.api.resources import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, RESOURCES, SERVICE_ACCOUNTS, Resource
from labcluster.schema.definitions import Type, type_of
from labcluster.schema.patches import apply_merge_patch, apply_strategic_patch
from labcluster.schema.schemas import decode
from labcluster.storage.registry import Registry
from labcluster.storage.store import Store

OBJECTS = 150  # of each kind
_TEXTS = ("", "a", "None", "web", "10.96.0.7", "Delete", "ClusterIP", "NodePort", "ExternalName", "1Gi", "TCP", "a/b")


def value_of(kind: Type, chance: random.Random, depth: int) -> Any:
    """A random value of a type, most often small."""
    match kind.kind:
        case "struct":
            keep = 0.25 if depth < 4 else 0.06
            return {
                name: value_of(field.type, chance, depth + 1)
                for name, field in kind.fields.items()
                if chance.random() < keep + 0.3 * field.required
            }
        case "array" if kind.item:
            return [value_of(kind.item, chance, depth + 1) for _ in range(chance.choice((0, 1, 1, 2)))]
        case "map" if kind.item:
            return {
                key: value_of(kind.item, chance, depth + 1) for key in chance.sample(_TEXTS, chance.choice((0, 1, 2)))
            }
        case "string":
            return chance.choice(_TEXTS)
        case "[]uint8":
            return "AA=="
        case "bool":
            return chance.random() < 0.5
        case "int32" | "int64" | "float64":
            return chance.choice((-1, 0, 1, 80, 30000, 70000))
        case "quantity":
            return chance.choice(("0", "-1", "1Gi", "100Mi", 5))
        case "int-or-string":
            return chance.choice((0, 80, "http", "", "50%", -1))
        case "time":
            return "2026-01-01T00:00:00Z"
    return chance.choice(({}, {"a": 1}))


_POD = {"containers": [{"name": "c", "image": "redis:7"}]}
_WORKLOAD = {
    "serviceName": "web",
    "selector": {"matchLabels": {"a": "b"}},
    "template": {"metadata": {"labels": {"a": "b"}}, "spec": _POD},
}
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
# What makes an object of the kind valid; the rest is random.
_VALID: dict[str, JSON] = {
    "pods": {"spec": _POD},
    "services": {"spec": {"ports": [{"port": 80}]}},
    "persistentvolumes": {
        "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}}
    },
    "persistentvolumeclaims": {"spec": _CLAIM},
    "storageclasses": {"provisioner": "lab/local"},
    "endpointslices": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]},
    "replicasets": {"spec": _WORKLOAD},
    "deployments": {"spec": _WORKLOAD},
    "statefulsets": {"spec": _WORKLOAD},
    "daemonsets": {"spec": {k: v for k, v in _WORKLOAD.items() if k != "serviceName"}},
    "rolebindings": {"roleRef": {"kind": "Role", "name": "reader"}},
    "clusterrolebindings": {"roleRef": {"kind": "ClusterRole", "name": "reader"}},
    "ingresses": {"spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}},
    "ingressclasses": {"spec": {"controller": "example.com/proxy"}},
    "customresourcedefinitions": {
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        }
    },
    "jobs": {"spec": {"template": {"spec": {**_POD, "restartPolicy": "Never"}}}},
    "cronjobs": {
        "spec": {
            "schedule": "@daily",
            "jobTemplate": {"spec": {"template": {"spec": {**_POD, "restartPolicy": "Never"}}}},
        }
    },
}


def thinned(value: Any, chance: random.Random) -> Any:
    """A value with only a branch or two left of each object."""
    if isinstance(value, dict):
        keys = chance.sample(sorted(value), min(len(value), chance.choice((1, 1, 2))))
        return {key: thinned(value[key], chance) for key in keys}
    return value


def random_object(resource: Resource, chance: random.Random) -> JSON:
    obj: JSON = value_of(type_of(resource), chance, 0)
    obj.pop("kind", None)
    obj.pop("apiVersion", None)
    metadata = {"labels": {"a": "b"}} if chance.random() < 0.5 else obj.get("metadata", {})
    for key in ("resourceVersion", "uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        metadata.pop(key, None)
    if chance.random() < 0.8:
        obj = apply_merge_patch(_VALID.get(resource.plural, {}), thinned(obj, chance))
        metadata = {}
    obj["metadata"] = {**metadata, "name": f"x{chance.randrange(10**9)}", "namespace": "default"}
    if resource == CUSTOM_RESOURCE_DEFINITIONS and "names" in obj.get("spec", {}):
        # A definition is called as its resource is.
        plural = obj["spec"]["names"]["plural"] = obj["metadata"]["name"]
        obj["metadata"]["name"] = f"{plural}.{obj['spec'].get('group')}"
    return obj


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.plural)
def test_well_typed_objects_are_stored_or_refused(resource: Resource) -> None:
    chance = random.Random(resource.plural)
    registry = Registry(Store(":memory:"))
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    kind = registry.kind(resource)
    stored = 0
    for _ in range(OBJECTS):
        obj, _ = decode(random_object(resource, chance), resource, "Ignore")
        patch = thinned(value_of(type_of(resource), chance, 0), chance)
        for key in ("kind", "apiVersion", "metadata"):
            patch.pop(key, None)
        try:
            made = registry.create(resource, obj)
        except ApiError:
            continue
        stored += 1
        assert len(kind.cells(made)) == len(kind.columns)
        assert all(isinstance(value, str) for value in kind.fields(made).values())
        for apply in (apply_merge_patch, lambda o, p: apply_strategic_patch(o, p, resource)):
            try:
                changed, _ = decode(apply(made, patch), resource)
                registry.update(resource, changed)
            except ApiError:
                continue
    assert stored > OBJECTS // 20, "too few objects are valid for the test to mean something"
