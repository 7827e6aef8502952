"""Decoding against the published schemas, and the OpenAPI documents that kubectl reads."""

from __future__ import annotations

import base64
import http.server
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labcluster.api import resources
from labcluster.api.errors import ApiError
from labcluster.schema import openapi
from labcluster.schema import schemas as schema
from labcluster.schema.definitions import definitions
from tests.running_lab import BIN, kubectl_environment

SERVED = resources.ServedResources()


def stateful_set(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"}, "spec": spec}


def container(**fields: Any) -> dict[str, Any]:
    return stateful_set(template={"spec": {"containers": [{"name": "a"}, {"name": "c", **fields}]}})


def test_every_served_kind_has_a_type() -> None:
    for resource in resources.RESOURCES:
        assert schema.type_of(resource).struct == resource.kind


def test_merge_keys_and_strategies_come_from_the_schema() -> None:
    spec = schema.type_of(resources.PODS).fields["spec"].type
    assert spec.fields["containers"].merge_key == "name"
    assert spec.fields["volumes"].strategies == {"merge", "retainKeys"}
    assert spec.fields["tolerations"].strategies == set()
    port = schema.type_of(resources.SERVICES).fields["spec"].type.fields["ports"]
    assert port.merge_key == "port"


def test_an_unknown_field_is_a_strict_decoding_error() -> None:
    with pytest.raises(ApiError) as error:
        schema.decode(stateful_set(serviceNme="x"), resources.STATEFUL_SETS)
    assert error.value.code == 400
    assert error.value.message == (
        'StatefulSet in version "v1" cannot be handled as a StatefulSet: '
        'strict decoding error: unknown field "spec.serviceNme"'
    )


def test_unknown_fields_name_their_place_in_lists() -> None:
    obj = container(imagge="x") | {"sped": {}}
    assert schema.unknown_fields(obj, resources.STATEFUL_SETS) == [
        'unknown field "spec.template.spec.containers[1].imagge"',
        'unknown field "sped"',
    ]


def test_unknown_fields_are_warnings_or_nothing_and_are_dropped() -> None:
    obj = stateful_set(serviceNme="x", replicas=2)
    decoded, warnings = schema.decode(obj, resources.STATEFUL_SETS, "Warn")
    assert warnings == ['unknown field "spec.serviceNme"']
    assert decoded["spec"] == {"replicas": 2}
    assert schema.decode(obj, resources.STATEFUL_SETS, "Ignore") == (decoded, [])


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        (stateful_set(replicas="3"), "string into Go struct field StatefulSetSpec.spec.replicas of type int32"),
        (stateful_set(replicas=1.5), "number 1.5 into Go struct field StatefulSetSpec.spec.replicas of type int32"),
        (
            stateful_set(replicas=2**31),
            "number 2147483648 into Go struct field StatefulSetSpec.spec.replicas of type int32",
        ),
        (stateful_set(replicas=True), "bool into Go struct field StatefulSetSpec.spec.replicas of type int32"),
        (stateful_set(serviceName=5), "number into Go struct field StatefulSetSpec.spec.serviceName of type string"),
        (
            stateful_set(template=[]),
            "array into Go struct field StatefulSetSpec.spec.template of type v1.PodTemplateSpec",
        ),
        (
            container(env=[{"name": "A", "value": 1}]),
            "number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string",
        ),
        (
            container(ports={"containerPort": 1}),
            "object into Go struct field Container.spec.template.spec.containers.ports of type []v1.ContainerPort",
        ),
        (
            {"metadata": {"labels": {"a": 1}}},
            "number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            {"metadata": {"labels": "a"}},
            "string into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        ({"spec": "x"}, "string into Go struct field StatefulSet.spec of type v1.StatefulSetSpec"),
    ],
)
def test_wrong_types_are_told_in_the_words_of_go(obj: dict[str, Any], text: str) -> None:
    assert schema.type_errors(obj, resources.STATEFUL_SETS) == [f"json: cannot unmarshal {text}"]


