"""Every write path of the cluster's own OpenAPI, for real: what is written, nothing is lost by it.

Bodies come from two sources: schemathesis makes them from the published schemas, right ones and wrong ones; and good
objects of each kind get something wrong at one place, which leads further in, to admission and to the controllers.
The lab is one of its own, since the writes count. Afterwards its daemon is killed and started again, and everything
has to be there as it was.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation

from tests.cluster.raw_requests import EXAMPLES, FEW, VALUES, WORDS, Raw, check, logged_errors
from tests.manifests import JSON, claim, cron_job, daemon_set, pod, service, shell, valkey, workload
from tests.running_lab import Namespace, RunningLab

NAMES = ["one", "two"]
META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# Bodies that a schema does not allow take schemathesis seconds each: they belong to the long run.
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE] if EXAMPLES >= 100 else [GenerationMode.POSITIVE]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab that may come to harm, with a namespace `hostile` for the writes and some that nobody writes to."""
    lab = RunningLab(tmp_path_factory.mktemp("hostile") / "state")
    try:
        lab.keep_ports()
        lab.up()
        lab.core.create_namespace({"metadata": {"name": "hostile"}})
        space = Namespace(lab, "default")
        space.apply(service("db", clusterIP="None"), workload("StatefulSet", "db", 1, valkey()))
        space.wait("sts/db", "jsonpath={.status.readyReplicas}=1")
        yield lab
        assert_nothing_is_lost_by_a_restart(lab)
        space.wait("sts/db", "jsonpath={.status.readyReplicas}=1")
    finally:
        lab.down()


@pytest.fixture
def raw(lab: RunningLab) -> Iterator[Raw]:
    """The administrator. In the end nothing was logged as an error, and the cluster works."""
    before = len((lab.state / "daemon.log").read_text())
    bystander = lab.core.read_namespaced_pod("db-0", "default").metadata.uid
    yield Raw(lab)
    assert not logged_errors(lab, before)
    assert lab.core.read_namespaced_pod("db-0", "default").metadata.uid == bystander
    space = Namespace(lab, "default")
    space.apply(pod("after"))
    space.wait("pod/after", "condition=Ready")
    space.kubectl("delete", "pod", "after", "--now")


def assert_nothing_is_lost_by_a_restart(lab: RunningLab) -> None:
    """What the daemon has in memory, and what it reads from its store."""
    before = everything(Raw(lab))
    os.kill(int(lab.status()["pid"]), signal.SIGKILL)
    lab.up()
    after = everything(Raw(lab))
    for path, objects in before.items():
        if not path.endswith(("/pods", "/events", "/replicasets", "/endpointslices", "/endpoints")):  # these go on
            assert after[path] == objects, path
    kept = {uid for objects in before.values() for uid in objects} & {u for objects in after.values() for u in objects}
    assert len(kept) > 20


def everything(raw: Raw) -> dict[str, set[str]]:
    """The uids of all objects, by the path of their collection; component statuses, which are looked at, have none."""
    found = {}
    for document in documents(raw):
        for path in document["paths"]:
            if "{" not in path:
                code, body = raw.ask("GET", path)
                assert code == 200, path
                metadata = [item["metadata"] for item in json.loads(body)["items"]]
                found[path] = {each["uid"] for each in metadata if not path.endswith("/componentstatuses")}
    return found


def documents(raw: Raw) -> list[JSON]:
    """The OpenAPI documents that the cluster publishes."""
    index = json.loads(raw.ask("GET", "/openapi/v3")[1])
    return [json.loads(raw.ask("GET", place["serverRelativeURL"])[1]) for place in index["paths"].values()]


