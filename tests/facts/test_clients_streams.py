"""Streams: exec, port-forward and logs; and what describe and delete ask for (facts 8, 9, 10)."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import re
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import kubernetes
import pytest
import websocket
from kubernetes.stream import portforward, stream

from tests.facts.api_port import ApiPort, Space
from tests.facts.listening_proxy import listening
from tests.manifests import pod, shell
from tests.running_lab import SECONDS, Namespace, RunningLab

JSON = dict[str, Any]

V5, V4, TUNNEL = "v5.channel.k8s.io", "v4.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
ECHO = """\
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline())
socketserver.TCPServer(("127.0.0.1", 7), Echo).serve_forever()
"""


@pytest.fixture(scope="module")
def here(api: ApiPort, cluster: RunningLab) -> Iterator[Space]:
    """A namespace with a pod "one" of two containers; the first of them writes a log and echoes on port 7."""
    mine = Namespace(cluster, "test-streams")
    cluster.core.create_namespace({"metadata": {"name": mine.name}})
    space = Space(api, mine.name)
    again = 'test -e /kept/x && { for n in 1 2 3; do echo line $n; done; exec python3 -c "$ECHO"; }'
    script = f"{again}; touch /kept/x; echo the first life; exit 3"
    kept = {"volumeMounts": [{"name": "kept", "mountPath": "/kept"}], "env": [{"name": "ECHO", "value": ECHO}]}
    probe = {"exec": {"command": ["bash", "-c", "echo > /dev/tcp/127.0.0.1/7"]}, "periodSeconds": 1}
    other = shell("echo from the other; trap 'exit 0' TERM; sleep infinity & wait")
    space.create(
        pod(
            "one",
            shell(script, readinessProbe=probe, **kept),
            {**other, "name": "other"},
            volumes=[{"name": "kept", "emptyDir": {}}],
        )
    )
    mine.wait("pod/one", "condition=Ready")
    yield space
    cluster.core.delete_namespace(mine.name)


def connect(space: Space, what: str, protocols: list[str], **query: Any) -> websocket.WebSocket:
    url = space.api.url.replace("https", "wss") + space.path("pods", "one", what) + "?" + urlencode(query, doseq=True)
    return websocket.create_connection(
        url, subprotocols=protocols, sslopt={"context": space.api.ssl}, timeout=SECONDS, suppress_origin=True
    )


def run(space: Space, script: str, *sent: bytes, protocol: str = V5, **query: Any) -> dict[int, bytes]:
    """What came on each channel of an exec of a script until its end, after sending messages."""
    query = {"container": "main", "command": ["sh", "-c", script], "stdout": "true", **query}
    connection = connect(space, "exec", [protocol], **query)
    assert connection.getsubprotocol() == protocol
    for message in sent:
        connection.send_binary(message)
    came: dict[int, bytes] = {}
    while True:
        opcode, data = connection.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return came
        came[data[0]] = came.get(data[0], b"") + data[1:]


def test_fact_08_exec_has_a_channel_for_each_stream(here: Space) -> None:
    """0 is stdin, 1 stdout, 2 stderr, 3 the Status at the end; of two offered protocols the newer is taken."""
    for offered, taken in (([V5, V4], V5), ([V4], V4), (["v1.channel.k8s.io", V4], V4)):
        connection = connect(here, "exec", offered, container="main", command="true", stdout="true")
        assert connection.getsubprotocol() == taken
        connection.close()
    came = run(here, "read x; echo out $x; echo err >&2", b"\0hello\n", stdin="true", stderr="true")
    assert (came[STDOUT], came[STDERR]) == (b"out hello\n", b"err\n")
    status = json.loads(came[ERROR])
    assert (status["kind"], status["status"]) == ("Status", "Success")


def test_fact_08_a_stream_is_closed_alone(here: Space) -> None:
    """In v5 the byte 255 and a channel's number end that channel: the program sees the end of its input."""
    came = run(here, "cat; echo end", b"\0one ", b"\0two ", bytes([CLOSE, STDIN]), stdin="true")
    assert came[STDOUT] == b"one two end\n"


def test_fact_08_a_terminal_is_resized_on_channel_4(here: Space) -> None:
    """JSON with Width and Height; a terminal has no stream of its own for errors."""
    size = bytes([RESIZE]) + b'{"Width":123,"Height":45}'
    came = run(here, "read x; stty size; echo err >&2", size, b"\0go\n", stdin="true", stderr="true", tty="true")
    assert b"45 123" in came[STDOUT] and b"err" in came[STDOUT]
    assert not came.get(STDERR)


