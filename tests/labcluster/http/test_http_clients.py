"""The clients that people use, kubectl and the Python client, against the server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import kubernetes
import pytest
from kubernetes.stream import stream

from labcluster.api.resources import CONFIG_MAPS, PODS, STATEFUL_SETS
from tests.labcluster.http_server import SECONDS, ApiServer, config_map, pod, run_pod

STATEFUL_SET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: web
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "valkey/valkey:8"}]}
"""


async def ok(api: ApiServer, *arguments: str, stdin: str = "") -> str:
    code, out, err = await api.kubectl(*arguments, stdin=stdin)
    assert code == 0, err
    assert "Warning" not in err, err
    return out


async def test_apply_get_scale_describe_explain_delete(api: ApiServer) -> None:
    assert await ok(api, "apply", "-f", "-", stdin=STATEFUL_SET) == "statefulset.apps/web created\n"
    assert await ok(api, "apply", "-f", "-", stdin=STATEFUL_SET) == "statefulset.apps/web unchanged\n"
    changed = STATEFUL_SET.replace("replicas: 2", "replicas: 3")
    assert await ok(api, "apply", "-f", "-", stdin=changed) == "statefulset.apps/web configured\n"
    assert "web" in await ok(api, "get", "sts", "-o", "wide")
    assert await ok(api, "scale", "sts", "web", "--replicas=5") == "statefulset.apps/web scaled\n"
    assert api.registry.get(STATEFUL_SETS, "default", "web")["spec"]["replicas"] == 5
    assert "Replicas:" in await ok(api, "describe", "sts", "web")
    assert "rollingUpdate" in await ok(api, "explain", "sts.spec.updateStrategy")
    assert (await ok(api, "delete", "sts", "web")).startswith('statefulset.apps "web" deleted')
    assert api.registry.find(STATEFUL_SETS, "default", "web") is None
    names = await ok(api, "api-resources", "-o", "name")
    assert {"pods", "statefulsets.apps", "endpointslices.discovery.k8s.io"} <= set(names.split())


