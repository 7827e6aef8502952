"""The OpenAPI v3 documents of the served group versions: what kubectl's apply, create and explain read.

The schemas are the published ones; the paths are made from the table of resources, as upstream's installer names them
(kube-openapi, apiserver pkg/endpoints/installer.go). Watch and proxy paths, which no client looks up, are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from labcluster import settings
from labcluster.api.objects import JSON
from labcluster.api.resources import COMPONENT_STATUSES, Resource, ServedResources
from labcluster.schema.definitions import definition_name, definitions, json_type, references
from labcluster.schema.structural.resource import CustomResource

_FORM = 3  # raise it when the documents change in form, so that clients drop their cached ones

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SCALE = Resource("autoscaling", "v1", "scales", "Scale")
_MEDIA_TYPES = ("application/json", "application/yaml")
_STRATEGIC = "application/strategic-merge-patch+json"
_PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    _STRATEGIC,
    "application/apply-patch+yaml",
)
# The values of string types of the API, which the published schemas leave out and `kubectl explain` shows.
_ENUMS = {
    "Container.imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "ContainerPort.protocol": ("SCTP", "TCP", "UDP"),
    "CronJobSpec.concurrencyPolicy": ("Allow", "Forbid", "Replace"),
    "DaemonSetUpdateStrategy.type": ("OnDelete", "RollingUpdate"),
    "DeploymentStrategy.type": ("Recreate", "RollingUpdate"),
    "HTTPIngressPath.pathType": ("Exact", "ImplementationSpecific", "Prefix"),
    "NetworkPolicyPort.protocol": ("SCTP", "TCP", "UDP"),
    "PersistentVolumeClaimSpec.volumeMode": ("Block", "Filesystem"),
    "PersistentVolumeSpec.persistentVolumeReclaimPolicy": ("Delete", "Recycle", "Retain"),
    "PersistentVolumeSpec.volumeMode": ("Block", "Filesystem"),
    "PodSpec.dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
    "PodSpec.restartPolicy": ("Always", "Never", "OnFailure"),
    "ServicePort.protocol": ("SCTP", "TCP", "UDP"),
    "ServiceSpec.externalTrafficPolicy": ("Cluster", "Local"),
    "ServiceSpec.internalTrafficPolicy": ("Cluster", "Local"),
    "ServiceSpec.ipFamilyPolicy": ("PreferDualStack", "RequireDualStack", "SingleStack"),
    "ServiceSpec.sessionAffinity": ("ClientIP", "None"),
    "ServiceSpec.type": ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"),
    "StatefulSetSpec.podManagementPolicy": ("OrderedReady", "Parallel"),
    "StatefulSetUpdateStrategy.type": ("OnDelete", "RollingUpdate"),
    "StorageClass.reclaimPolicy": ("Delete", "Recycle", "Retain"),
    "StorageClass.volumeBindingMode": ("Immediate", "WaitForFirstConsumer"),
    "Taint.effect": ("NoExecute", "NoSchedule", "PreferNoSchedule"),
    "Toleration.effect": ("NoExecute", "NoSchedule", "PreferNoSchedule"),
}
_CONVENTIONS = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_OBJECT_METADATA = f"Standard object's metadata. More info: {_CONVENTIONS}#metadata"
_LIST_METADATA = f"Standard list metadata. More info: {_CONVENTIONS}#types-kinds"


def openapi_v3_index(served: ServedResources) -> JSON:
    """The body of GET /openapi/v3: where the document of each group version is."""
    versions: dict[tuple[str, str], list[Resource]] = {}
    for resource in (*served.all(), COMPONENT_STATUSES):
        versions.setdefault((resource.group, resource.version), []).append(resource)
    return {"paths": {_root(*v).lstrip("/"): {"serverRelativeURL": _location(*v, of)} for v, of in versions.items()}}


def openapi_v3(group: str, version: str, table: ServedResources) -> JSON | None:
    """The body of GET /openapi/v3/api/v1 or /openapi/v3/apis/<group>/<version>; None for what is not served."""
    served = [r for r in (*table.all(), COMPONENT_STATUSES) if (r.group, r.version) == (group, version)]
    if not served:
        return None
    paths: JSON = {}
    for resource in served:
        paths.update(_paths(resource))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": settings.KUBERNETES_VERSION},
        "paths": paths,
        "components": {"schemas": dict(sorted({**_custom(served), **_schemas(references(paths))}.items()))},
    }


def _root(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def _location(group: str, version: str, served: list[Resource]) -> str:
    content = f"{_FORM} {settings.KUBERNETES_VERSION} {served} {_custom(served)}"
    return f"/openapi/v3{_root(group, version)}?hash={hashlib.sha256(content.encode()).hexdigest().upper()}"


def _paths(resource: Resource) -> JSON:
    root = _root(resource.group, resource.version)
    kind = _definition_name(resource)
    collection = f"{root}/namespaces/{{namespace}}" if resource.namespaced else root
    collection += f"/{resource.plural}"
    one = f"{collection}/{{name}}"
    scope = [_parameter("namespace", "string", "path")] if resource.namespaced else []
    named = [*scope, _parameter("name", "string", "path")]
    verbs = set(resource.verbs)
    many: JSON = {"parameters": [*scope, _query("pretty")]}
    single: JSON = {"parameters": [*named, _query("pretty")]}
    if "list" in verbs:
        many["get"] = _operation(resource, "list", kind + "List", _LIST)
    if "create" in verbs:
        many["post"] = _operation(resource, "post", kind, _WRITE, body=kind)
    if "deletecollection" in verbs:
        many["delete"] = _operation(resource, "deletecollection", _META + "Status", _DELETE + _LIST)
    if "get" in verbs:
        single["get"] = _operation(resource, "get", kind)
    if "update" in verbs:
        single["put"] = _operation(resource, "put", kind, _WRITE, body=kind)
    if "patch" in verbs:
        single["patch"] = _operation(resource, "patch", kind, [*_WRITE, _query("force", "boolean")], patch=True)
    if "delete" in verbs:
        body = _META + "DeleteOptions"
        single["delete"] = _operation(resource, "delete", _META + "Status", _DELETE, body=body)
    paths = {collection: many, one: single}
    if resource.namespaced and "list" in verbs:
        paths[f"{root}/{resource.plural}"] = {"get": _operation(resource, "list", kind + "List", _LIST)}
    for name in resource.subresources:
        if name == "proxy":
            continue
        paths[f"{one}/{name}"] = {"parameters": named, **_subresource(resource, name)}
    return paths


def _subresource(resource: Resource, name: str) -> JSON:
    kind = _definition_name(resource)
    if name in _CONNECTED:
        return {verb: _operation(resource, "connect", "", _CONNECTED[name]) for verb in ("get", "post")}
    if name == "log":
        return {"get": _operation(resource, "get", "")}
    if name == "scale":
        scale = definition_name(_SCALE)
        return {
            "get": _operation(_SCALE, "get", scale),
            "put": _operation(_SCALE, "put", scale, _WRITE, body=scale),
            "patch": _operation(_SCALE, "patch", scale, _WRITE, patch=True),
        }
    if name in ("binding", "eviction", "token"):
        return {"post": _operation(resource, "post", _META + "Status", _WRITE)}
    update = _operation(resource, "put", kind, _WRITE, body=kind)
    if name == "finalize":
        return {"put": update}
    return {
        "get": _operation(resource, "get", kind),
        "put": update,
        "patch": _operation(resource, "patch", kind, _WRITE, patch=True),
    }


def _parameter(name: str, kind: str, where: str) -> JSON:
    schema = {"type": kind, "uniqueItems": True}
    return {"name": name, "in": where, **({"required": True} if where == "path" else {}), "schema": schema}


def _query(name: str, kind: str = "string") -> JSON:
    return _parameter(name, kind, "query")


_WRITE = [_query(name) for name in ("dryRun", "fieldManager", "fieldValidation")]
_DELETE = [
    _query("dryRun"),
    _query("gracePeriodSeconds", "integer"),
    _query("orphanDependents", "boolean"),
    _query("propagationPolicy"),
]
_STREAMS = [
    _query("container"),
    _query("stderr", "boolean"),
    _query("stdin", "boolean"),
    _query("stdout", "boolean"),
    _query("tty", "boolean"),
]
_CONNECTED = {  # subresources that are streams
    "exec": [_query("command"), *_STREAMS],
    "attach": _STREAMS,
    "portforward": [_query("ports", "integer")],
}
_LIST = [
    _query("allowWatchBookmarks", "boolean"),
    _query("continue"),
    _query("fieldSelector"),
    _query("labelSelector"),
    _query("limit", "integer"),
    _query("resourceVersion"),
    _query("resourceVersionMatch"),
    _query("sendInitialEvents", "boolean"),
    _query("timeoutSeconds", "integer"),
    _query("watch", "boolean"),
]


def _operation(
    resource: Resource,
    action: str,
    answer: str,
    parameters: list[JSON] | None = None,
    *,
    body: str = "",
    patch: bool = False,
) -> JSON:
    """One operation. `answer` and `body` are names of definitions; an operation without answer gives text."""
    content: JSON = {"text/plain": {"schema": {"type": "string"}}}
    if answer:
        content = {media: _ref(answer) for media in _MEDIA_TYPES}
    responses: JSON = {"200": {"description": "OK", "content": content}, "401": {"description": "Unauthorized"}}
    if action == "post":
        responses["201"] = {"description": "Created", "content": content}
    operation: JSON = {
        "tags": [f"{resource.group.partition('.')[0] or 'core'}_{resource.version}"],
        "responses": responses,
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {
            "group": resource.group,
            "version": resource.version,
            "kind": resource.kind,
        },
    }
    if parameters:
        operation["parameters"] = parameters
    if patch:
        types = [t for t in _PATCH_TYPES if not (resource.custom and t == _STRATEGIC)]
        bodies = {media: _ref(_META + "Patch") for media in types}
        operation["requestBody"] = {"content": bodies, "required": True}
    elif body:
        operation["requestBody"] = {"content": {"*/*": _ref(body)}, "required": action != "delete"}
    return operation


def _ref(name: str) -> JSON:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def _definition_name(resource: Resource) -> str:
    """The name of a kind's schema: of a custom resource `com.example.stable.v1.CronTab`."""
    if not resource.custom:
        return definition_name(resource)
    return ".".join((*reversed(resource.group.split(".")), resource.version, resource.kind))