def test_a_wrong_type_is_a_bad_request_even_when_fields_are_not_validated() -> None:
    with pytest.raises(ApiError, match="cannot be handled as a StatefulSet: json: cannot unmarshal string"):
        schema.decode(stateful_set(replicas="3"), resources.STATEFUL_SETS, "Ignore")


def test_ports_and_quantities_take_numbers_and_strings() -> None:
    obj = container(
        readinessProbe={"httpGet": {"port": "http"}, "periodSeconds": 1},
        resources={"requests": {"cpu": 1, "memory": "1024Mi"}},
    )
    decoded, _ = schema.decode(obj, resources.STATEFUL_SETS)
    assert decoded["spec"]["template"]["spec"]["containers"][1]["resources"]["requests"] == {
        "cpu": "1",
        "memory": "1Gi",
    }
    assert schema.type_errors({"spec": {"ports": [{"targetPort": True}]}}, resources.SERVICES) == [
        "json: cannot unmarshal bool into Go value of type int32"
    ]


def test_a_malformed_quantity_tells_the_rule() -> None:
    with pytest.raises(ApiError, match=r"PersistentVolumeClaim: quantities must match the regular expression '\^"):
        schema.decode({"spec": {"resources": {"requests": {"storage": "1 Gi"}}}}, resources.PERSISTENT_VOLUME_CLAIMS)


def test_nulls_leave_and_free_form_parts_stay() -> None:
    obj = {"metadata": {"name": "r", "creationTimestamp": None}, "data": {"spec": {"x": None}}, "revision": 1}
    assert schema.normalize(obj, resources.CONTROLLER_REVISIONS) == {
        "metadata": {"name": "r"},
        "data": {"spec": {"x": None}},
        "revision": 1,
    }
    config = {"data": {"a": None, "b": "x"}}
    assert schema.normalize(config, resources.CONFIG_MAPS) == {"data": {"a": "", "b": "x"}}


def test_a_null_in_a_list_is_the_zero_value() -> None:
    metadata = {"name": "x", "finalizers": [None]}
    obj = {"metadata": metadata, "spec": {"containers": [None, {"name": "a", "args": ["b", None]}]}}
    normal, _ = schema.decode(obj, resources.PODS, "Strict")
    assert normal["metadata"]["finalizers"] == [""]
    assert normal["spec"]["containers"] == [{}, {"name": "a", "args": ["b", ""]}]


def test_a_normal_object_stays_as_it_is() -> None:
    obj = container(image="redis:7", args=["--port", "6379"], ports=[{"containerPort": 6379, "name": "redis"}])
    assert schema.normalize(obj, resources.STATEFUL_SETS) == obj


@pytest.mark.parametrize(
    ("text", "place"), [("secret", 4), ("pa$$word", 2), ("a", 0), ("YQ", 0), ("YQ=x", 2), ("YQ=", 3), ("YWJj!", 4)]
)
def test_base64_errors_name_the_byte_as_go_does(text: str, place: int) -> None:
    assert schema.type_errors({"data": {"k": text}}, resources.SECRETS) == [
        f"illegal base64 data at input byte {place}"
    ]


def test_good_base64_passes() -> None:
    for data in (b"", b"a", b"ab", b"abc", bytes(range(256))):
        text = base64.b64encode(data).decode()
        assert schema.type_errors({"data": {"k": text}}, resources.SECRETS) == []


def test_malformed_times_are_refused() -> None:
    (error,) = schema.type_errors({"metadata": {"creationTimestamp": "yesterday"}}, resources.PODS)
    assert error.startswith('parsing time "yesterday" as "2006-01-02T15:04:05Z07:00"')
    assert schema.type_errors({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}, resources.PODS) == []


def test_duplicate_fields_are_found_in_the_text() -> None:
    raw = b'{"spec":{"replicas":1,"l":[{"a":1},{"a":1,"a":2}],"replicas":2,"replicas":3}}'
    assert sorted(schema.duplicate_fields(raw)) == ['duplicate field "spec.l[1].a"', 'duplicate field "spec.replicas"']
    assert schema.duplicate_fields(b'{"a":{"x":1},"b":{"x":1}}') == []
    with pytest.raises(ApiError, match=r'strict decoding error: duplicate field "spec.replicas"'):
        schema.decode({"spec": {}}, resources.STATEFUL_SETS, "Strict", b'{"spec":{"replicas":1,"replicas":2}}')


