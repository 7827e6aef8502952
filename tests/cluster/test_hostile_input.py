"""Whatever is sent to the API, the answer is a success or a Status that refuses; no 500, no hang, no lost object.

The examples are few here. `HOSTILE_EXAMPLES=2000 pytest tests/cluster/test_hostile_input.py` runs longer.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster.raw_requests import EXAMPLES, FEW, VALUES, Raw, check, logged_errors, words
from tests.manifests import pod
from tests.running_lab import SECONDS, Namespace, RunningLab

COLLECTIONS = [
    "api/v1/namespaces/{}/pods",
    "api/v1/namespaces/{}/services",
    "api/v1/namespaces/{}/configmaps",
    "api/v1/namespaces/{}/persistentvolumeclaims",
    "apis/apps/v1/namespaces/{}/statefulsets",
    "apis/apps/v1/namespaces/{}/replicasets",
    "apis/apps/v1/namespaces/{}/deployments",
    "apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
    "apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "apis/batch/v1/namespaces/{}/jobs",
]
PATCHES = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
]
TYPES = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/plain", "", "a/b;c=é"]


@pytest.fixture(scope="module")
def raw(cluster: RunningLab) -> Iterator[Raw]:
    """The administrator; the cluster still works at the end, and has logged no error."""
    before = len((cluster.state / "daemon.log").read_text())
    yield Raw(cluster)
    assert cluster.kubectl("get", "--raw", "/readyz")
    assert not logged_errors(cluster, before)


@pytest.fixture(scope="module")
def home(cluster: RunningLab) -> Iterator[str]:
    """A namespace that holds one object that nobody may lose."""
    cluster.core.create_namespace({"metadata": {"name": "hostile"}})
    cluster.core.create_namespaced_config_map("hostile", {"metadata": {"name": "kept"}, "data": {"a": "1"}})
    uid = cluster.core.read_namespaced_config_map("kept", "hostile").metadata.uid
    yield "hostile"
    assert cluster.core.read_namespaced_config_map("kept", "hostile").metadata.uid == uid
    cluster.core.delete_namespace("hostile")


@FEW
@given(collection=st.sampled_from(COLLECTIONS), body=VALUES, fields=VALUES, strict=st.booleans())
def test_any_json_as_a_new_object(raw: Raw, home: str, collection: str, body: Any, fields: Any, strict: bool) -> None:
    path = f"/{collection.format(home)}?dryRun=All" + ("&fieldValidation=Strict" if strict else "")
    check(raw.ask("POST", path, json.dumps(body).encode(), Content_Type="application/json"))
    obj = {"metadata": {"name": "x"}, "spec": body, "data": fields, "status": fields}
    check(raw.ask("POST", path, json.dumps(obj).encode(), Content_Type="application/json"))
    obj = {"metadata": fields, "spec": body}
    check(raw.ask("POST", path, json.dumps(obj).encode(), Content_Type="application/json"))


@FEW
@given(patch=st.sampled_from(PATCHES), body=VALUES, under=st.sampled_from(["", "metadata", "spec", "data"]))
def test_any_json_as_a_patch(raw: Raw, home: str, patch: str, body: Any, under: str) -> None:
    body = {under: body} if under else body
    for path in ("configmaps/kept", "serviceaccounts/default"):
        query = "dryRun=All&fieldManager=me&force=true" if "apply" in patch else "dryRun=All"
        text = json.dumps(body).encode()
        check(raw.ask("PATCH", f"/api/v1/namespaces/{home}/{path}?{query}", text, Content_Type=patch))
    check(raw.ask("PATCH", "/api/v1/nodes/lab-worker/status?dryRun=All", text, Content_Type=patch))


@FEW
@given(
    operations=st.lists(
        st.fixed_dictionaries(
            {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"])},
            optional={
                "path": st.sampled_from(
                    [
                        "",
                        "/",
                        "/data",
                        "/data/a",
                        "/data/-",
                        "/metadata/labels/a~1b",
                        "/a~",
                        "x",
                        "/spec/0",
                        "/metadata/name",
                    ]
                ),
                "from": st.sampled_from(["", "/data", "/data/a", "/nowhere"]),
                "value": VALUES,
            },
        ),
        max_size=4,
    )
)
def test_any_json_patch(raw: Raw, home: str, operations: Any) -> None:
    path = f"/api/v1/namespaces/{home}/configmaps/kept?dryRun=All"
    check(raw.ask("PATCH", path, json.dumps(operations).encode(), Content_Type=PATCHES[0]))


@FEW
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"]),
    body=st.binary(max_size=200),
    kind=st.sampled_from(TYPES),
    accept=st.sampled_from(
        ["*/*", "application/json;as=Table;v=v1;g=meta.k8s.io", "x", "", "application/json;as=", ";;=,"]
    ),
)
def test_any_bytes(raw: Raw, home: str, method: str, body: bytes, kind: str, accept: str) -> None:
    for start in (b"", b"k8s\0", b"{", b"\xff\xfe"):
        for path in (f"/api/v1/namespaces/{home}/configmaps", f"/api/v1/namespaces/{home}/configmaps/none"):
            if method == "DELETE" and not path.endswith("none"):
                continue  # a body `{}` counts instead of `?dryRun=All`, as upstream has it: all would be gone
            told = raw.ask(method, f"{path}?dryRun=All", start + body, Content_Type=kind, Accept=accept)
            if method != "HEAD":
                check(told)
            assert told[0] < 500 or told[0] == 501


PIECES = st.one_of(
    words(
        "api apis v1 apps namespaces default pods nodes .. . %2e%2e %2f %00 status scale log exec watch x "
        "openapi v3 version metrics healthz proxy token binding eviction portforward attach services kept "
        "hostile "
    ),
    st.text(max_size=8).map(lambda text: quote(text, safe="")),
    st.just(""),
    st.just("n" * 5000),
)


@FEW
@given(
    pieces=st.lists(PIECES, max_size=8),
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH"]),
    first=st.sampled_from(["api/v1", "apis/apps/v1", "apis", ""]),
)
def test_any_path(raw: Raw, pieces: list[str], method: str, first: str) -> None:
    code, body = raw.ask(method, "/" + "/".join([first, *pieces]) + "?dryRun=All&timeoutSeconds=1", b"{}")
    assert code < 500 or code == 501, body[:2000]
    assert b"PRIVATE KEY" not in body


NUMBERS = words(" -1 0 1 x 1e9 99999999999999999999 \u0660  1 true null 1.5 ")


@FEW
@given(
    query=st.dictionaries(
        words(
            "watch limit continue resourceVersion resourceVersionMatch labelSelector fieldSelector timeoutSeconds "
            "sendInitialEvents allowWatchBookmarks pretty dryRun fieldManager fieldValidation "
        ),
        st.one_of(
            NUMBERS,
            st.sampled_from(["a=b", "a in (", "!", "a in (b,c),!d", "metadata.name=x", ",", "=", "All", "Strict"]),
            st.text(max_size=10),
        ),
        max_size=4,
    )
)
def test_any_query(raw: Raw, home: str, query: dict[str, str]) -> None:
    text = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items() if key != "timeoutSeconds")
    check(raw.ask("GET", f"/api/v1/namespaces/{home}/configmaps?{text}&timeoutSeconds=1"))


def test_bodies_that_are_too_large_or_too_deep(raw: Raw, home: str) -> None:
    path = f"/api/v1/namespaces/{home}/configmaps"
    large = json.dumps({"metadata": {"name": "large"}, "data": {"a": "x" * 5_000_000}}).encode()
    assert check(raw.ask("POST", path, large, Content_Type="application/json")) in (413, 422)
    for deep in (
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"metadata":' + b"[" * 900 + b"]" * 900 + b"}",
    ):
        assert 400 <= check(raw.ask("POST", path, deep, Content_Type="application/json")) < 500
        for patch in PATCHES:
            told = raw.ask("PATCH", f"{path}/kept?fieldManager=me&dryRun=All", deep, Content_Type=patch)
            assert 400 <= check(told) < 500


def test_a_yaml_bomb_is_refused(raw: Raw, home: str) -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    bomb = "\n".join(["apiVersion: v1", "kind: ConfigMap", "metadata: {name: kept}", *lines]).encode()
    path = f"/api/v1/namespaces/{home}/configmaps"
    assert 400 <= check(raw.ask("POST", path, bomb, Content_Type="application/yaml")) < 500
    told = raw.ask("PATCH", f"{path}/kept?fieldManager=me", bomb, Content_Type="application/apply-patch+yaml")
    assert 400 <= check(told) < 500


def test_yaml_that_takes_long_to_read_is_refused(raw: Raw, home: str) -> None:
    start = b"metadata: {name: long}\n"
    path = f"/api/v1/namespaces/{home}/configmaps?dryRun=All"
    for many in (
        b"a: [" + b"1," * 1_400_000 + b"1]",
        b"a:\n" + b"- 1\n" * 700_000,
        b"a: !!int " + b"1:" * 100_000 + b"1",
    ):
        assert check(raw.ask("POST", path, start + many, Content_Type="application/yaml")) == 400
        told = raw.ask("PATCH", f"{path}&fieldManager=me", start + many, Content_Type="application/apply-patch+yaml")
        assert check(told) in (400, 405)
    text = start + b"data: {a: 12:30, b: " + b"1:" * 100_000 + b"1}"  # for YAML 1.1 these are numbers of base 60
    code, body = raw.ask("POST", path, text, Content_Type="application/yaml")
    assert (code, json.loads(body)["data"]["a"]) == (201, "12:30")


BROKEN_TEXT = [b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf"]


@pytest.mark.parametrize("broken", BROKEN_TEXT, ids=[text.hex() for text in BROKEN_TEXT])
def test_text_that_is_not_utf_8(raw: Raw, home: str, broken: bytes) -> None:
    path = f"/api/v1/namespaces/{home}/configmaps"
    for media, body in (
        ("application/json", b'{"metadata":{"name":"x"},"data":{"a":"%s"}}'),
        ("application/json", b'{"metadata":{"name":"x%s"}}'),
        ("application/yaml", b'metadata: {name: x}\ndata: {a: "%s"}'),
        ("application/vnd.kubernetes.protobuf", b"k8s\0\x0a\x03%s"),
    ):
        assert check(raw.ask("POST", path, body % broken, Content_Type=media)) == 400
    for media in PATCHES:
        told = raw.ask("PATCH", f"{path}/kept?fieldManager=me", b'{"data":{"a":"%s"}}' % broken, Content_Type=media)
        assert check(told) == 400
    quoted = quote(broken)
    for target in (f"{path}/{quoted}", f"{path}?labelSelector={quoted}", f"{path}?{quoted}={quoted}", f"/api/{quoted}"):
        assert check(raw.ask("GET", target)) < 500
    head = b"GET /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    assert not raw.bytes(head + b"Accept: %s\r\nX: %s\r\n\r\n" % (broken, broken)).startswith(b"HTTP/1.1 5")


ODD = {
    "a byte order mark": b'\xef\xbb\xbf{"metadata":{"name":"x"}}',
    "half a pair": b'{"metadata":{"name":"x"},"data":{"a":"\\ud800"}}',
    "a zero": b'{"metadata":{"name":"x\\u0000"}}',
    "infinity": b'{"metadata":{"name":"x"},"data":{"a":1e400}}',
    "a long number": b'{"metadata":{"name":"x"},"data":{"a":' + b"9" * 1_000_000 + b"}}",
    "text behind it": b'{"metadata":{"name":"x"}} {}',
    "twice the same": b'{"metadata":{"name":"x"},"metadata":[]}',
    "only an end": b"}",
    "no end": b'{"metadata":{"name":"x"},"data":{"a":"',
    "comments": b'{"metadata":{"name":"x"} /* here */}',
    "wrong kind": b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}',
    "numbers for text": b'{"metadata":{"name":5,"labels":{"a":1}},"data":{"a":[]}}',
    "compressed": gzip.compress(b'{"metadata":{"name":"x"}}'),
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_json_that_is_not_an_object_of_the_kind(raw: Raw, home: str, body: bytes) -> None:
    path = f"/api/v1/namespaces/{home}/configmaps?dryRun=All"
    for encoding in ("identity", "gzip", "br", "zstd"):  # compressed bodies are not read, so none unfolds to gigabytes
        told = raw.ask("POST", path, body, Content_Type="application/json", Content_Encoding=encoding)
        assert check(told) in (400, 422)


def test_unknown_fields_are_refused_or_told_as_asked(raw: Raw, home: str) -> None:
    path = f"/api/v1/namespaces/{home}/configmaps?dryRun=All&fieldValidation="
    many = json.dumps({"metadata": {"name": "x"}, **{f"field{n}": n for n in range(50_000)}}).encode()
    assert check(raw.ask("POST", f"{path}Strict", many, Content_Type="application/json")) == 400
    assert check(raw.ask("POST", f"{path}Warn", many, Content_Type="application/json")) == 201
    assert check(raw.ask("POST", f"{path}Ignore", many, Content_Type="application/json")) == 201
    assert check(raw.ask("POST", f"{path}Sometimes", many, Content_Type="application/json")) == 422


def test_broken_http_does_not_stop_the_server(raw: Raw) -> None:
    start = b"GET /api/v1/pods HTTP/1.1\r\nHost: x\r\n"
    for sent in (
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        start + b"Content-Length: -5\r\n\r\n",
        start + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        start + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        start + b"".join(b"X%d: y\r\n" % n for n in range(2000)) + b"\r\n",
        b"GET http://other/api/v1/pods HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /api/v1/pods HTTP/9.9\r\nHost: x\r\n\r\n",
        start + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
    ):
        told = raw.bytes(sent)
        assert not told.startswith((b"HTTP/1.1 500", b"HTTP/1.0 500")), sent[:60]
    assert check(raw.ask("GET", "/api/v1/namespaces")) == 200


def test_thousands_of_watches_opened_and_dropped_leave_nothing(raw: Raw, home: str, cluster: RunningLab) -> None:
    threads, rounds, at_once = 4, 2 * EXAMPLES // 4, 25  # 2,000 watches of 40 examples
    pid = cluster.status()["pid"]
    before = len(os.listdir(f"/proc/{pid}/fd"))
    request = f"GET /api/v1/namespaces/{home}/configmaps?watch=true HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    opened: list[int] = []

    def open_and_drop() -> None:
        session = None  # of TLS: resumed, it spares most of the handshake
        for number in range(rounds):
            held = []
            for _ in range(at_once):
                plain = socket.create_connection((raw.host, raw.port), SECONDS)
                if number % 2:  # every other time the connections break off, which tells the server at once
                    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                wrapped = raw.context.wrap_socket(plain, server_hostname=raw.host, session=session)
                wrapped.sendall(request)
                assert wrapped.recv(12) == b"HTTP/1.1 200"
                session = wrapped.session
                held.append(wrapped)
            opened.append(len(held))
            for wrapped in held:
                wrapped.close()

    workers = [threading.Thread(target=open_and_drop) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(opened) == threads * rounds * at_once
    cluster.core.patch_namespaced_config_map("kept", home, {"data": {"a": "2"}})  # the writes find those that are gone
    cluster.kubectl("-n", home, "wait", "configmap/kept", "--for=jsonpath={.data.a}=2", f"--timeout={SECONDS}s")
    assert len(os.listdir(f"/proc/{pid}/fd")) < before + 100


def test_nothing_is_told_without_credentials(cluster: RunningLab, home: str) -> None:
    stranger = Raw(cluster, certificate=False)
    for path in ("/api/v1/nodes", f"/api/v1/namespaces/{home}/secrets", "/apis/apps/v1/statefulsets", "/openapi/v3"):
        assert check(stranger.ask("GET", path)) in (401, 403)
    made_up = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=") + ".e30."
    for token in ("x", "", made_up, "a.b.c", "\u00e9", "x" * 8000):
        for scheme in ("Bearer", "Basic", "bearer", ""):
            told = stranger.ask("GET", f"/api/v1/namespaces/{home}/secrets", Authorization=f"{scheme} {token}")
            assert told[0] in (400, 401, 403)
    body = b'{"metadata":{"name":"x"}}'
    assert check(stranger.ask("POST", f"/api/v1/namespaces/{home}/configmaps", body)) in (401, 403)
    assert check(stranger.ask("GET", "/api/v1/nodes", X_Remote_User="admin", X_Remote_Group="system:masters")) in (
        401,
        403,
    )
    assert check(stranger.ask("GET", "/api/v1/nodes", Impersonate_User="admin")) == 401


def test_no_operation_at_all_without_credentials(cluster: RunningLab, raw: Raw, home: str) -> None:
    stranger = Raw(cluster, certificate=False)
    asked = 0
    for place in json.loads(raw.ask("GET", "/openapi/v3")[1])["paths"].values():
        for path, item in json.loads(raw.ask("GET", place["serverRelativeURL"])[1])["paths"].items():
            for method in {"get", "post", "put", "patch", "delete"} & set(item):
                told = stranger.ask(method.upper(), path.format(namespace=home, name="kept"), b"{}")
                assert check(told) in (401, 403), (method, path)
                asked += 1
    assert asked > 150


def test_a_pods_token_reads_and_writes_nothing_it_may_not(cluster: RunningLab, namespace: Namespace) -> None:
    namespace.apply(pod("one"))
    namespace.wait("pod/one", "condition=Ready")
    token = namespace.sh("one", "cat /var/run/secrets/kubernetes.io/serviceaccount/token").strip()
    holder = Raw(cluster, certificate=False)
    for path in (
        "api/v1/nodes",
        "api/v1/secrets",
        f"api/v1/namespaces/{namespace.name}/secrets",
        f"api/v1/namespaces/{namespace.name}/pods",
        f"api/v1/namespaces/{namespace.name}/pods/one/log",
        "apis/apps/v1/statefulsets",
    ):
        assert check(holder.ask("GET", f"/{path}", Authorization=f"Bearer {token}")) == 403, path
    answers = [
        holder.ask("POST", f"/api/v1/namespaces/{namespace.name}/pods", b"{}", Authorization=f"Bearer {token}"),
        holder.ask("DELETE", f"/api/v1/namespaces/{namespace.name}/pods/one", Authorization=f"Bearer {token}"),
        holder.ask(
            "GET", f"/api/v1/namespaces/{namespace.name}/pods/one/exec?command=id", Authorization=f"Bearer {token}"
        ),
        holder.ask("GET", "/api/v1/nodes", Authorization=f"Bearer {token}", Impersonate_User="admin"),
        holder.ask("GET", "/api/v1/nodes", Authorization=f"Bearer {token[:-4]}AAAA"),
    ]
    assert [check(answer) for answer in answers] == [403, 403, 403, 403, 401]