def _custom(served: Iterable[Resource]) -> JSON:
    """The schemas of the custom resources, as apiextensions-apiserver pkg/controller/openapi/builder publishes them."""
    schemas: JSON = {}
    for resource in served:
        if isinstance(resource, CustomResource):
            name = _definition_name(resource)
            schemas[name] = _custom_schema(resource)
            schemas[name + "List"] = _custom_list(resource, name)
    return schemas


def _custom_schema(resource: CustomResource) -> JSON:
    published: JSON = {"type": "object", **resource.schema}
    own = resource.schema.get("properties") or {}
    published["properties"] = {**own, **_header("ObjectMeta", _OBJECT_METADATA, own)}
    published["x-kubernetes-group-version-kind"] = [_gvk(resource, resource.kind)]
    return published


def _custom_list(resource: CustomResource, name: str) -> JSON:
    items = {"description": f"List of {resource.plural}.", "type": "array", "items": _ref(name)["schema"]}
    return {
        "description": f"{resource.list_kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {**_header("ListMeta", _LIST_METADATA, {}), "items": items},
        "x-kubernetes-group-version-kind": [_gvk(resource, resource.list_kind)],
    }


def _header(metadata: str, description: str, own: JSON) -> JSON:
    """apiVersion, kind and metadata, which no schema need declare."""
    pod = definitions()["io.k8s.api.core.v1.Pod"]["properties"]
    header: JSON = {}
    for key in ("apiVersion", "kind"):
        header[key] = own.get(key) or {"description": pod[key]["description"], "type": "string"}
    target = {"$ref": f"#/components/schemas/{_META}{metadata}"}
    header["metadata"] = {"description": description, "allOf": [target], "default": {}}
    return header