def test_the_index_names_every_group_version_once() -> None:
    paths = schema.openapi_v3_index(SERVED)["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/storage.k8s.io/v1"} <= set(paths)
    assert paths["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")
    assert schema.openapi_v3("nosuch", "v1", SERVED) is None


def test_documents_are_closed_and_speak_openapi() -> None:
    for group in {r.group for r in resources.RESOURCES}:
        document = schema.openapi_v3(group, "v1", SERVED)
        assert document is not None
        text = json.dumps(document)
        assert "$defs" not in text and '"null"' not in text
        schemas = document["components"]["schemas"]
        for part in text.split('"$ref": "')[1:]:
            assert part.partition('"')[0].removeprefix("#/components/schemas/") in schemas


def test_enums_stand_on_fields_that_exist() -> None:
    schemas = {}
    for group in {r.group for r in resources.RESOURCES}:
        schemas.update((schema.openapi_v3(group, "v1", SERVED) or {})["components"]["schemas"])
    for place in openapi._ENUMS:
        struct, _, name = place.partition(".")
        assert any(s["properties"][name].get("enum") for n, s in schemas.items() if n.endswith(f".{struct}")), place


def test_apply_finds_field_validation_on_the_patch_of_its_kind() -> None:
    document = schema.openapi_v3("apps", "v1", SERVED)
    assert document is not None
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "StatefulSet"}
    assert patch["x-kubernetes-action"] == "patch"
    assert "fieldValidation" in [p["name"] for p in patch["parameters"]]


@pytest.mark.parametrize(
    ("what", "parameters"),
    [
        ("exec", {"command", "container", "stderr", "stdin", "stdout", "tty"}),
        ("attach", {"container", "stderr", "stdin", "stdout", "tty"}),
        ("portforward", {"ports"}),
    ],
)
def test_streams_have_their_parameters(what: str, parameters: set[str]) -> None:
    document = schema.openapi_v3("", "v1", SERVED)
    assert document is not None
    connect = document["paths"][f"/api/v1/namespaces/{{namespace}}/pods/{{name}}/{what}"]
    assert {verb: {p["name"] for p in connect[verb]["parameters"]} for verb in ("get", "post")} == {
        "get": parameters,
        "post": parameters,
    }


def test_the_published_schemas_are_left_as_they_are() -> None:
    before = json.dumps(definitions()["io.k8s.api.apps.v1.StatefulSet"])
    schema.openapi_v3("apps", "v1", SERVED)
    assert json.dumps(definitions()["io.k8s.api.apps.v1.StatefulSet"]) == before


@pytest.fixture
def server() -> Iterator[str]:
    """A server of discovery and OpenAPI only: what `kubectl explain` asks for."""
    row = {"name": "statefulsets", "kind": "StatefulSet", "namespaced": True, "shortNames": ["sts"], "verbs": ["get"]}
    version = {"groupVersion": "apps/v1", "version": "v1"}
    answers: dict[str, Any] = {
        "/api": {"kind": "APIVersions", "versions": []},
        "/apis": {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [{"name": "apps", "versions": [version], "preferredVersion": version}],
        },
        "/apis/apps/v1": {"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": [row]},
        "/openapi/v3": schema.openapi_v3_index(SERVED),
        "/openapi/v3/apis/apps/v1": schema.openapi_v3("apps", "v1", SERVED),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            body = json.dumps(answer or {}).encode()
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def test_kubectl_explain_prints_the_descriptions(server: str, tmp_path: Path) -> None:
    command = [BIN / "kubectl", "--server", server, "explain", "sts.spec.updateStrategy"]
    environment = kubectl_environment(os.devnull, tmp_path)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "FIELD: updateStrategy <StatefulSetUpdateStrategy>" in done.stdout
    assert "rollingUpdate\t<RollingUpdateStatefulSetStrategy>" in done.stdout
    assert "updateStrategy indicates the StatefulSetUpdateStrategy" in done.stdout
    assert "enum: OnDelete, RollingUpdate" in done.stdout