def test_fact_08_the_exit_code_comes_in_the_last_status(here: Space) -> None:
    """reason NonZeroExitCode, and the code as the cause ExitCode."""
    for protocol in (V5, V4):
        status = json.loads(run(here, "exit 42", protocol=protocol)[ERROR])
        assert (status["status"], status["reason"]) == ("Failure", "NonZeroExitCode")
        assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "42"}]


def test_fact_08_kubectl_and_the_python_client_exec_and_cp_is_an_exec_of_tar(here: Space, tmp_path: Path) -> None:
    """kubectl offers v5, the Python client v5 and v4; cp runs tar in the pod, in both directions."""
    (tmp_path / "sent").write_text("there and back")
    with listening(here.api) as proxy:
        command = ("exec", "one", "-c", "main", "--", "sh", "-c", "exit 42")
        assert proxy.kubectl("-n", here.name, *command).returncode == 42
        assert proxy.requests[-1].headers["sec-websocket-protocol"] == V5
        core = kubernetes.client.CoreV1Api(proxy.python_client())
        options = {"container": "main", "command": ["echo", "hello"], "stdout": True, "stderr": True}
        assert stream(core.connect_get_namespaced_pod_exec, "one", here.name, **options) == "hello\n"
        offered = proxy.requests[-1].headers["sec-websocket-protocol"]
        assert [p.strip() for p in offered.split(",")] == [V5, V4]
        for source, target in ((f"{tmp_path}/sent", "one:/tmp/x"), ("one:/tmp/x", f"{tmp_path}/back")):
            proxy.requests.clear()
            assert proxy.kubectl("-n", here.name, "cp", "-c", "main", source, target).returncode == 0
            assert any(r.path.endswith("/exec") and r.query["command"][0] == "tar" for r in proxy.requests)
    assert (tmp_path / "back").read_text() == "there and back"


