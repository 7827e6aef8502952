"""What is nested too deeply is 400 with one text, whoever would read, walk or write it.

The depths are those at which something of the way gives up by itself: orjson writes 254 levels and reads 1024, and how
deep a function may call itself depends on the version of Python.
"""

from __future__ import annotations

import pytest

from labcluster.api.json_values import MOST_LEVELS
from tests.labcluster.http_server import ApiServer, Client, config_map, pod, run_pod

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
SETS = "/apis/apps/v1/namespaces/default/replicasets"
JSON, YAML, APPLY = "application/json", "application/yaml", "application/apply-patch+yaml"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
DEPTHS = [MOST_LEVELS + 1, 254, 260, 330, 480, 500, 700, 900, 990, 1020]
WRITES = [
    ("POST", MAPS, JSON),
    ("POST", MAPS, YAML),
    ("PUT", f"{MAPS}/one", JSON),
    ("PUT", f"{PODS}/one/status", JSON),
    ("PATCH", f"{MAPS}/one", MERGE),
    ("PATCH", f"{MAPS}/one", STRATEGIC),
    ("PATCH", f"{PODS}/one/status", STRATEGIC),
    ("PATCH", f"{MAPS}/one?fieldManager=me", APPLY),
    ("PATCH", f"{MAPS}/new?fieldManager=me", APPLY),
    ("PUT", f"{SETS}/one/scale", JSON),
    ("PATCH", f"{SETS}/one/scale", MERGE),
    ("DELETE", f"{MAPS}/one", JSON),
    ("POST", f"{PODS}/one/eviction", JSON),
    ("POST", f"{PODS}/one/binding", JSON),
    ("PUT", "/api/v1/namespaces/default/finalize", JSON),
    ("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", JSON),
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", JSON),
]


def deep(levels: int) -> str:
    """An object of so many levels, in a field that no schema knows, beside one that takes any name."""
    return '{"metadata":{"name":"one"},"x":' + '{"a":' * (levels - 2) + "{}" + "}" * (levels - 1)


@pytest.mark.parametrize(("method", "path", "media_type"), WRITES)
async def test_a_body_that_is_too_deep_is_400(api: ApiServer, method: str, path: str, media_type: str) -> None:
    await api.client("POST", MAPS, config_map("one"))
    run_pod(api.registry, pod("one"))
    headers = {"Content-Type": media_type}
    for levels in (100, 230, MOST_LEVELS):
        code, status = await api.client(method, path, deep(levels), headers=headers)
        assert code < 500 and "too deeply" not in str(status), levels
    for levels in DEPTHS:
        code, status = await api.client(method, path, deep(levels), headers=headers)
        assert (code, status["message"]) == (400, "the object provided is nested too deeply"), levels


@pytest.mark.parametrize("levels", [120, 200, 230])
async def test_a_patch_that_makes_an_object_too_deep_is_400(call: Client, levels: int) -> None:
    """Each operation for itself is not."""
    await call("POST", MAPS, config_map("one"))
    value: dict[str, object] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    patch = [
        {"op": "add", "path": "/data/x", "value": value},
        {"op": "add", "path": "/data/x" + "/a" * levels, "value": value},
    ]
    headers = {"Content-Type": "application/json-patch+json"}
    code, status = await call("PATCH", f"{MAPS}/one", patch, headers=headers)
    assert (code, status["message"]) == (400, "the object provided is nested too deeply")


@pytest.mark.parametrize("levels", DEPTHS)
async def test_json_in_texts_of_an_object_may_be_too_deep_as_well(call: Client, levels: int) -> None:
    text = "[" * levels + "]" * levels
    secret = {"metadata": {"name": "one"}, "type": "kubernetes.io/dockerconfigjson"}
    code, _ = await call(
        "POST", MAPS.replace("configmaps", "secrets"), secret | {"stringData": {".dockerconfigjson": text}}
    )
    assert code == 201
    last = {"kubectl.kubernetes.io/last-applied-configuration": '{"data":' + text + "}"}
    fields = {"f:metadata": {f"k:{text}": {}}}
    entry = {"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}
    one = config_map("one")
    one["metadata"] |= {"annotations": last, "managedFields": [entry]}
    code, status = await call("POST", MAPS, one)
    assert code in (201, 400), status
    one["metadata"].pop("managedFields")
    if code == 400:
        code, status = await call("POST", MAPS, one)
    assert code == 201, status
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "other"}}
    code, status = await call("PATCH", f"{MAPS}/one?fieldManager=kubectl", wanted, headers={"Content-Type": APPLY})
    assert code in (200, 409), status
