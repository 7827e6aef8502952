"""Custom resources on a running cluster: kubectl, the Python client, a restart, and a real client-go informer."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, dynamic, watch
from kubernetes.client.exceptions import ApiException

from tests.running_lab import BIN, SECONDS, Namespace, RunningLab

JSON = dict[str, Any]
GROUP = "stable.example.com"
MANIFEST = Path(__file__).with_name("crontabs.yaml")
CRD = f"crd/crontabs.{GROUP}"


def cron_tab(name: str, **spec: Any) -> JSON:
    spec = {"cronSpec": "* * * * */5", **spec}
    return {"apiVersion": f"{GROUP}/v1", "kind": "CronTab", "metadata": {"name": name}, "spec": spec}


def install(lab: RunningLab) -> None:
    lab.kubectl("apply", "-f", str(MANIFEST))
    lab.kubectl("wait", "--for=condition=Established", CRD, f"--timeout={SECONDS}s")


@pytest.fixture
def tabs(namespace: Namespace) -> Iterator[Namespace]:
    """A namespace on a cluster that knows CronTabs; the definition goes behind the test."""
    install(namespace.lab)
    yield namespace
    namespace.lab.kubectl("delete", CRD, "--ignore-not-found", f"--timeout={SECONDS}s")


def test_kubectl_works_with_a_new_kind(tabs: Namespace) -> None:
    lab = tabs.lab
    assert lab.kubectl("get", "crd").split()[:3] == ["NAME", "CREATED", "AT"]
    tabs.apply(cron_tab("one", ports=[{"name": "a", "port": 1}]))
    lines = tabs.kubectl("get", "ct").splitlines()
    assert lines[0].split() == ["NAME", "SPEC", "REPLICAS", "READY", "AGE"]
    assert lines[1].split()[:7] == ["one", "*", "*", "*", "*", "*/5", "1"]
    assert "IMAGE" in tabs.kubectl("get", "crontab", "-o", "wide").splitlines()[0]
    assert f"crontab.{GROUP}/one" in tabs.kubectl("get", "all")
    assert "cronSpec\t<string> -required-\n    When." in tabs.kubectl("explain", "ct.spec")
    assert "metadata\t<ObjectMeta>" in tabs.kubectl("explain", "crontabs")
    assert "Cron Spec:  * * * * */5" in tabs.kubectl("describe", "ct", "one")
    resources = lab.kubectl("api-resources", f"--api-group={GROUP}", "--no-headers").split()
    assert resources == ["crontabs", "ct", f"{GROUP}/v1", "true", "CronTab"]
    assert "Established" in lab.kubectl("describe", CRD)
    assert "GROUP:      apiextensions.k8s.io" in lab.kubectl("explain", "crd.spec.versions")


def test_kubectl_changes_an_object(tabs: Namespace) -> None:
    tabs.apply(cron_tab("one"))
    tabs.kubectl("patch", "ct", "one", "--type=merge", "-p", '{"spec": {"image": "b"}}')
    tabs.kubectl("scale", "ct/one", "--replicas=3")
    tabs.kubectl("label", "ct", "one", "tier=back")
    tabs.kubectl("annotate", "ct", "one", "note=x")
    tabs.apply(cron_tab("one", ports=[{"name": "a"}]))
    spec = tabs.get("ct/one")["spec"]
    assert (spec["image"], spec["replicas"], spec["ports"]) == ("b", 3, [{"name": "a"}])
    ready = '{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}'
    tabs.kubectl("patch", "ct", "one", "--type=merge", "--subresource=status", "-p", ready)
    tabs.wait("ct/one", "condition=Ready")
    assert tabs.kubectl("get", "ct", "-l", "tier=back", "--field-selector=spec.image=b", "-o", "name") == (
        f"crontab.{GROUP}/one\n"
    )


def test_kubectl_is_refused_in_kubernetes_words(tabs: Namespace) -> None:
    def create(obj: JSON, *options: str) -> str:
        return tabs.refused("create", "-f", "-", *options, stdin=json.dumps(obj))

    assert 'strict decoding error: unknown field "spec.foo"' in create(cron_tab("one", foo=1))
    assert 'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"' in create(
        cron_tab("one", replicas="x")
    )
    assert 'spec.image: Unsupported value: "c": supported values: "a", "b"' in create(cron_tab("one", image="c"))
    assert 'spec: Invalid value: "object": image a runs five times at most' in create(cron_tab("one", replicas=6))
    assert 'spec.ports[1]: Duplicate value: {"name":"a"}' in create(
        cron_tab("one", ports=[{"name": "a"}, {"name": "a"}])
    )
    tabs.apply(cron_tab("one"))
    words = "accepted media types include: application/json-patch+json, application/merge-patch+json, "
    assert words in tabs.refused("patch", "ct", "one", "-p", "{}")
    fixed = '{"spec": {"cronSpec": "1 * * * *"}}'
    assert "cronSpec is fixed" in tabs.refused("patch", "ct", "one", "--type=merge", "-p", fixed)


def test_server_side_apply_meets_a_conflict(tabs: Namespace) -> None:
    def apply(port: int, *options: str) -> list[str]:
        return ["apply", "--server-side", "-f", "-", *options]

    mine, theirs = (json.dumps(cron_tab("one", ports=[{"name": "a", "port": port}])) for port in (1, 2))
    tabs.kubectl("apply", "--server-side", "-f", "-", stdin=mine)
    words = tabs.refused("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=theirs)
    assert 'conflict with "kubectl": .spec.ports[name="a"].port' in words
    tabs.kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", stdin=theirs)
    assert tabs.get("ct/one")["spec"]["ports"] == [{"name": "a", "port": 2}]


def test_a_version_that_is_deprecated_warns(tabs: Namespace) -> None:
    tabs.apply(cron_tab("one"))
    done = tabs.lab.run_kubectl("-n", tabs.name, "get", f"crontabs.v1beta1.{GROUP}", "one", "-o", "json")
    assert json.loads(done.stdout)["apiVersion"] == f"{GROUP}/v1beta1"
    assert f"Warning: {GROUP}/v1beta1 CronTab is deprecated" in done.stderr


def test_a_definition_takes_its_objects_along(tabs: Namespace) -> None:
    tabs.apply(cron_tab("one"), cron_tab("two"))
    watching = subprocess.Popen(
        [BIN / "kubectl", "-n", tabs.name, "get", "ct", "-w", "-o", "name"],
        env=tabs.lab.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    assert [watching.stdout.readline() for _ in range(2)]
    tabs.lab.kubectl("delete", CRD, f"--timeout={SECONDS}s")
    told, _ = watching.communicate(timeout=SECONDS)
    assert told.count(f"crontab.{GROUP}/") == 2 and watching.returncode == 0
    assert "the server doesn't have a resource type" in tabs.refused("get", "ct", "--cache-dir", "/dev/null/none")
    install(tabs.lab)
    assert tabs.kubectl("get", "ct", "-o", "name") == ""


def test_a_namespace_takes_its_custom_resources_along(tabs: Namespace) -> None:
    inner = Namespace(tabs.lab, f"{tabs.name}-inner")
    tabs.lab.core.create_namespace({"metadata": {"name": inner.name}})
    inner.apply(cron_tab("one"))
    tabs.lab.kubectl("delete", "namespace", inner.name, f"--timeout={SECONDS}s")
    assert tabs.lab.kubectl("get", "ct", "-A", "-o", "name") == ""


def test_a_definition_is_applied_from_the_server_and_changed(namespace: Namespace) -> None:
    lab, text = namespace.lab, MANIFEST.read_text()
    try:
        for maximum in (10, 12):
            changed = text.replace("maximum: 10", f"maximum: {maximum}")
            lab.kubectl("apply", "--server-side", "-f", "-", stdin=changed)
            lab.kubectl("wait", "--for=condition=Established", CRD, f"--timeout={SECONDS}s")
        namespace.apply(cron_tab("one", replicas=12, image="b"))
        lab.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(MANIFEST))
        namespace.kubectl("label", "ct", "one", "a=b")  # what is too much by now does not stand in the way
        assert "less than or equal to 10" in namespace.refused("scale", "ct/one", "--replicas=11")
    finally:
        lab.kubectl("delete", CRD, "--ignore-not-found", f"--timeout={SECONDS}s")


def test_roles_are_about_custom_resources_too(tabs: Namespace) -> None:
    tabs.apply(cron_tab("one"))
    tabs.kubectl("create", "role", "reader", "--verb=get,list", f"--resource=crontabs.{GROUP}")
    tabs.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={tabs.name}:default")
    acting = f"--as=system:serviceaccount:{tabs.name}:default"
    assert tabs.kubectl("get", "ct", "-o", "name", acting) == f"crontab.{GROUP}/one\n"
    words = f'cannot delete resource "crontabs" in API group "{GROUP}" in the namespace "{tabs.name}"'
    assert words in tabs.refused("delete", "ct", "one", acting)


def test_the_python_client_knows_the_new_kind(tabs: Namespace) -> None:
    api = tabs.lab.core.api_client
    extensions = client.ApiextensionsV1Api(api)
    crd = extensions.read_custom_resource_definition(f"crontabs.{GROUP}")
    assert {c.type: c.status for c in crd.status.conditions} == {"NamesAccepted": "True", "Established": "True"}
    assert crd.spec.versions[0].schema.open_apiv3_schema.properties["spec"].required == ["cronSpec"]
    custom = client.CustomObjectsApi(api)
    where = (GROUP, "v1", tabs.name, "crontabs")
    made = custom.create_namespaced_custom_object(*where, cron_tab("one"))
    assert made["spec"]["image"] == "a"
    custom.patch_namespaced_custom_object(*where, "one", {"spec": {"replicas": 2}})
    custom.patch_namespaced_custom_object_status(*where, "one", {"status": {"replicas": 2}})
    assert custom.get_namespaced_custom_object_scale(*where, "one")["status"]["replicas"] == 2
    listed = custom.list_namespaced_custom_object(*where)
    start = listed["metadata"]["resourceVersion"]
    custom.delete_namespaced_custom_object(*where, "one")
    told = watch.Watch().stream(custom.list_namespaced_custom_object, *where, resource_version=start, timeout_seconds=1)
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in told] == [("DELETED", "one")]
    with pytest.raises(ApiException) as refusal:
        custom.create_namespaced_custom_object(*where, cron_tab("bad", replicas=0))
    assert refusal.value.status == 422

    kinds = dynamic.DynamicClient(api).resources.get(api_version=f"{GROUP}/v1", kind="CronTab")
    kinds.create(body=cron_tab("two"), namespace=tabs.name)
    kinds.patch(
        body={"spec": {"image": "b"}}, name="two", namespace=tabs.name, content_type="application/merge-patch+json"
    )
    assert [item.spec.image for item in kinds.get(namespace=tabs.name).items] == ["b"]
    config = cron_tab("two", ports=[{"name": "a"}])
    kinds.server_side_apply(body=config, name="two", namespace=tabs.name, field_manager="test")
    assert kinds.get(name="two", namespace=tabs.name).spec.ports[0].name == "a"
    kinds.delete(name="two", namespace=tabs.name)


def test_custom_resources_are_there_after_the_daemon_was_killed(tmp_path: Path) -> None:
    lab = RunningLab(tmp_path / "state")
    try:
        lab.keep_ports()
        lab.up()
        install(lab)
        space = Namespace(lab, "default")
        space.apply(cron_tab("one"))
        before = space.get("ct/one")
        daemon = os.pidfd_open(int(lab.status()["pid"]))
        signal.pidfd_send_signal(daemon, signal.SIGKILL)
        assert select.select([daemon], [], [], SECONDS)[0]
        os.close(daemon)
        lab.up()
        assert space.get("ct/one") == before
        space.kubectl("scale", "ct/one", "--replicas=2")
        assert "cronSpec\t<string>" in space.kubectl("explain", "ct.spec")
    finally:
        lab.down()


# ------------------------------------------------------------ a real informer


def traefik_kind(kind: str, plural: str) -> JSON:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.traefik.io"},
        "spec": {
            "group": "traefik.io",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [version],
        },
    }


TRAEFIK = (
    *("IngressRoute", "IngressRouteTCP", "IngressRouteUDP", "Middleware", "MiddlewareTCP", "ServersTransport"),
    *("ServersTransportTCP", "TLSOption", "TLSStore", "TraefikService"),
)


class Traefik:
    """A Traefik of the test's own, whose log tells what it has learnt."""

    def __init__(self, lab: RunningLab, namespace: str) -> None:
        command = [
            BIN / "traefik", "--global.checknewversion=false", "--global.sendanonymoususage=false",
            "--log.level=DEBUG", "--log.format=json", "--entrypoints.redis.address=127.0.0.1:0",
            "--providers.kubernetescrd=true", f"--providers.kubernetescrd.namespaces={namespace}",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, env=lab.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def learns(self, condition: Callable[[JSON], bool]) -> None:
        """Wait until the configuration that it makes of the cluster's objects is as wanted."""
        output = self._process.stdout
        assert output is not None
        lines = []
        watchdog = threading.Timer(SECONDS, self._process.kill)
        watchdog.start()
        try:
            for line in output:
                lines.append(line)
                told = json.loads(line) if line.startswith("{") else {}
                if told.get("providerName") == "kubernetescrd" and condition(told.get("config") or {}):
                    return
        finally:
            watchdog.cancel()
        raise AssertionError("".join(lines)[-3000:])

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


def test_traefik_learns_its_routes_from_custom_resources(namespace: Namespace) -> None:
    """client-go's informers: they list, watch, and see what comes and goes."""
    lab = namespace.lab
    crds = [traefik_kind(kind, kind.lower() + "s") for kind in TRAEFIK]
    lab.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(crds))
    names = [f"crd/{crd['metadata']['name']}" for crd in crds]
    lab.kubectl("wait", "--for=condition=Established", *names, f"--timeout={SECONDS}s")
    traefik = Traefik(lab, namespace.name)
    try:
        namespace.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "redis"}, "spec": {"ports": [{"port": 6379}]}},
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": "redis-1", "labels": {"kubernetes.io/service-name": "redis"}},
                "addressType": "IPv4",
                "ports": [{"name": "", "port": 6379}],
                "endpoints": [{"addresses": ["10.244.1.9"], "conditions": {"ready": True}}],
            },
            {
                "apiVersion": "traefik.io/v1alpha1",
                "kind": "IngressRouteTCP",
                "metadata": {"name": "redis"},
                "spec": {
                    "entryPoints": ["redis"],
                    "routes": [{"match": "HostSNI(`*`)", "services": [{"name": "redis", "port": 6379}]}],
                },
            },
        )
        traefik.learns(lambda config: "10.244.1.9:6379" in json.dumps(config.get("tcp")))
        namespace.kubectl("delete", "ingressroutetcps.traefik.io", "redis")
        traefik.learns(lambda config: not (config.get("tcp") or {}).get("routers"))
    finally:
        traefik.stop()
        lab.kubectl("delete", *names, f"--timeout={SECONDS}s")