def _gvk(resource: Resource, kind: str) -> JSON:
    return {"group": resource.group, "version": resource.version, "kind": kind}


def _schemas(roots: Iterable[str]) -> JSON:
    """The definitions that the roots reach, as OpenAPI v3 writes them."""
    known = definitions()
    schemas: JSON = {}
    pending = [*roots, _META + "ObjectMeta", _META + "ListMeta"]
    while pending:
        name = pending.pop()
        if name in known and name not in schemas:
            schemas[name] = _with_enums(_schema(known[name]), name.rpartition(".")[2])
            pending += references(known[name])
    return dict(sorted(schemas.items()))


def _with_enums(schema: JSON, struct: str) -> JSON:
    for name, value in schema.get("properties", {}).items():
        if choices := _ENUMS.get(f"{struct}.{name}"):
            value["enum"] = list(choices)
    return schema


def _schema(schema: JSON) -> JSON:
    """One schema of the package in OpenAPI's form: types without null, references into components, no invented enums.

    A reference with a description of its own becomes allOf, as upstream writes it: siblings of $ref do not count.
    """
    result: JSON = {k: v for k, v in schema.items() if k == "description" or k.startswith("x-")}
    if "$ref" in schema:
        target = {"$ref": "#/components/schemas/" + schema["$ref"].rpartition("/")[2]}
        return {**result, "allOf": [target], "default": {}} if result else target
    if "oneOf" in schema:
        kinds = [json_type(choice) for choice in schema["oneOf"]]
        result["oneOf"] = [{"type": kind} for kind in kinds]
        if "integer" in kinds:
            result["format"] = "int-or-string"
        return result
    if kind := json_type(schema):
        result["type"] = kind
    for key in ("format", "required"):
        if key in schema:
            result[key] = schema[key]
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            result[key] = _schema(schema[key])
    if "properties" in schema:
        result["properties"] = {name: _schema(value) for name, value in schema["properties"].items()}
    return result
