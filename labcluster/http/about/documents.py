"""The documents about the server: its version, and the OpenAPI descriptions, kept until what is served changes."""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterable

from aiohttp import web

from labcluster.api.objects import JSON
from labcluster.api.resources import ServedResources
from labcluster.http.call import no_such_resource
from labcluster.http.messages.responses import headers, json_bytes
from labcluster.schema import schemas

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_OPENAPI_V2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_FOREVER = "public, max-age=31536000, immutable"  # the address of a document carries its hash


def version(git_version: str) -> JSON:
    """The body of GET /version."""
    major, minor, _ = git_version.lstrip("v").split(".", 2)
    machine = platform.machine()
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": git_version,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-11-23T00:00:00Z",
        "goVersion": "",
        "compiler": "embedded",
        "platform": f"linux/{_MACHINES.get(machine, machine)}",
    }


def paths(served: ServedResources, others: Iterable[str]) -> JSON:
    """The body of GET /: every path below which something is."""
    versions = {(r.group, r.version) for r in served.all()}
    groups = {f"/apis/{group}{rest}" for group, version in versions if group for rest in ("", f"/{version}")}
    core = {f"/api/{version}" for group, version in versions if not group}
    fixed = ("/api", "/apis", "/openapi/v2", "/openapi/v3", "/version")
    return {"paths": sorted({*fixed, *core, *groups, *others})}


def openapi(where: list[str], served: ServedResources) -> web.Response:
    """The index at /openapi/v3, or the document of one group version below it. Raises ApiError 404."""
    if not where:
        return web.Response(body=_index(served, served.generation), headers=headers())
    match where:
        case ["api", version_name]:
            group = ""
        case ["apis", group, version_name]:
            pass
        case _:
            raise no_such_resource()
    document = _document(group, version_name, served, served.generation)
    if not document:
        raise no_such_resource()
    made = headers()
    made["Cache-Control"] = _FOREVER
    return web.Response(body=document, headers=made)


def openapi_v2() -> web.Response:
    """An OpenAPI v2 document that describes nothing, in the only encoding that kubectl asks for.

    kubectl checks a manifest of kind List against it. What it does not find there it leaves to the server,
    which checks every object as it does without this document.
    """
    return web.Response(body=b"", headers=headers(_OPENAPI_V2))  # the protobuf encoding of an empty message


@functools.lru_cache(maxsize=1)
def _index(served: ServedResources, generation: int) -> bytes:
    return json_bytes(schemas.openapi_v3_index(served))


@functools.lru_cache(maxsize=64)
def _document(group: str, version_name: str, served: ServedResources, generation: int) -> bytes:
    document = schemas.openapi_v3(group, version_name, served)
    return b"" if document is None else json_bytes(document)
