"""exec and port-forward through the official Python client: terminals, standard input, exit codes, bytes."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward, stream
from kubernetes.stream.ws_client import WSClient

from tests.manifests import pod, web
from tests.running_lab import SECONDS, Namespace


@pytest.fixture
def one(namespace: Namespace) -> Namespace:
    """A namespace with the pod `one`."""
    namespace.apply(pod("one", web()))
    namespace.wait("pod/one", "condition=Ready")
    return namespace


def opened(space: Namespace, script: str, *, tty: bool = False, stdin: bool = True, binary: bool = False) -> WSClient:
    """A shell script in the pod, with its streams."""
    session: WSClient = stream(
        space.lab.core.connect_get_namespaced_pod_exec,
        "one",
        space.name,
        command=["sh", "-c", script],
        stdin=stdin,
        stdout=True,
        stderr=not tty,
        tty=tty,
        binary=binary,
        _preload_content=False,
    )
    return session


def test_a_command_is_talked_to_and_its_exit_code_is_told(one: Namespace) -> None:
    session = opened(one, "read a; echo got $a; read b; echo got $b >&2; exit 3")
    session.write_stdin("first\n")
    assert session.readline_stdout(timeout=SECONDS) == "got first"
    session.write_stdin("second\n")
    session.run_forever(timeout=SECONDS)
    assert session.read_stderr() == "got second\n"
    assert (session.is_open(), session.returncode) == (False, 3)


def test_a_command_that_succeeds_returns_zero(one: Namespace) -> None:
    session = opened(one, "true", stdin=False)
    session.run_forever(timeout=SECONDS)
    assert session.returncode == 0


def test_standard_input_is_closed_and_bytes_arrive_as_they_are(one: Namespace) -> None:
    session = opened(one, "sha256sum", binary=True)
    assert session.subprotocol == "v5.channel.k8s.io"
    sent = bytes(range(256)) * 1024
    for start in range(0, len(sent), 4096):
        session.write_stdin(sent[start : start + 4096])
    session.close_channel(0)
    session.run_forever(timeout=SECONDS)
    digest, *_ = session.read_stdout().split()
    assert (session.returncode, digest.decode()) == (0, hashlib.sha256(sent).hexdigest())


def test_a_terminal_echoes_and_is_resized(one: Namespace) -> None:
    session = opened(one, "stty size; read line; stty size; tty", tty=True)
    assert session.readline_stdout(timeout=SECONDS)
    session.write_channel(4, '{"Width":97,"Height":31}')
    session.write_stdin("typed\n")
    session.run_forever(timeout=SECONDS)
    said = session.read_stdout()
    assert "typed\r\n" in said  # the echo of the terminal
    assert "31 97\r\n" in said
    assert "/dev/" in said
    assert session.returncode == 0


def test_large_outputs_arrive_whole(one: Namespace) -> None:
    said = stream(
        one.lab.core.connect_get_namespaced_pod_exec, "one", one.name,
        command=["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"], stdout=True, stderr=True,
    )  # fmt: skip
    assert said == "x" * 3_000_000


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"name": "nosuch"}, "404"),
        ({"container": "nosuch"}, "400"),
        ({"command": []}, "400"),
    ],
)
def test_what_cannot_run_is_refused(one: Namespace, options: dict[str, object], why: str) -> None:
    call = {"name": "one", "command": ["ls"], "stdout": True, **options}
    with pytest.raises(ApiException) as refused:
        stream(one.lab.core.connect_get_namespaced_pod_exec, call.pop("name"), one.name, **call)
    assert why in str(refused.value)


def test_a_program_that_is_not_there_is_an_error(one: Namespace) -> None:
    session: WSClient = stream(
        one.lab.core.connect_get_namespaced_pod_exec, "one", one.name, command=["nosuch"], stdout=True, stderr=True,
        _preload_content=False,
    )  # fmt: skip
    session.run_forever(timeout=SECONDS)
    assert "executable file not found" in session.read_channel(3)


def test_ports_are_sockets(one: Namespace) -> None:
    forwarding = portforward(one.lab.core.connect_get_namespaced_pod_portforward, "one", one.name, ports="80")
    http = forwarding.socket(80)
    http.setblocking(True)
    http.sendall(b"GET / HTTP/1.0\r\nHost: one\r\n\r\n")
    answer = b""
    while part := http.recv(4096):
        answer += part
    assert answer.startswith(b"HTTP/1.1 200 OK") and answer.endswith(b"one\n")
    assert forwarding.error(80) is None


def test_a_port_where_nobody_listens_tells_so(one: Namespace) -> None:
    forwarding = portforward(one.lab.core.connect_get_namespaced_pod_portforward, "one", one.name, ports="81")
    silent = forwarding.socket(81)
    silent.settimeout(SECONDS)
    assert silent.recv(1) == b""
    assert forwarding.error(81).endswith("dial tcp4 127.0.0.1:81: connect: connection refused")


@pytest.fixture
def through_the_api(one: Namespace) -> Iterator[Namespace]:
    """The documentation's trick: connections to `<pod>.<namespace>.kubernetes` are forwarded."""
    create = socket.create_connection

    def connect(address: tuple[str, int], *arguments: object, **options: object) -> object:
        pod_name, _, rest = address[0].partition(".")
        if not rest.endswith(".kubernetes"):
            return create(address, *arguments, **options)  # type: ignore[arg-type]
        forwarding = portforward(
            one.lab.core.connect_get_namespaced_pod_portforward, pod_name, rest.split(".")[0], ports=str(address[1])
        )
        return forwarding.socket(address[1])

    socket.create_connection = connect  # type: ignore[assignment]
    yield one
    socket.create_connection = create


def test_a_library_reaches_a_pod_by_port_forward(through_the_api: Namespace) -> None:
    with urlopen(f"http://one.{through_the_api.name}.kubernetes:80/", timeout=SECONDS) as answer:
        assert answer.read() == b"one\n"