def narrowed(document: JSON) -> JSON:
    """The document with a few names only, so that writes meet the same objects; and with objects that have a spec."""
    schemas = document["components"]["schemas"]
    for item in document["paths"].values():
        for parameter in item.get("parameters", []):
            if parameter["in"] == "path":
                parameter["schema"]["enum"] = ["hostile"] if parameter["name"] == "namespace" else NAMES
    for schema in schemas.values():
        properties = schema.get("properties", {})
        if {"apiVersion", "kind", "metadata"} <= set(properties) and "items" not in properties:
            schema["required"] = sorted({*schema.get("required", []), *properties} - {"apiVersion", "kind", "status"})
            del properties["apiVersion"], properties["kind"]
    if META in schemas:
        properties = schemas[META]["properties"]
        properties["name"]["enum"] = NAMES
        properties["namespace"]["enum"] = ["hostile"]
        schemas[META]["required"] = ["name"]
    return document


def writes(raw: Raw) -> Iterator[APIOperation]:
    """Every operation that writes, and spares the nodes and namespaces of the cluster."""
    for document in documents(raw):
        for found in schemathesis.openapi.from_dict(narrowed(document)).get_all_operations():
            operation = found.ok()
            whole = operation.method == "delete" and "{name}" not in operation.path  # a collection
            if operation.method != "get" and not (whole and "{namespace}" not in operation.path):
                yield operation


def body_of(case: Case, in_yaml: bool) -> tuple[bytes | None, str]:
    """The body and its media type; `*/*`, which stands in the documents, is any that the cluster reads."""
    if not isinstance(case.body, (dict, list, str, int, float, bool, bytes, type(None))):
        return None, ""
    media = case.media_type or ""
    if not media.endswith(("patch+json", "patch+yaml")):
        media = "application/yaml" if in_yaml else "application/json"
    if isinstance(case.body, bytes):
        return case.body, media
    return (yaml.safe_dump(case.body) if "yaml" in media else json.dumps(case.body)).encode(), media


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_every_write_with_bodies_from_its_schema(raw: Raw, mode: GenerationMode) -> None:
    answers: dict[int, int] = {}

    def send(case: Case, in_yaml: bool) -> None:
        body, media = body_of(case, in_yaml)
        query = {name: str(value) for name, value in case.query.items()}
        code = check(raw.ask(case.method, raw.path(case.formatted_path, query), body, Content_Type=media))
        answers[code] = answers.get(code, 0) + 1

    for operation in writes(raw):
        if "{name}" in operation.path:
            plant(raw, operation.path.partition("/{name}")[0].format(namespace="hostile"))
        example = given(operation.as_strategy(generation_mode=mode), st.booleans())
        settings(FEW, max_examples=max(EXAMPLES // 40, 1))(example(send))()
    assert {200, 201, 400, 422} <= set(answers), answers
    print(mode.value, answers)  # with `pytest -s`: how far the bodies came


def plant(raw: Raw, collection: str) -> None:
    """See to it that there is something to write to."""
    for path, obj in GOOD:
        if f"/{path}" == collection:
            for name in NAMES:
                body = dumped({**obj, "metadata": {**obj["metadata"], "name": name}})
                assert raw.ask("POST", collection, body)[0] in (201, 409)


def in_group(api_version: str, kind: str, name: str, **fields: Any) -> JSON:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


SELECTOR = {"matchLabels": {"app": "one"}}
JOB = {"template": {"spec": {"restartPolicy": "Never", "containers": [shell("true")]}}}
VOLUME = {"capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/one"}}
SLICE = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.244.1.9"]}], "ports": [{"port": 80}]}
GOOD = [
    ("api/v1/namespaces/hostile/pods", pod("one")),
    ("api/v1/namespaces/hostile/services", service("one")),
    ("api/v1/namespaces/hostile/configmaps", in_group("v1", "ConfigMap", "one", data={"a": "1"})),
    ("api/v1/namespaces/hostile/secrets", in_group("v1", "Secret", "one", data={"a": "YQ=="}, type="Opaque")),
    ("api/v1/namespaces/hostile/serviceaccounts", in_group("v1", "ServiceAccount", "one")),
    ("api/v1/namespaces/hostile/persistentvolumeclaims", claim("one")),
    ("api/v1/persistentvolumes", in_group("v1", "PersistentVolume", "one", spec=VOLUME)),
    ("apis/apps/v1/namespaces/hostile/statefulsets", workload("StatefulSet", "one", 1, shell())),
    ("apis/apps/v1/namespaces/hostile/deployments", workload("Deployment", "one", 1, shell())),
    ("apis/apps/v1/namespaces/hostile/replicasets", workload("ReplicaSet", "one", 1, shell())),
    ("apis/apps/v1/namespaces/hostile/daemonsets", daemon_set("one", shell())),
    ("apis/batch/v1/namespaces/hostile/cronjobs", cron_job("one", "@daily", shell("true"))),
    ("apis/batch/v1/namespaces/hostile/jobs", in_group("batch/v1", "Job", "one", spec=JOB)),
    (
        "apis/policy/v1/namespaces/hostile/poddisruptionbudgets",
        in_group("policy/v1", "PodDisruptionBudget", "one", spec={"minAvailable": 1, "selector": SELECTOR}),
    ),
    (
        "apis/discovery.k8s.io/v1/namespaces/hostile/endpointslices",
        in_group("discovery.k8s.io/v1", "EndpointSlice", "one", **SLICE),
    ),
    (
        "apis/coordination.k8s.io/v1/namespaces/hostile/leases",
        in_group("coordination.k8s.io/v1", "Lease", "one", spec={"holderIdentity": "me"}),
    ),
    (
        "apis/storage.k8s.io/v1/storageclasses",
        in_group("storage.k8s.io/v1", "StorageClass", "one", provisioner="rancher.io/local-path"),
    ),
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) within a value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(entries):
        yield value, key
        yield from places(inner)


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[str, JSON]:
    """The path of a collection, and a good object of it that has something else in one to three places."""
    path, good = draw(st.sampled_from(GOOD))
    obj: JSON = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 3))):
        where, key = draw(st.sampled_from(list(places(obj))))
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                where[key] = draw(VALUES)
            case "remove":
                del where[key]
            case "add" if isinstance(where, dict):
                where[draw(WORDS)] = draw(VALUES)
    return path, obj


