"""Discovery: which groups, versions and resources there are, in the plain and the aggregated form.

Upstream: apiserver pkg/endpoints/discovery; kubernetes.io/docs/concepts/overview/kubernetes-api#discovery-api.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from labcluster import settings
from labcluster.api.objects import JSON
from labcluster.api.resources import COMPONENT_STATUSES, REVIEWS, Resource, ServedResources
from labcluster.http.about import not_served
from labcluster.http.call import no_such_resource
from labcluster.http.messages import negotiation
from labcluster.http.messages.negotiation import negotiate
from labcluster.http.messages.responses import headers, json_bytes

Listed = dict[str, dict[str, list[Resource]]]

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


def discover(request: web.Request, parts: list[str], served: ServedResources) -> web.Response:
    """The answer to /api, /apis, /apis/<group>, /api/<version> and /apis/<group>/<version>. Raises ApiError 404."""
    form = negotiate(request.headers.get("Accept", ""))
    aggregated = form.shown_as == negotiation.DISCOVERY
    listed = _listed(served)
    match parts:
        case ["api" | "apis" as root] if aggregated:
            content_type = f"application/json;g=apidiscovery.k8s.io;v={form.version};as={negotiation.DISCOVERY}"
            return _answer(request, lambda: _aggregated(root, form.version, listed), content_type)
        case ["api"]:
            return _answer(request, lambda: _core_versions(listed))
        case ["apis"]:
            return _answer(request, lambda: _groups(listed))
        case ["apis", group] if group in listed:
            return _answer(request, lambda: {"kind": "APIGroup", "apiVersion": "v1", **_group(group, listed)})
        case ["apis", group, *_] if group not in listed:
            raise not_served.not_found(group)
        case ["api", version] if version in listed[""]:
            return _answer(request, lambda: _resources("", version, listed))
        case ["apis", group, version] if group and version in listed.get(group, ()):
            return _answer(request, lambda: _resources(group, version, listed))
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


def _listed(served: ServedResources) -> Listed:
    """The resources of each group and version: groups in the order of the table, their versions the preferred first."""
    by_group: Listed = {"": {}}
    for resource in (*served.all(), COMPONENT_STATUSES, *REVIEWS):
        by_group.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
    return {
        group: {v: sorted(versions[v], key=lambda r: r.plural) for v in sorted(versions, key=_priority)}
        for group, versions in by_group.items()
    }


def _priority(version: str) -> tuple[Any, ...]:
    """v2 before v1 before v1beta1 before v1alpha1 before any other name (apimachinery util/version/helpers.go)."""
    match = re.fullmatch(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?", version)
    if match is None:
        return (1, 0, 0, 0, version)
    stability = {None: 2, "beta": 1, "alpha": 0}[match[2]]
    return (0, -stability, -int(match[1]), -int(match[3] or 0), version)


def _core_versions(listed: Listed) -> JSON:
    addresses = [
        {"clientCIDR": "0.0.0.0/0", "serverAddress": f"{settings.CONTROL_PLANE.address}:{settings.API_PORT_ON_NODE}"}
    ]
    return {
        "kind": "APIVersions",
        "versions": list(listed[""]),
        "serverAddressByClientCIDRs": addresses,
    }


def _groups(listed: Listed) -> JSON:
    groups = [_group(group, listed) for group in listed if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _group(group: str, listed: Listed) -> JSON:
    versions = [{"groupVersion": f"{group}/{v}", "version": v} for v in listed[group]]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resources(group: str, version: str, listed: Listed) -> JSON:
    entries: list[JSON] = []
    for resource in listed[group][version]:
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


def _aggregated(root: str, form_version: str, listed: Listed) -> JSON:
    items = []
    for group, versions in listed.items():
        if (root == "api") != (group == ""):
            continue
        entries = [
            {
                "version": version,
                "freshness": "Current",
                "resources": [_aggregated_resource(r) for r in resources],
            }
            for version, resources in versions.items()
        ]
        items.append({"metadata": {"name": group} if group else {}, "versions": entries})
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
    if name == "proxy":
        return ("", "v1", f"{resource.kind}ProxyOptions"), ("create", "delete", "get", "patch", "update")
    own = (resource.group, resource.version, resource.kind)
    return _SUBRESOURCES.get(name, (own, _SUBRESOURCE_VERBS.get(name, _STATUS_VERBS)))


def _storage_hash(resource: Resource) -> str:
    digest = hashlib.sha256(orjson.dumps([resource.group, resource.version, resource.kind])).digest()
    return base64.b64encode(digest[:8]).decode()
