"""Kinds of Kubernetes that are left out on purpose: the 404 says so, and the README lists them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

import labcluster
from labcluster.api.resources import BUILT_IN, COMPONENT_STATUSES
from labcluster.http.about.not_served import NOT_SERVED, plural_of
from labcluster.schema import definitions
from tests.labcluster.http_server import Client

README = Path(labcluster.__file__).with_name("README.md")
PLAIN = "the server could not find the requested resource"


def stable_kinds() -> Iterator[tuple[str, str]]:
    """Group and kind of what the published schemas have in a version that is neither alpha nor beta."""
    package = PathFinder.find_spec("kubernetes_validate")  # labsupport keeps it from being imported
    assert package is not None and package.submodule_search_locations
    schemas = json.loads(Path(package.submodule_search_locations[0], definitions._FILE).read_bytes())["$defs"]
    for name, schema in schemas.items():
        if f"{name}List" in schemas and not name.startswith("io.k8s.apimachinery."):
            for known_as in schema["x-kubernetes-group-version-kind"]:
                if re.fullmatch(r"v\d+", known_as["version"]):
                    yield known_as["group"], known_as["kind"]


def test_every_stable_kind_is_either_served_or_named() -> None:
    served = {(resource.group, resource.kind) for resource in (*BUILT_IN, COMPONENT_STATUSES)}
    assert {*stable_kinds()} - served == {(group, kind) for group, kinds in NOT_SERVED.items() for kind in kinds}


def test_the_readme_lists_them() -> None:
    section = README.read_text().partition("## What is not served")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (core|`[a-z0-9.]+`) \| ([A-Za-z, ]+) \|", section, re.MULTILINE)
    listed = {group.strip("`").replace("core", ""): tuple(kinds.split(", ")) for group, kinds in rows}
    assert listed == NOT_SERVED


async def test_the_404_names_the_kind(call: Client) -> None:
    for group, kind in [(group, kind) for group, kinds in NOT_SERVED.items() for kind in kinds]:
        root = f"/apis/{group}/v1" if group else "/api/v1"
        name = f"{plural_of(kind)}.{group}" if group else plural_of(kind)
        for method, path in (("GET", ""), ("POST", "/namespaces/default"), ("GET", "/namespaces/default")):
            code, status = await call(method, f"{root}{path}/{plural_of(kind)}", {} if method == "POST" else None)
            assert (code, status["reason"]) == (404, "NotFound")
            assert status["message"].startswith(f"the embedded cluster does not serve {name}, on purpose")


async def test_a_group_that_is_left_out_names_its_kinds(call: Client) -> None:
    for path in ("/apis/flowcontrol.apiserver.k8s.io", "/apis/flowcontrol.apiserver.k8s.io/v1"):
        code, status = await call("GET", path)
        assert code == 404
        assert "flowschemas.flowcontrol.apiserver.k8s.io, prioritylevelconfigurations.flow" in status["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2",
        "/api/v1/nosuch",
        "/apis/example.com/v1/crontabs",
        "/apis/apps/v1beta1",
        "/apis/apps/v1/podsets",
        "/apis/storage.k8s.io/v1beta1",
        "/apis/metrics.k8s.io/v1beta1",
    ],
)
async def test_what_no_cluster_has_is_not_found_plainly(call: Client, path: str) -> None:
    code, status = await call("GET", path)
    assert (code, status["message"]) == (404, PLAIN)