@FEW
@given(first=spoilt(), second=spoilt(), strict=st.sampled_from(["", "Strict", "Warn"]), server_side=st.booleans())
def test_good_objects_with_something_wrong_in_them(
    raw: Raw, first: tuple[str, JSON], second: tuple[str, JSON], strict: str, server_side: bool
) -> None:
    """What was accepted is there, with the name and the uid that the answer told, until it is deleted."""
    path, obj = first
    code, body = raw.ask("POST", raw.path(f"/{path}", {"fieldValidation": strict}), dumped(obj))
    check((code, body))
    if code != 201:
        return
    made = json.loads(body)["metadata"]
    one = f"/{path}/{made['name']}"
    code, body = raw.ask("GET", one)
    gone = code == 404 and (path.endswith("/pods") or "ownerReferences" in made)  # a controller has adopted it
    assert gone or (check((code, body)), json.loads(body)["metadata"]["uid"]) == (200, made["uid"])
    check(raw.ask("PUT", one, dumped(second[1])))
    query = {"fieldManager": "me", "force": "true", "fieldValidation": strict}
    patch = "application/apply-patch+yaml" if server_side else "application/merge-patch+json"
    check(raw.ask("PATCH", raw.path(one, query), dumped(second[1]), Content_Type=patch))
    code, body = raw.ask("GET", one)
    assert code == 404 or json.loads(body)["metadata"]["uid"] == made["uid"]  # a write may have ended its deletion
    check(raw.ask("DELETE", raw.path(one, {"gracePeriodSeconds": "0"})))


def dumped(obj: Any) -> bytes:
    return json.dumps(obj).encode()