async def test_rollout_restart_and_set_image_patch_the_template(api: ApiServer) -> None:
    await ok(api, "apply", "-f", "-", stdin=STATEFUL_SET)
    await ok(api, "rollout", "restart", "sts/web")
    await ok(api, "set", "image", "sts/web", "main=valkey/valkey:9")
    template = api.registry.get(STATEFUL_SETS, "default", "web")["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert [c["image"] for c in template["spec"]["containers"]] == ["valkey/valkey:9"]


async def test_an_unknown_field_is_refused_with_upstreams_words(api: ApiServer) -> None:
    wrong = STATEFUL_SET.replace("serviceName", "serviceNme")
    for command in (("apply", "-f", "-"), ("create", "-f", "-", "--validate=strict")):
        code, _, err = await api.kubectl(*command, stdin=wrong)
        assert code == 1
        assert 'strict decoding error: unknown field "spec.serviceNme"' in err


async def test_a_dry_run_of_the_server_stores_nothing(api: ApiServer) -> None:
    out = await ok(api, "apply", "--dry-run=server", "-f", "-", stdin=STATEFUL_SET)
    assert out == "statefulset.apps/web created (server dry run)\n"
    assert api.registry.find(STATEFUL_SETS, "default", "web") is None


async def test_what_is_missing_is_said_as_upstream_says_it(api: ApiServer) -> None:
    assert (await api.kubectl("get", "sts", "no"))[2] == (
        'Error from server (NotFound): statefulsets.apps "no" not found\n'
    )
    assert (await api.kubectl("get", "foo"))[2] == 'error: the server doesn\'t have a resource type "foo"\n'


async def test_get_prints_tables_and_yaml(api: ApiServer) -> None:
    run_pod(api.registry, pod("one"))
    out = await ok(api, "get", "pods")
    assert out.splitlines()[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert json.loads(await ok(api, "get", "pods", "-o", "json"))["items"][0]["kind"] == "Pod"
    assert "kind: Pod" in await ok(api, "get", "pod", "one", "-o", "yaml")


async def test_get_watches(api: ApiServer) -> None:
    process = await api.start_kubectl("get", "configmaps", "-w")
    assert process.stdout is not None
    try:
        api.registry.create(CONFIG_MAPS, config_map("first"))
        lines = []
        async with asyncio.timeout(SECONDS):
            while not any(line.startswith(b"first") for line in lines):
                lines.append(await process.stdout.readline())
            api.registry.create(CONFIG_MAPS, config_map("second"))
            assert (await process.stdout.readline()).startswith(b"second")
    finally:
        process.kill()
        await process.wait()


async def test_wait_returns_when_the_condition_holds(api: ApiServer) -> None:
    run_pod(api.registry, pod("one"))
    process = await api.start_kubectl("wait", "pod/one", "--for=condition=Ready", "--timeout=20s")
    async with asyncio.timeout(SECONDS):
        while not api.services.closers:  # until it watches
            await asyncio.sleep(0.01)

        def ready(obj: dict[str, Any]) -> None:
            condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            obj["status"] = {**obj["status"], "conditions": [condition]}

        api.registry.modify(PODS, "default", "one", ready, subresource="status")
        out, err = await process.communicate()
    assert (out, err) == (b"pod/one condition met\n", b"")


async def test_more_than_one_page_is_listed(api: ApiServer) -> None:
    for n in range(7):
        api.registry.create(CONFIG_MAPS, config_map(f"m{n}"))
    out = await ok(api, "get", "configmaps", "--chunk-size=3", "-o", "name")
    assert [line for line in out.split() if "/m" in line] == [f"configmap/m{n}" for n in range(7)]


async def test_kubectl_execs_and_reads_logs(api: ApiServer) -> None:
    run_pod(api.registry, pod("one"))
    code, out, err = await api.kubectl("exec", "one", "--", "both")
    assert (code, out, err) == (0, "to stdout\n", "to stderr\n")
    code, _, err = await api.kubectl("exec", "one", "--", "exit", "7")
    assert (code, err) == (7, "command terminated with exit code 7\n")
    code, out, _ = await api.kubectl("exec", "-i", "one", "--", "cat", stdin="through and back")
    assert (code, out) == (0, "through and back")
    code, _, err = await api.kubectl("exec", "none", "--", "ls")
    assert err == 'Error from server (NotFound): pods "none" not found\n'
    code, _, err = await api.kubectl("exec", "one", "-c", "x", "--", "ls")
    assert "container x is not valid for pod one" in err or "container not found" in err
    assert await ok(api, "logs", "one", "--tail=1") == "main 2\n"
    code, _, err = await api.kubectl("exec", "one", "--", "nothing")
    assert code == 1 and "no program called nothing" in err


async def test_version_and_readiness_are_known_to_kubectl(api: ApiServer) -> None:
    assert "Server Version: v1.36.2" in await ok(api, "version")
    assert await ok(api, "get", "--raw", "/readyz") == "ok"


async def test_the_python_client(api: ApiServer) -> None:
    run_pod(api.registry, pod("one"))
    await asyncio.to_thread(_python_client, api)


def _python_client(api: ApiServer) -> None:
    client = kubernetes.config.new_client_from_config(str(api.kubeconfig))
    core, apps = kubernetes.client.CoreV1Api(client), kubernetes.client.AppsV1Api(client)
    made = core.create_namespaced_config_map("default", config_map("one"))
    assert made.metadata.uid
    for event in kubernetes.watch.Watch().stream(core.list_namespaced_config_map, "default", timeout_seconds=5):
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "one")
        break
    core.patch_namespaced_config_map("one", "default", {"data": {"b": "2"}})
    assert core.read_namespaced_config_map("one", "default").data == {"a": "1", "b": "2"}
    with pytest.raises(kubernetes.client.ApiException) as caught:
        core.create_namespaced_config_map("default", config_map("one"))
    assert json.loads(caught.value.body)["reason"] == "AlreadyExists"
    core.delete_namespaced_config_map("one", "default")
    assert core.list_namespaced_config_map("default").items == []
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": "nginx:1"}]},
    }
    manifest = {
        "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
    }
    apps.create_namespaced_deployment("default", manifest)
    scale = apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 3}})
    assert scale.spec.replicas == 3
    assert core.read_namespaced_pod_log("one", "default", tail_lines=1) == "main 2\n"
    answer = stream(core.connect_get_namespaced_pod_exec, "one", "default", command=["both"], stdout=True, stderr=False)
    assert answer == "to stdout\n"
    session = stream(
        core.connect_get_namespaced_pod_exec,
        "one",
        "default",
        command=["exit", "7"],
        stdout=True,
        stderr=True,
        _preload_content=False,
    )
    session.run_forever(timeout=SECONDS)
    assert session.returncode == 7
    client.close()
