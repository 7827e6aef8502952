"""Protobuf request bodies: what kubectl's create commands send is what their JSON would have been."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labcluster.api.objects import JSON
from labcluster.schema.protobuf import messages
from labcluster.schema.protobuf.decoding import NotServed, decode
from tests.labcluster.http_server import ApiServer, pod

PROTOBUF = {"Content-Type": "application/vnd.kubernetes.protobuf"}


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def record(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def envelope(kind: str, raw: bytes, version: str = "v1") -> bytes:
    return b"k8s\0" + record(1, record(1, version.encode()) + record(2, kind.encode())) + record(2, raw)


def intent(obj: JSON) -> JSON:
    """The object without what differs from one creation to the next, and without kubectl's nulls for absent lists."""
    kept = {k: v for k, v in obj.items() if k != "status" and v is not None}
    kept["metadata"] = {k: v for k, v in obj["metadata"].items() if k in ("name", "namespace", "labels")}
    for address in ("clusterIP", "clusterIPs"):
        kept.get("spec", {}).pop(address, None)
    for port in kept.get("spec", {}).get("ports") or ():
        port.pop("nodePort", None)
    return kept


@pytest.mark.parametrize(
    "command",
    [
        "namespace x",
        "deployment d --image=nginx --image=redis --replicas=2",
        "deployment d --image=nginx --replicas=0 --port=80 -- sleep 10",
        "cronjob c --image=busybox --schedule=@hourly --restart=Never -- date -u",
        "serviceaccount s",
        "configmap c --from-literal=a=b --from-literal=c=",
        "secret generic g --from-literal=password=geheim",
        "secret docker-registry r --docker-username=a --docker-password=b",
        "service clusterip svc --tcp=80:8080",
        "service clusterip headless --clusterip=None",
        "service nodeport np --tcp=80:http",
        "service externalname en --external-name=a.example",
        "poddisruptionbudget p --selector=a=b --min-available=50%",
        "poddisruptionbudget p --selector=a=b --max-unavailable=1",
        "role r --verb=get,list --resource=pods,deployments.apps/scale --resource-name=web",
        "clusterrole c --verb=get --non-resource-url=/metrics",
        "clusterrole c --aggregation-rule=a=b",
        "rolebinding b --role=r --serviceaccount=default:s --user=ann --group=dev",
        "clusterrolebinding b --clusterrole=view --serviceaccount=default:s",
        "ingress i --class=c --rule=a.example/p*=svc:http,tls=secret --rule=*.b.example/=svc:80",
        "ingress i --default-backend=svc:80",
    ],
)
async def test_kubectl_create_stores_what_its_json_says(api: ApiServer, command: str) -> None:
    kind, *rest = command.split()
    end = rest.index("--") if "--" in rest else len(rest)
    code, shown, err = await api.kubectl("create", kind, *rest[:end], "--dry-run=client", "-o", "json", *rest[end:])
    assert code == 0, err
    code, made, err = await api.kubectl("create", kind, *rest[:end], "-o", "json", *rest[end:])
    assert code == 0, err
    stored = json.loads(made)
    where = ("delete", kind, stored["metadata"]["name"], "--wait=false")
    if kind == "namespace":
        assert stored["metadata"]["name"] == "x"
        return
    assert (await api.kubectl(*where))[0] == 0
    code, again, err = await api.kubectl("create", "-f", "-", "-o", "json", stdin=shown)
    assert code == 0, err
    assert intent(stored) == intent(json.loads(again))