def test_fact_09_kubectl_tunnels_spdy_in_a_websocket(here: Space) -> None:
    """port-forward of kubectl: subprotocol SPDY/3.1+portforward.k8s.io, and SPDY/3.1 frames as its messages."""
    with listening(here.api) as proxy:
        command = proxy.command("-n", here.name, "port-forward", "pod/one", ":7")
        with subprocess.Popen(command, env=proxy.environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
                assert found
                for number in range(2):  # one tunnel carries one connection after the other
                    with socket.create_connection(("127.0.0.1", int(found[1])), timeout=SECONDS) as connection:
                        connection.sendall(b"hello %d\n" % number)
                        assert connection.makefile("rb").read() == b"hello %d\n" % number
            finally:
                process.terminate()
        (asked,) = (r for r in proxy.requests if r.path.endswith("/portforward"))
        assert asked.headers["sec-websocket-protocol"] == TUNNEL
    connection = connect(here, "portforward", [TUNNEL])
    assert connection.getheaders()["sec-websocket-protocol"] == TUNNEL
    ping = struct.pack("!HHII", 0x8003, 6, 4, 1)  # SPDY/3, section 2.6.5: the answer is the same frame
    connection.send_binary(ping)
    assert connection.recv_data() == (websocket.ABNF.OPCODE_BINARY, ping)
    connection.close()


def test_fact_09_the_python_client_uses_plain_channels(here: Space) -> None:
    """v4 channels: two for each port, for data and for errors, and each first tells its port."""
    with listening(here.api) as proxy:
        core = kubernetes.client.CoreV1Api(proxy.python_client())
        forward = portforward(core.connect_get_namespaced_pod_portforward, "one", here.name, ports="7")
        one = forward.socket(7)
        one.settimeout(SECONDS)
        one.sendall(b"ping\n")
        assert one.recv(5) == b"ping\n"
        one.close()
        offered = proxy.requests[-1].headers["sec-websocket-protocol"]
        assert V4 in offered and TUNNEL not in offered
    connection = connect(here, "portforward", [V4], ports="7,8")
    first = [connection.recv_data()[1] for _ in range(4)]
    assert first == [bytes([n]) + struct.pack("<H", (7, 7, 8, 8)[n]) for n in range(4)]
    code, data = connection.recv_data()
    assert (code, data[0]) == (websocket.ABNF.OPCODE_BINARY, 3) and b"error forwarding port 8" in data
    connection.close()


async def test_fact_09_aiohttp_negotiates_both_names(here: Space) -> None:
    """A name with a slash is no token as RFC 9110 has it, so strict libraries refuse it; aiohttp takes either."""
    url = here.api.url + here.path("pods", "one", "portforward") + "?ports=7"
    async with aiohttp.ClientSession() as session, asyncio.timeout(SECONDS):
        for protocol in (TUNNEL, V4):
            async with session.ws_connect(url, protocols=[protocol], ssl=here.api.ssl) as connection:
                assert connection.protocol == protocol


def log(space: Space, **query: Any) -> str:
    answer = space.api("GET", space.path("pods", "one", "log"), accept="*/*", **query)
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/plain", answer.body
    return answer.body.decode()


def test_fact_10_logs_are_plain_text_of_one_container(here: Space) -> None:
    """container chooses, tailLines and since* cut, timestamps begin each line, previous is the life before."""
    main = {"container": "main"}
    lines = "line 1\nline 2\nline 3\n"
    assert log(here, **main) == lines
    assert log(here, container="other") == "from the other\n"
    assert log(here, tailLines=1, **main) == "line 3\n"
    assert log(here, tailLines=0, **main) == ""
    assert log(here, sinceSeconds=3600, **main) == lines
    stamped = [line.split(" ", 1) for line in log(here, timestamps="true", **main).splitlines()]
    assert [text for _, text in stamped] == lines.splitlines()
    times = [dt.datetime.fromisoformat(stamp) for stamp, _ in stamped]
    assert times == sorted(times)
    later = times[-1] + dt.timedelta(seconds=1)
    assert log(here, sinceTime=later.isoformat().replace("+00:00", "Z"), **main) == ""
    age = (dt.datetime.now(dt.UTC) - times[-1]).total_seconds()
    time.sleep(max(0, 1.1 - age))  # until even the last line is older than a second
    assert log(here, sinceSeconds=1, **main) == ""
    assert log(here, previous="true", **main) == "the first life\n"
    refused = here.api.refused("GET", here.path("pods", "one", "log"))
    assert refused["message"] == "a container name must be specified for pod one, choose one of: [main other]"
    refused = here.api.refused("GET", here.path("pods", "one", "log"), container="other", previous="true")
    assert refused["code"] == 400 and "previous terminated container" in refused["message"]


def test_fact_10_a_log_is_followed(here: Space) -> None:
    """follow=true goes on as the container writes, and ends with it."""
    here.create(
        pod("two", shell("echo one; until test -e /tmp/go; do sleep 0.02; done; echo two"), restartPolicy="Never")
    )
    here.until("pods", lambda found: found["two"]["status"].get("phase") == "Running")
    followed = iter(here.api.stream(here.path("pods", "two", "log"), accept="*/*", follow="true"))
    assert next(followed) == b"one\n"
    url = here.api.url.replace("https", "wss") + here.path("pods", "two", "exec")
    query = urlencode({"command": ["touch", "/tmp/go"], "stdout": "true"}, doseq=True)
    options = {"subprotocols": [V5], "sslopt": {"context": here.api.ssl}, "suppress_origin": True}
    websocket.create_connection(f"{url}?{query}", **options).recv_data()
    assert list(followed) == [b"two\n"]


def test_fact_10_describe_asks_for_the_events_of_one_object(here: Space) -> None:
    """By a field selector on involvedObject: only that object's events come."""
    with listening(here.api) as proxy:
        told = proxy.kubectl("-n", here.name, "describe", "pod", "one").stdout
        (asked,) = proxy.asked("GET", "/events")
    selector = dict(part.split("=") for part in asked.query["fieldSelector"][0].split(","))
    uid = here.get("pods", "one")["metadata"]["uid"]
    assert {"involvedObject.name": "one", "involvedObject.uid": uid}.items() <= selector.items()
    assert "Successfully assigned" in told
    found = here.list("events", fieldSelector=asked.query["fieldSelector"][0])
    assert found and {event["involvedObject"]["uid"] for event in found} == {uid}


def test_fact_10_delete_says_how_and_looks_until_the_object_is_gone(here: Space) -> None:
    """kubectl delete sends a propagationPolicy and then reads the object until the answer is 404."""
    here.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gone"}})
    with listening(here.api) as proxy:
        for cascade, policy in (("background", "Background"), ("foreground", "Foreground"), ("orphan", "Orphan")):
            here.create(pod("three", shell()))
            assert proxy.kubectl("-n", here.name, "delete", "pod", "three", f"--cascade={cascade}").returncode == 0
            assert here.api("GET", here.path("pods", "three")).status == 404
            (deleted,) = proxy.asked("DELETE", "/pods/three")
            assert json.loads(deleted.body)["propagationPolicy"] == policy
            after = proxy.requests[proxy.requests.index(deleted) + 1 :]
            assert after and all(r.method == "GET" and "three" in r.path + str(r.query) for r in after)
            proxy.requests.clear()
