"""Server-side apply by requests and by kubectl, and who manages what after other writes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from labcluster.api.objects import JSON
from labcluster.api.resources import CONFIG_MAPS, DEPLOYMENTS
from tests.labcluster.http_server import ApiServer, config_map

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "nginx:1"}]}
"""


async def apply(api: ApiServer, data: JSON, manager: str = "me", query: str = "", **more: Any) -> tuple[int, Any]:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data, **more}
    headers = {"Content-Type": "application/apply-patch+yaml"}
    return await api.client("PATCH", f"{MAPS}/a?fieldManager={manager}{query}", config, headers=headers)


def managers(obj: JSON) -> list[tuple[str, str, str]]:
    entries = obj["metadata"].get("managedFields", [])
    return [(e["manager"], e["operation"], e.get("subresource", "")) for e in entries]


async def test_apply_creates_then_changes_then_does_nothing(api: ApiServer) -> None:
    code, made = await apply(api, {"x": "1", "y": "1"})
    assert (code, managers(made)) == (201, [("me", "Apply", "")])
    code, changed = await apply(api, {"x": "2"})
    assert (code, changed["data"]) == (200, {"x": "2"})
    revision = api.registry.revision
    assert (await apply(api, {"x": "2"}))[1] == changed
    assert api.registry.revision == revision


async def test_conflicts_are_refused_or_forced(api: ApiServer) -> None:
    await apply(api, {"x": "1"})
    code, body = await apply(api, {"x": "2"}, "you")
    assert (code, body["reason"]) == (409, "Conflict")
    assert body["message"] == 'Apply failed with 1 conflict: conflict with "me": .data.x'
    assert body["details"]["causes"][0]["reason"] == "FieldManagerConflict"
    code, forced = await apply(api, {"x": "2"}, "you", "&force=true")
    assert (code, forced["data"], managers(forced)) == (200, {"x": "2"}, [("you", "Apply", "")])


async def test_a_dry_run_shows_and_stores_nothing(api: ApiServer) -> None:
    revision = api.registry.revision
    code, made = await apply(api, {"x": "1"}, query="&dryRun=All")
    assert (code, made["data"]) == (201, {"x": "1"})
    assert api.registry.revision == revision


@pytest.mark.parametrize(
    ("query", "config", "code", "message"),
    [
        ("", {}, 422, "fieldManager: Required value: is required for apply patch"),
        ("?fieldManager=" + "x" * 129, {}, 422, "fieldManager: Too long"),
        ("?fieldManager=me", {"dat": {}}, 400, ".dat: field not declared in schema"),
        ("?fieldManager=me", {"apiVersion": "v2"}, 400, "Specified patch version: v2, expected: v1"),
        ("?fieldManager=me", {"metadata": {"managedFields": []}}, 400, "metadata.managedFields must be nil"),
        ("?fieldManager=me", {"metadata": {"name": "b"}}, 400, "does not match the name on the URL"),
        ("?fieldManager=me", {"metadata": {"name": "a", "uid": "7"}}, 409, "uid mismatch"),
        ("?fieldManager=me", {"data": {"a": 1}}, 400, "cannot unmarshal number"),
    ],
)
async def test_refusals(api: ApiServer, query: str, config: JSON, code: int, message: str) -> None:
    full = {"apiVersion": "v1", "kind": "ConfigMap", **config}
    headers = {"Content-Type": "application/apply-patch+yaml"}
    answered, body = await api.client("PATCH", f"{MAPS}/a{query}", full, headers=headers)
    assert answered == code
    assert message in body["message"]


async def test_force_is_for_apply_only(api: ApiServer) -> None:
    await apply(api, {})
    headers = {"Content-Type": "application/merge-patch+json"}
    code, body = await api.client("PATCH", f"{MAPS}/a?force=true", {}, headers=headers)
    assert code == 422 and "may not be specified for non-apply patch" in body["message"]


async def test_creations_and_patches_are_tracked_by_manager_or_user_agent(api: ApiServer) -> None:
    headers = {"User-Agent": "notebook/1.0 (linux)"}
    _, made = await api.client("POST", MAPS, config_map("a"), headers=headers)
    assert managers(made) == [("notebook", "Update", "")]
    headers = {"Content-Type": "application/merge-patch+json"}
    _, made = await api.client("PATCH", f"{MAPS}/a?fieldManager=two", {"data": {"b": "2"}}, headers=headers)
    assert sorted(managers(made)) == [("notebook", "Update", ""), ("two", "Update", "")]
    code, body = await apply(api, {"b": "3"})
    assert (code, body["message"]) == (
        409,
        'Apply failed with 1 conflict: conflict with "two" using v1: .data.b',
    )


