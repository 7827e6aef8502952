"""Probes: single attempts over real sockets, and thresholds."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from labcluster.node.pods import probes
from labcluster.node.pods.probes import FAILURE, SUCCESS, UNKNOWN, Outcome, Prober, Target, attempt


async def no_command(argv: list[str], seconds: float) -> tuple[int, bytes]:
    raise OSError("no commands here")


@pytest.fixture
async def server() -> AsyncIterator[tuple[int, list[str]]]:
    """A web server that answers /health with 200, /moved with 302 and the rest with 503; and what it was asked."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head)
        code = {"/health": 200, "/moved": 302}.get(head.split()[1], 503)
        if "/slow" in head:
            await asyncio.sleep(30)
        writer.write(f"HTTP/1.1 {code} X\r\nContent-Length: 2\r\n\r\nok".encode())
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1], asked
    listener.close()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def test_http_codes_from_200_to_399_pass(server: tuple[int, list[str]]) -> None:
    port, asked = server
    target = Target("127.0.0.1", {"web": port}, no_command)
    headers = [{"name": "X-Probe", "value": "1"}]
    for path in ("/health", "/moved"):
        found = await attempt({"httpGet": {"path": path, "port": "web", "httpHeaders": headers}}, target)
        assert found.result == SUCCESS
    assert "User-Agent: kube-probe/1.36" in asked[0] and "X-Probe: 1" in asked[0]


async def test_http_failures_have_upstreams_texts(server: tuple[int, list[str]]) -> None:
    port, _ = server
    target = Target("127.0.0.1", {}, no_command)
    found = await attempt({"httpGet": {"path": "/x", "port": port}}, target)
    assert found == Outcome(FAILURE, "HTTP probe failed with statuscode: 503")
    closed = free_port()
    found = await attempt({"httpGet": {"path": "/x", "port": closed}}, target)
    refused = f'Get "http://127.0.0.1:{closed}/x": dial tcp 127.0.0.1:{closed}: connect: connection refused'
    assert found == Outcome(FAILURE, refused)
    found = await attempt({"httpGet": {"path": "/slow", "port": port}, "timeoutSeconds": 1}, target)
    late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    assert found == Outcome(FAILURE, f'Get "http://127.0.0.1:{port}/slow": {late}')


async def test_tcp_sees_whether_a_port_is_open(server: tuple[int, list[str]]) -> None:
    port, _ = server
    target = Target("127.0.0.1", {}, no_command)
    assert (await attempt({"tcpSocket": {"port": port}}, target)).result == SUCCESS
    closed = free_port()
    found = await attempt({"tcpSocket": {"port": closed}}, target)
    assert found == Outcome(FAILURE, f"dial tcp 127.0.0.1:{closed}: connect: connection refused")


async def test_exec_goes_by_the_exit_code() -> None:
    async def command(argv: list[str], seconds: float) -> tuple[int, bytes]:
        if argv == ["slow"]:
            raise TimeoutError
        return (0, b"PONG") if argv == ["ping"] else (1, b"no")

    target = Target("127.0.0.1", {}, command)
    assert await attempt({"exec": {"command": ["ping"]}}, target) == Outcome(SUCCESS, "PONG")
    assert await attempt({"exec": {"command": ["x"]}}, target) == Outcome(FAILURE, "no")
    late = 'command timed out: "slow" timed out after 1s'
    assert await attempt({"exec": {"command": ["slow"]}}, target) == Outcome(FAILURE, late)


async def test_a_port_without_that_name_says_nothing_of_the_container() -> None:
    found = await attempt({"tcpSocket": {"port": "nosuch"}}, Target("127.0.0.1", {}, no_command))
    assert found == Outcome(UNKNOWN, "couldn't find port: nosuch")


class Script:
    """Runs a prober against prepared outcomes, without waiting for real."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, outcomes: str) -> None:
        self.results: list[bool] = []
        self.problems: list[str] = []
        self.waits: list[float] = []
        left = list(outcomes)
        clock = 0.0

        async def next_outcome(probe: object, target: object) -> Outcome:
            if not left:
                raise asyncio.CancelledError
            return {"+": Outcome(SUCCESS), "-": Outcome(FAILURE, "no"), "?": Outcome(UNKNOWN, "odd")}[left.pop(0)]

        async def sleep(seconds: float) -> None:
            nonlocal clock
            clock += seconds
            self.waits.append(round(seconds, 3))

        monkeypatch.setattr(probes, "attempt", next_outcome)
        monkeypatch.setattr(probes.asyncio, "sleep", sleep)
        monkeypatch.setattr(probes.time, "monotonic", lambda: clock)

    async def run(self, kind: str, **probe: int) -> Script:
        target = Target("127.0.0.1", {}, no_command)
        prober = Prober(kind, {"periodSeconds": 5, **probe}, target, self.results.append, self.problems.append)
        with contextlib.suppress(asyncio.CancelledError):
            await prober.run()
        return self


async def test_failures_count_up_to_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    done = await Script(monkeypatch, "+--+---").run("Readiness", failureThreshold=3)
    assert done.results == [True, False]
    assert done.problems == ["Readiness probe failed: no"] * 5


async def test_successes_count_up_to_their_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    done = await Script(monkeypatch, "+-++").run("Readiness", successThreshold=2, initialDelaySeconds=1)
    assert done.results == [True]


async def test_an_attempt_that_failed_by_itself_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    done = await Script(monkeypatch, "+??-?-").run("Readiness", failureThreshold=2)
    assert done.results == [True, False]
    assert "Readiness probe errored and resulted in unknown state: odd" in done.problems


async def test_early_failures_are_repeated_at_once_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    done = await Script(monkeypatch, "---+").run("Readiness", failureThreshold=1)
    assert done.waits[:3] == [0.01, 0.02, 0.04]
    assert done.results == [True] and done.problems == []


async def test_with_an_initial_delay_every_failure_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    done = await Script(monkeypatch, "-+").run("Readiness", failureThreshold=1, initialDelaySeconds=2)
    assert done.waits == [2, 5, 5]
    assert done.results == [False, True]


async def test_after_the_first_moments_failures_count_by_the_period(monkeypatch: pytest.MonkeyPatch) -> None:
    done = await Script(monkeypatch, "-" * 10).run("Readiness", failureThreshold=2)
    assert sum(w for w in done.waits if w < 5) < 1
    assert done.waits.count(5) >= 2 and done.results == [False]


async def test_a_startup_probe_ends_with_its_first_result(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await Script(monkeypatch, "+++").run("Startup")).results == [True]


async def test_a_failed_liveness_probe_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await Script(monkeypatch, "+-+").run("Liveness", failureThreshold=1)).results == [True, False]