def rich_pod() -> JSON:
    """A pod that has at least one of everything that is served."""
    selector = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["d", "e"]}]}
    node_term = {"matchExpressions": [{"key": "k", "operator": "Exists"}], "matchFields": []}
    node_term["matchFields"] = [{"key": "metadata.name", "operator": "In", "values": ["n"]}]
    pod_term = {"labelSelector": selector, "topologyKey": "t", "namespaces": ["x"], "namespaceSelector": {}}
    pod_affinity = {
        "requiredDuringSchedulingIgnoredDuringExecution": [pod_term],
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 3, "podAffinityTerm": pod_term}],
    }
    node_affinity = {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [node_term]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 2, "preference": node_term}],
    }
    field, amount = {"fieldPath": "metadata.name"}, {"containerName": "main", "resource": "limits.cpu", "divisor": "1m"}
    items = [{"key": "k", "path": "p/q", "mode": 0o400}]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "s"}
    sources = [
        {"secret": {"name": "s", "items": items, "optional": True}},
        {"configMap": {"name": "c", "items": items}},
        {"downwardAPI": {"items": [{"path": "x", "fieldRef": field}]}},
        {"serviceAccountToken": {"audience": "a", "expirationSeconds": 4000, "path": "t"}},
    ]
    volumes = [
        {"name": "a", "hostPath": {"path": "/x", "type": "Directory"}},
        {"name": "b", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "c", "secret": {"secretName": "s", "items": items, "defaultMode": 0o600, "optional": False}},
        {"name": "d", "persistentVolumeClaim": {"claimName": "c", "readOnly": True}},
        {"name": "e", "downwardAPI": {"items": [{"path": "x", "resourceFieldRef": amount, "mode": 0o644}]}},
        {"name": "f", "configMap": {"name": "c", "items": items, "optional": True}},
        {"name": "g", "projected": {"sources": sources}},
        {"name": "h", "ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": claim}}},
    ]
    get = {"path": "/p", "port": "web", "host": "h", "scheme": "HTTPS", "httpHeaders": [{"name": "n", "value": "v"}]}
    main = {
        "name": "main",
        "image": "nginx:1",
        "command": ["a", "b"],
        "args": ["c"],
        "workingDir": "/w",
        "ports": [{"name": "web", "containerPort": 80, "protocol": "TCP"}],
        "env": [
            {"name": "A", "value": "1"},
            {"name": "B", "valueFrom": {"fieldRef": field}},
            {"name": "C", "valueFrom": {"resourceFieldRef": amount}},
            {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": True}}},
            {"name": "E", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "c", "optional": True}}, {"secretRef": {"name": "s"}}],
        "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "500m", "memory": "1Mi"}},
        "volumeMounts": [
            {"name": "b", "mountPath": "/b", "subPath": "s", "mountPropagation": "None"},
            {"name": "a", "mountPath": "/a", "readOnly": True, "subPathExpr": "$(A)", "recursiveReadOnly": "Disabled"},
        ],
        "livenessProbe": {"httpGet": get, "initialDelaySeconds": 2, "terminationGracePeriodSeconds": 3},
        "readinessProbe": {"exec": {"command": ["x"]}, "timeoutSeconds": 4, "successThreshold": 2},
        "startupProbe": {"tcpSocket": {"port": 80, "host": "h"}, "periodSeconds": 5, "failureThreshold": 6},
        "lifecycle": {"postStart": {"exec": {"command": ["y"]}}, "preStop": {"sleep": {"seconds": 7}}},
        "terminationMessagePath": "/m",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "imagePullPolicy": "Always",
        "securityContext": {
            "capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]},
            "privileged": False,
            "runAsUser": 1,
            "runAsGroup": 2,
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": True,
            "procMount": "Default",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "stdin": True,
        "stdinOnce": True,
        "tty": True,
    }
    spec = {
        "volumes": volumes,
        "initContainers": [{"name": "side", "image": "redis:7", "restartPolicy": "Always"}],
        "containers": [main],
        "restartPolicy": "OnFailure",
        "terminationGracePeriodSeconds": 9,
        "activeDeadlineSeconds": 100,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["1.2.3.4"], "searches": ["s"], "options": [{"name": "n", "value": "1"}]},
        "nodeSelector": {"a": "b"},
        "automountServiceAccountToken": False,
        "shareProcessNamespace": False,
        "securityContext": {
            "runAsUser": 3,
            "runAsGroup": 4,
            "runAsNonRoot": False,
            "fsGroup": 5,
            "fsGroupChangePolicy": "Always",
            "supplementalGroups": [6, 7],
            "seccompProfile": {"type": "Localhost", "localhostProfile": "p"},
        },
        "imagePullSecrets": [{"name": "pull"}],
        "hostname": "h",
        "subdomain": "sub",
        "setHostnameAsFQDN": True,
        "affinity": {"nodeAffinity": node_affinity, "podAffinity": pod_affinity, "podAntiAffinity": pod_affinity},
        "schedulerName": "mine",
        "tolerations": [{"key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute", "tolerationSeconds": 8}],
        "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["x", "y"]}],
        "readinessGates": [{"conditionType": "example.com/gate"}],
        "schedulingGates": [{"name": "example.com/wait"}],
        "enableServiceLinks": False,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": selector,
                "minDomains": 2,
                "nodeAffinityPolicy": "Honor",
                "nodeTaintsPolicy": "Ignore",
                "matchLabelKeys": ["l"],
            }
        ],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "labels": {"l": "1"}}, "spec": spec}


async def test_kubectl_debug_copies_a_pod_in_full(api: ApiServer) -> None:
    code, one = await api.client("POST", "/api/v1/namespaces/default/pods", rich_pod())
    assert code == 201, one
    keep = [f"--keep-{what}" for what in ("labels", "annotations", "liveness", "readiness", "startup")]
    code, _, err = await api.kubectl(
        "debug", "one", "--copy-to=two", "--set-image=main=nginx:1", "--share-processes=false", *keep
    )
    assert code == 0, err
    _, two = await api.client("GET", "/api/v1/namespaces/default/pods/two")
    assert two["metadata"]["labels"] == {"l": "1"}
    assert two["spec"] == one["spec"]