async def test_what_controllers_write_is_not_tracked(api: ApiServer) -> None:
    made = api.registry.create(CONFIG_MAPS, config_map("a"))
    assert "managedFields" not in made["metadata"]
    headers = {"Content-Type": "application/merge-patch+json"}
    _, made = await api.client("PATCH", f"{MAPS}/a", {"data": {"b": "2"}}, headers=headers)
    assert "managedFields" not in made["metadata"]
    code, body = await apply(api, {"b": "3"})
    assert code == 409 and "before-first-apply" in body["message"]


async def test_managed_fields_can_be_written_and_reset(api: ApiServer) -> None:
    _, made = await apply(api, {"x": "1"})
    entries = made["metadata"]["managedFields"]
    entries[0]["manager"] = "renamed"
    headers = {"Content-Type": "application/json-patch+json"}
    patch = [{"op": "replace", "path": "/metadata/managedFields", "value": entries}]
    _, made = await api.client("PATCH", f"{MAPS}/a", patch, headers=headers)
    assert managers(made) == [("renamed", "Apply", "")]
    patch[0]["value"] = [{}]
    _, made = await api.client("PATCH", f"{MAPS}/a", patch, headers=headers)
    assert managers(made) == []


async def test_the_status_has_managers_of_its_own(api: ApiServer) -> None:
    code, _, err = await api.kubectl("apply", "--server-side", "-f", "-", stdin=DEPLOYMENT)
    assert code == 0, err
    path = "/apis/apps/v1/namespaces/default/deployments/web"
    headers = {"Content-Type": "application/merge-patch+json"}
    _, made = await api.client("PATCH", f"{path}/status?fieldManager=me", {"status": {"replicas": 1}}, headers=headers)
    assert managers(made) == [("kubectl", "Apply", ""), ("me", "Update", "status")]
    assert made["metadata"]["managedFields"][1]["fieldsV1"] == {"f:status": {"f:replicas": {}}}


async def test_scaling_takes_the_replicas_from_the_one_who_applied_them(api: ApiServer) -> None:
    await api.kubectl("apply", "--server-side", "-f", "-", stdin=DEPLOYMENT)
    code, _, err = await api.kubectl("scale", "deploy", "web", "--replicas=5")
    assert code == 0, err
    code, _, err = await api.kubectl("apply", "--server-side", "-f", "-", stdin=DEPLOYMENT)
    assert code == 1
    assert 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas' in err


async def test_kubectl_applies_diffs_and_forces(api: ApiServer) -> None:
    async def kubectl(*arguments: str, stdin: str = DEPLOYMENT) -> tuple[int, str, str]:
        return await api.kubectl(*arguments, "-f", "-", stdin=stdin)

    assert (await kubectl("apply", "--server-side"))[1] == "deployment.apps/web serverside-applied\n"
    assert await kubectl("diff", "--server-side") == (0, "", "")
    changed = DEPLOYMENT.replace("nginx:1", "nginx:2")
    code, out, _ = await kubectl("diff", "--server-side", stdin=changed)
    assert code == 1 and "nginx:2" in out
    other = ("apply", "--server-side", "--field-manager=other")
    code, _, err = await kubectl(*other, stdin=changed)
    assert code == 1
    assert 'Apply failed with 1 conflict: conflict with "kubectl"' in err
    assert "--force-conflicts" in err
    assert (await kubectl(*other, "--force-conflicts", stdin=changed))[0] == 0
    code, out, _ = await api.kubectl("get", "deploy", "web", "-o", "json", "--show-managed-fields")
    assert managers(json.loads(out)) == [("kubectl", "Apply", ""), ("other", "Apply", "")]
    _, out, _ = await api.kubectl("get", "deploy", "web", "-o", "yaml")
    assert "managedFields" not in out


async def test_kubectl_moves_from_client_side_to_server_side_apply(api: ApiServer) -> None:
    assert (await api.kubectl("apply", "-f", "-", stdin=DEPLOYMENT))[0] == 0
    less = DEPLOYMENT.replace(", labels: {app: web}}\nspec", "}\nspec").replace("nginx:1", "nginx:2")
    code, _, err = await api.kubectl("apply", "--server-side", "-f", "-", stdin=less)
    assert code == 0, err
    made = api.registry.get(DEPLOYMENTS, "default", "web")
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"
    assert "labels" not in made["metadata"]


@pytest.mark.parametrize(
    "body",
    [b"", b"- a", b"{", b"\xff", b"a: &x 1\nb: *x", b"[" * 3000, b"apiVersion: v1\nkind: ConfigMap\nmetadata: []"],
)
async def test_broken_configurations_are_refused(api: ApiServer, body: bytes) -> None:
    headers = {"Content-Type": "application/apply-patch+yaml"}
    code, status = await api.client("PATCH", f"{MAPS}/a?fieldManager=me", body, headers=headers)
    assert (code, status["reason"]) == (400, "BadRequest")
