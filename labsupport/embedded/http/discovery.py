"""Discovery: which groups, versions and resources there are, in the plain and the aggregated form.

Upstream: apiserver pkg/endpoints/discovery; kubernetes.io/docs/concepts/overview/kubernetes-api#discovery-api.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable

import orjson
from aiohttp import web

from labsupport.embedded import settings
from labsupport.embedded.http import negotiation
from labsupport.embedded.http.call import no_such_resource
from labsupport.embedded.http.negotiation import negotiate
from labsupport.embedded.http.responses import headers, json_bytes
from labsupport.embedded.http.reviews import REVIEWS
from labsupport.embedded.objects import JSON
from labsupport.embedded.resources import RESOURCES, Resource

_SERVED = (*RESOURCES, *REVIEWS)
# The kinds of subresources whose kind is not the resource's own: (group, version, kind) and verbs.
_SUBRESOURCES: dict[str, tuple[tuple[str, str, str], tuple[str, ...]]] = {
    "scale": (("autoscaling", "v1", "Scale"), ("get", "patch", "update")),
    "binding": (("", "v1", "Binding"), ("create",)),
    "eviction": (("policy", "v1", "Eviction"), ("create",)),
    "exec": (("", "v1", "PodExecOptions"), ("create", "get")),
    "attach": (("", "v1", "PodAttachOptions"), ("create", "get")),
    "portforward": (("", "v1", "PodPortForwardOptions"), ("create", "get")),
    "token": (("authentication.k8s.io", "v1", "TokenRequest"), ("create",)),
}
_SUBRESOURCE_VERBS = {"log": ("get",), "finalize": ("update",)}
_STATUS_VERBS = ("get", "patch", "update")


def discover(request: web.Request, parts: list[str]) -> web.Response:
    """The answer to /api, /apis, /apis/<group>, /api/<version> and /apis/<group>/<version>. Raises ApiError 404."""
    form = negotiate(request.headers.get("Accept", ""))
    aggregated = form.shown_as == negotiation.DISCOVERY
    match parts:
        case ["api" | "apis" as root] if aggregated:
            content_type = f"application/json;g=apidiscovery.k8s.io;v={form.version};as={negotiation.DISCOVERY}"
            return _answer(request, lambda: _aggregated(root, form.version), content_type)
        case ["api"]:
            return _answer(request, _core_versions)
        case ["apis"]:
            return _answer(request, _groups)
        case ["apis", group] if group in _versions():
            return _answer(request, lambda: {"kind": "APIGroup", "apiVersion": "v1", **_group(group)})
        case ["api", version] if version in _versions()[""]:
            return _answer(request, lambda: _resources("", version))
        case ["apis", group, version] if group and version in _versions().get(group, ()):
            return _answer(request, lambda: _resources(group, version))
    raise no_such_resource()


def _answer(request: web.Request, document: Callable[[], JSON], content_type: str = "application/json") -> web.Response:
    body = json_bytes(document())
    made = headers(content_type)
    made["Vary"] = "Accept"
    made["ETag"] = f'"{hashlib.sha256(body).hexdigest().upper()}"'
    made["Cache-Control"] = "public"
    if request.headers.get("If-None-Match") == made["ETag"]:
        return web.Response(status=304, headers=made)
    return web.Response(body=body, headers=made)


@functools.cache
def _versions() -> dict[str, list[str]]:
    """The versions of each group, in the order of the table of resources."""
    found: dict[str, list[str]] = {"": []}
    for resource in _SERVED:
        versions = found.setdefault(resource.group, [])
        if resource.version not in versions:
            versions.append(resource.version)
    return found


def _core_versions() -> JSON:
    addresses = [
        {"clientCIDR": "0.0.0.0/0", "serverAddress": f"{settings.CONTROL_PLANE.address}:{settings.API_PORT_ON_NODE}"}
    ]
    return {
        "kind": "APIVersions",
        "versions": _versions()[""],
        "serverAddressByClientCIDRs": addresses,
    }


def _groups() -> JSON:
    groups = [_group(group) for group in _versions() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _group(group: str) -> JSON:
    versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in _versions()[group]]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resources(group: str, version: str) -> JSON:
    entries: list[JSON] = []
    for resource in _of(group, version):
        entry: JSON = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": sorted(resource.verbs),
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        if "list" in resource.verbs:
            entry["storageVersionHash"] = _storage_hash(resource)
        entries.append(entry)
        for subresource in sorted(resource.subresources):
            (sub_group, sub_version, kind), verbs = _subresource(resource, subresource)
            entry = {
                "name": f"{resource.plural}/{subresource}",
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": kind,
                "verbs": list(verbs),
            }
            if (sub_group, sub_version) != (group, version):
                entry["group"], entry["version"] = sub_group, sub_version
            entries.append(entry)
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": entries,
    }


def _aggregated(root: str, form_version: str) -> JSON:
    items = []
    for group, versions in _versions().items():
        if (root == "api") != (group == ""):
            continue
        listed = [
            {
                "version": version,
                "freshness": "Current",
                "resources": [_aggregated_resource(r) for r in _of(group, version)],
            }
            for version in versions
        ]
        items.append({"metadata": {"name": group} if group else {}, "versions": listed})
    return {
        "kind": negotiation.DISCOVERY,
        "apiVersion": f"apidiscovery.k8s.io/{form_version}",
        "metadata": {},
        "items": items,
    }


def _aggregated_resource(resource: Resource) -> JSON:
    entry: JSON = {
        "resource": resource.plural,
        "responseKind": _response_kind(resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        listed = []
        for subresource in sorted(resource.subresources):
            gvk, verbs = _subresource(resource, subresource)
            listed.append({"subresource": subresource, "responseKind": _response_kind(*gvk), "verbs": list(verbs)})
        entry["subresources"] = listed
    return entry


def _response_kind(group: str, version: str, kind: str) -> JSON:
    return {"group": group, "version": version, "kind": kind}


def _subresource(resource: Resource, name: str) -> tuple[tuple[str, str, str], tuple[str, ...]]:
    own = (resource.group, resource.version, resource.kind)
    return _SUBRESOURCES.get(name, (own, _SUBRESOURCE_VERBS.get(name, _STATUS_VERBS)))


def _of(group: str, version: str) -> list[Resource]:
    return sorted((r for r in _SERVED if (r.group, r.version) == (group, version)), key=lambda r: r.plural)


def _storage_hash(resource: Resource) -> str:
    digest = hashlib.sha256(orjson.dumps([resource.group, resource.version, resource.kind])).digest()
    return base64.b64encode(digest[:8]).decode()
