"""Startup, liveness and readiness probes (pkg/kubelet/prober, pkg/probe).

One deliberate deviation from upstream: until a probe has first succeeded, and only when its initialDelaySeconds
is 0, attempts that fail within a second of the container's start are repeated after 10, 20, 40 ... ms instead
of after periodSeconds, and do not count as failures. A server that needs 50 ms is Ready after about 70, not
after a whole period. (Upstream notices a container about a second after its start, and probes it only then:
here the first attempts would nearly always come too early.)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from labcluster.api.objects import JSON
from labcluster.node.pods import http_request

EAGER_SECONDS = 1.0  # how long after its start a container is probed eagerly
EAGER_FIRST = 0.01  # seconds until the first eager repetition
MAX_OUTPUT = 10 * 1024  # bytes of an exec probe's output that are kept

SUCCESS, FAILURE, UNKNOWN = "success", "failure", "unknown"


@dataclass(frozen=True)
class Outcome:
    """The result of one attempt: SUCCESS, FAILURE or (the probe itself failed) UNKNOWN, and its text."""

    result: str
    text: str = ""


class Command(Protocol):
    """Runs a command in the container: (argv, seconds) -> exit code and output. Raises TimeoutError, OSError."""

    def __call__(self, argv: list[str], seconds: float) -> Awaitable[tuple[int, bytes]]:
        """Run it."""
        ...


@dataclass(frozen=True)
class Target:
    """The container to probe."""

    ip: str
    ports: dict[str, int]  # by name
    run: Command

    def port(self, value: int | str) -> int:
        """A port given as a number or by name. Raises ValueError for a name that is not there."""
        if isinstance(value, int):
            return value
        if value in self.ports:
            return self.ports[value]
        if str(value).isdigit():
            return int(value)
        raise ValueError(f"couldn't find port: {value}")


def named_ports(container: JSON) -> dict[str, int]:
    """The container's ports by name."""
    return {p["name"]: p["containerPort"] for p in container.get("ports") or () if p.get("name")}


def http_request_of(action: JSON, target: Target) -> http_request.Request:
    """The request of an httpGet action (probe or hook)."""
    headers = {h["name"]: h["value"] for h in action.get("httpHeaders") or ()}
    return http_request.Request(
        action.get("host") or target.ip,
        target.port(action["port"]),
        action.get("path") or "/",
        (action.get("scheme") or "HTTP") == "HTTPS",
        headers,
    )


async def attempt(probe: JSON, target: Target) -> Outcome:
    """Probe once, within timeoutSeconds."""
    seconds = probe.get("timeoutSeconds") or 1
    try:
        if probe.get("exec"):
            return await _exec(probe["exec"].get("command") or [], target, seconds)
        if probe.get("httpGet"):
            return await _http(http_request_of(probe["httpGet"], target), seconds)
        if probe.get("tcpSocket"):
            host = probe["tcpSocket"].get("host") or target.ip
            return await _tcp(host, target.port(probe["tcpSocket"]["port"]), seconds)
    except ValueError as error:
        return Outcome(UNKNOWN, str(error))
    return Outcome(UNKNOWN, "the embedded cluster serves the probe actions exec, httpGet and tcpSocket")


async def _exec(command: list[str], target: Target, seconds: float) -> Outcome:
    try:
        code, output = await target.run(command, seconds)
    except TimeoutError:
        text = f'command timed out: "{" ".join(command)}" timed out after {seconds}s'
        return Outcome(FAILURE, text)
    except OSError as error:
        return Outcome(UNKNOWN, f"rpc error: code = Unknown desc = failed to exec in container: {error}")
    text = output[:MAX_OUTPUT].decode(errors="replace")
    return Outcome(SUCCESS if code == 0 else FAILURE, text)


async def _http(request: http_request.Request, seconds: float) -> Outcome:
    try:
        code, body = await asyncio.wait_for(http_request.get(request), seconds)
    except http_request.ConnectError as error:
        return Outcome(FAILURE, f'Get "{request.url}": {error}')
    except TimeoutError:
        why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Outcome(FAILURE, f'Get "{request.url}": {why}')
    if 200 <= code < 400:
        return Outcome(SUCCESS, body.decode(errors="replace"))
    return Outcome(FAILURE, f"HTTP probe failed with statuscode: {code}")


async def _tcp(host: str, port: int, seconds: float) -> Outcome:
    try:
        writer = await asyncio.wait_for(http_request.connect(host, port), seconds)
    except http_request.ConnectError as error:
        return Outcome(FAILURE, str(error))
    except TimeoutError:
        return Outcome(FAILURE, f"dial tcp {host}:{port}: i/o timeout")
    writer.close()
    return Outcome(SUCCESS)


class Prober:
    """One probe of one running container (prober/worker.go). `run` lasts until it is cancelled.

    `kind` is Startup, Liveness or Readiness. `on_result` gets each result that passed its threshold and
    differs from the last one; `on_problem` the text of the event for each failed attempt that counts.
    """

    def __init__(
        self,
        kind: str,
        probe: JSON,
        target: Target,
        on_result: Callable[[bool], None],
        on_problem: Callable[[str], None],
    ) -> None:
        self.kind = kind
        self._probe = probe
        self._target = target
        self._on_result = on_result
        self._on_problem = on_problem

    async def run(self) -> None:
        """Probe until cancelled; a startup probe ends once it has a result, a liveness probe once it failed."""
        delay = self._probe.get("initialDelaySeconds") or 0
        period = self._probe.get("periodSeconds") or 10
        eager_until = time.monotonic() + EAGER_SECONDS if not delay else 0.0
        eager_wait = EAGER_FIRST
        last, runs = UNKNOWN, 0
        current: bool | None = None
        if delay:
            await asyncio.sleep(delay)
        while True:
            began = time.monotonic()
            outcome = await attempt(self._probe, self._target)
            if outcome.result != SUCCESS and time.monotonic() + eager_wait < eager_until:
                await asyncio.sleep(eager_wait)
                eager_wait *= 2
                continue
            self._report(outcome)
            if outcome.result != UNKNOWN:  # an attempt that failed by itself says nothing of the container
                runs = runs + 1 if outcome.result == last else 1
                last = outcome.result
                passed = outcome.result == SUCCESS
                if passed:
                    eager_until = 0.0
                if runs >= self._threshold(passed) and passed != current:
                    current = passed
                    self._on_result(passed)
                    if self.kind == "Startup" or (self.kind == "Liveness" and not passed):
                        return
            await asyncio.sleep(max(began + period - time.monotonic(), 0.0))

    def _threshold(self, passed: bool) -> int:
        return self._probe.get("successThreshold") or 1 if passed else self._probe.get("failureThreshold") or 3

    def _report(self, outcome: Outcome) -> None:
        if outcome.result == FAILURE:
            self._on_problem(f"{self.kind} probe failed: {outcome.text}")
        elif outcome.result == UNKNOWN:
            self._on_problem(f"{self.kind} probe errored and resulted in unknown state: {outcome.text}")