async def test_kubectl_debug_replaces_a_pod(api: ApiServer) -> None:
    """It deletes with options in protobuf."""
    await api.client("POST", "/api/v1/namespaces/default/pods", pod("one"))
    code, _, err = await api.kubectl("debug", "one", "--copy-to=two", "--replace", "--set-image=*=nginx:1")
    assert code == 0, err
    assert {
        name: (await api.client("GET", f"/api/v1/namespaces/default/pods/{name}"))[0] for name in ("one", "two")
    } == {
        "one": 404,
        "two": 200,
    }


def test_the_options_of_a_deletion_are_read() -> None:
    options = record(1, 0) + record(2, record(1, b"u") + record(2, b"7")) + record(4, b"Orphan") + record(5, b"All")
    assert decode(envelope("DeleteOptions", options, "apps/v1")) == {
        "apiVersion": "apps/v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u", "resourceVersion": "7"},
        "propagationPolicy": "Orphan",
        "dryRun": ["All"],
    }


async def test_kubectl_asks_for_tokens_and_for_permission(api: ApiServer) -> None:
    code, out, err = await api.kubectl("create", "token", "default", "--duration=20m")
    assert code == 0 and out.count(".") == 2, err
    assert await api.kubectl("auth", "can-i", "delete", "pods") == (0, "yes\n", "")
    code, out, _ = await api.kubectl("auth", "whoami", "-o", "json")
    assert json.loads(out)["status"]["userInfo"]["username"] == "kubernetes-admin"


async def test_a_controller_writes_the_status_of_an_ingress(api: ApiServer) -> None:
    code, _, err = await api.kubectl("create", "ingress", "web", "--default-backend=svc:80")
    assert code == 0, err
    path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses/web/status"
    address = record(1, record(1, b"172.18.0.3"))
    for status, expected in ((record(1, address), [{"ip": "172.18.0.3"}]), (b"", None)):
        data = envelope("Ingress", record(1, record(1, b"web")) + record(3, status), "networking.k8s.io/v1")
        code, made = await api.client("PUT", path, data, headers=PROTOBUF)
        assert code == 200, made
        assert made["status"].get("loadBalancer", {}).get("ingress") == expected
        assert made["spec"]["defaultBackend"]


async def test_a_status_that_is_not_read_is_refused_and_not_lost(api: ApiServer) -> None:
    code, _, err = await api.kubectl("create", "deployment", "web", "--image=nginx")
    assert code == 0, err
    path = "/apis/apps/v1/namespaces/default/deployments/web/status"
    data = envelope("Deployment", record(1, record(1, b"web")) + record(3, record(2, 1)), "apps/v1")
    code, body = await api.client("PUT", path, data, headers=PROTOBUF)
    assert code == 415 and "does not read the status of Deployment" in body["message"]


async def test_what_cannot_be_told_in_full_is_refused_by_name(api: ApiServer) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    code, body = await api.client("POST", path, envelope("ConfigMap", record(9, b"x")), headers=PROTOBUF)
    assert code == 415
    assert "does not read field 9 of ConfigMap" in body["message"] and "application/json" in body["message"]
    code, body = await api.client("POST", path, envelope("Node", b""), headers=PROTOBUF)
    assert code == 415 and "Node of v1" in body["message"]
    code, body = await api.client("POST", path, envelope("Secret", record(1, record(1, b"a"))), headers=PROTOBUF)
    assert code == 400 and "does not match the expected kind (ConfigMap)" in body["message"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"k8s\0\xff",
        b"k8s\0" + record(2, b"x")[:-1],
        envelope("ConfigMap", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        envelope("ConfigMap", record(1, 7)),
        envelope("ConfigMap", record(1, record(1, b"\xff"))),
        envelope("ConfigMap", b"\x0f"),
    ],
)
async def test_broken_bodies_are_refused(api: ApiServer, data: bytes) -> None:
    code, body = await api.client("POST", "/api/v1/namespaces/default/configmaps", data, headers=PROTOBUF)
    assert code in (400, 415), body


@given(st.binary(max_size=60), st.sampled_from(sorted(messages.KINDS)))
def test_no_bytes_make_the_decoder_stumble(raw: bytes, kind: tuple[str, str]) -> None:
    with contextlib.suppress(ValueError, NotServed):
        decode(envelope(kind[1], raw, kind[0]))


def test_the_zero_behind_a_pointer_counts_and_others_do_not() -> None:
    spec = record(1, 0) + record(5, 0) + record(7, 0)
    obj = decode(envelope("Deployment", record(2, spec), "apps/v1"))
    assert obj["spec"] == {"replicas": 0}


def test_negative_numbers_and_last_values() -> None:
    spec = record(1, 3) + record(1, (1 << 64) - 1)
    obj = decode(envelope("Deployment", record(2, spec), "apps/v1"))
    assert obj["spec"] == {"replicas": -1}


def test_every_type_in_the_table_is_there() -> None:
    for name in messages._MESSAGES:
        for field in messages.fields(name).values():
            scalar = field.type in ("", "string", "bytes", "bool", "int32", "int64")
            assert scalar or messages.is_message(field.type), f"{name}.{field.name}"
