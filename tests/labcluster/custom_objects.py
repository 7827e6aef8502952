"""A CustomResourceDefinition for tests, and a control plane that has established it."""

from __future__ import annotations

from typing import Any

from labcluster.api.conditions import is_condition_true
from labcluster.api.objects import JSON, name_of
from labcluster.api.resources import CUSTOM_RESOURCE_DEFINITIONS, Resource
from labcluster.controllers.custom_resource_definitions import CustomResourceDefinitionController
from labcluster.storage.registry import Registry

GROUP = "stable.example.com"
NAME = f"crontabs.{GROUP}"
SPEC: JSON = {
    "type": "object",
    "description": "What is wanted.",
    "required": ["cronSpec"],
    "properties": {
        "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$", "description": "When."},
        "image": {"type": "string", "enum": ["a", "b"], "default": "a"},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
            },
        },
        "target": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
SCHEMA: JSON = {
    "type": "object",
    "description": "A job at times.",
    "properties": {
        "spec": SPEC,
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.labelSelector",
}
COLUMNS = [
    {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Image", "type": "string", "jsonPath": ".spec.image", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def version(name: str = "v1", schema: JSON | None = None, **more: Any) -> JSON:
    """A served version; `storage` and `served` may be given."""
    given = schema if schema is not None else SCHEMA
    return {"name": name, "served": True, "storage": name == "v1", "schema": {"openAPIV3Schema": given}, **more}


def full_version(**more: Any) -> JSON:
    """v1 with all that a version can have."""
    subresources = {"status": {}, "scale": SCALE}
    selectable = [{"jsonPath": ".spec.image"}]
    return version(additionalPrinterColumns=COLUMNS, subresources=subresources, selectableFields=selectable, **more)


def definition(*versions: JSON, plural: str = "crontabs", **spec: Any) -> JSON:
    """A CustomResourceDefinition of CronTabs."""
    names = {"plural": plural, "kind": "CronTab", "shortNames": ["ct"], "categories": ["all"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": names,
            "versions": list(versions) or [full_version()],
            **spec,
        },
    }


def cron_tab(name: str = "one", namespace: str = "default", api_version: str = "v1", **spec: Any) -> JSON:
    """A valid CronTab."""
    return {
        "apiVersion": f"{GROUP}/{api_version}",
        "kind": "CronTab",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"cronSpec": "* * * * */5", **spec},
    }


def establish(registry: Registry, crd: JSON) -> Resource:
    """Create or update a definition, let its controller accept it, and return the resource as it is stored."""
    if registry.find(CUSTOM_RESOURCE_DEFINITIONS, "", name_of(crd)) is None:
        registry.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
    else:
        registry.update(CUSTOM_RESOURCE_DEFINITIONS, crd)
    CustomResourceDefinitionController(registry).reconcile(name_of(crd))
    made = registry.get(CUSTOM_RESOURCE_DEFINITIONS, "", name_of(crd))
    assert is_condition_true(made, "Established"), made["status"]
    found = registry.served.named(name_of(crd))
    assert found is not None
    return found
