"""One running instance of a container: its probes, its lifecycle hooks, its stop (kuberuntime_container.go)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any

from labcluster.api.objects import JSON
from labcluster.node.containers.container import Container
from labcluster.node.images.pull import RecordEvent
from labcluster.node.pods import http_request
from labcluster.node.pods.probes import Prober, Target, http_request_of, named_ports
from labcluster.node.spec import ExitStatus

MIN_GRACE = 2.0  # seconds between TERM and KILL that a container gets even after a long preStop hook
QUICK_SECONDS = 0.3  # until a container with stdin is reported as running; by then many a command has ended
PROBES = {"Startup": "startupProbe", "Liveness": "livenessProbe", "Readiness": "readinessProbe"}


class HookError(Exception):
    """A postStart or preStop hook failed."""


async def run_command(container: Container, argv: list[str], seconds: float | None) -> tuple[int, bytes]:
    """Run a command in the container: its exit code and output. Raises TimeoutError, and OSError when it cannot."""
    try:
        session = await container.exec(argv)
    except OSError:
        raise
    except Exception as error:  # the container has just ended, or there is no such program
        raise OSError(str(error)) from error
    output = b""
    ended = False
    try:
        async with asyncio.timeout(seconds):
            async for _, data in session.output():
                output += data
            code = await session.wait()
        ended = True
        return code, output
    finally:
        if not ended:
            await session.close()


class ContainerInstance:
    """A started container. `on_exit` is called once with how it ended, after its probes have stopped."""

    def __init__(
        self,
        spec: JSON,
        container: Container,
        ip: str,
        event: RecordEvent,
        on_result: Callable[[str, bool], None],
        on_exit: Callable[[ExitStatus], None],
    ) -> None:
        self.spec = spec
        self.container = container
        self._event = event
        self._on_result = on_result
        self._on_exit = on_exit
        self._target = Target(ip, named_ports(spec), self._probe_command)
        self._probers: dict[str, asyncio.Task[None]] = {}
        self._exited = asyncio.Event()
        self._deadline = float("inf")
        self._deadline_changed = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None
        self._watcher = asyncio.create_task(self._watch(), name=f"container {spec['name']}")

    @property
    def exited(self) -> bool:
        """Whether it has ended."""
        return self._exited.is_set()

    @property
    def stopping(self) -> bool:
        """Whether it has been asked to stop."""
        return self._stopping is not None

    def probe(self, kind: str) -> None:
        """Start the Startup, Liveness or Readiness probe, if the container has one and it is not running yet."""
        probe = self.spec.get(PROBES[kind])
        if not probe or kind in self._probers or self.exited:
            return
        prober = Prober(
            kind,
            probe,
            self._target,
            lambda passed: self._on_result(kind, passed),
            lambda text: self._event("Warning", "Unhealthy", text),
        )
        self._probers[kind] = asyncio.create_task(prober.run(), name=f"{kind} probe of {self.spec['name']}")

    def stop_probes(self, *kinds: str) -> None:
        """End the probes of these kinds."""
        for kind in kinds:
            task = self._probers.get(kind)
            if task is not None:
                task.cancel()

    async def post_start(self) -> None:
        """Run the postStart hook. Raises HookError."""
        hook = (self.spec.get("lifecycle") or {}).get("postStart")
        if hook:
            await self._unless_exited(self._hook(hook))

    def stop(self, message: str, seconds: float) -> None:
        """Begin to stop it: preStop hook, TERM, and KILL after `seconds`. Called again, it can only shorten that."""
        deadline = time.monotonic() + seconds
        if deadline < self._deadline:
            self._deadline = deadline
            self._deadline_changed.set()
        if self._stopping is None and not self.exited:
            if message:
                self._event("Normal", "Killing", message)
            self._stopping = asyncio.create_task(self._stop(seconds), name=f"stop {self.spec['name']}")

    def kill(self) -> None:
        """Kill it at once."""
        if not self.exited:
            self.container.signal(signal.SIGKILL)

    async def wait(self) -> None:
        """Wait until it has ended and on_exit was called."""
        await self._exited.wait()

    async def wait_if_quick(self) -> None:
        """Wait a moment for the end of a quick command: `kubectl run -i` reads the log of a container that has ended,
        and attaches to one that is reported as running, which fails if it has ended by then. A kubelet relists its
        containers once a second (PLEG), with the same effect."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait(), QUICK_SECONDS)

    async def _watch(self) -> None:
        status = await self.container.wait()
        for task in self._probers.values():
            task.cancel()
        self._exited.set()
        self._deadline_changed.set()
        self._on_exit(status)

    async def _stop(self, seconds: float) -> None:
        hook = (self.spec.get("lifecycle") or {}).get("preStop")
        if hook and seconds > 0:
            if not await self._until_deadline(self._hook(hook)):
                self._event("Warning", "FailedPreStopHook", "PreStopHook failed")
            self._deadline = max(self._deadline, time.monotonic() + MIN_GRACE)
        if self._deadline > time.monotonic():
            name = (self.spec.get("lifecycle") or {}).get("stopSignal") or "SIGTERM"
            self.container.signal(getattr(signal, name, signal.SIGTERM))
        if not await self._until_deadline(self._exited.wait()):
            self.kill()

    async def _until_deadline(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Do the work, until the deadline (which may move nearer) or the container's end; False if it failed."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done() and not self.exited:
                self._deadline_changed.clear()
                left = self._deadline - time.monotonic()
                if left <= 0:
                    return False
                moved = asyncio.ensure_future(self._deadline_changed.wait())
                await asyncio.wait({task, moved}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                moved.cancel()
            return self.exited or (task.done() and task.exception() is None)
        finally:
            task.cancel()

    async def _unless_exited(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do the work, but no longer than the container runs. Raises HookError."""
        task, exited = asyncio.ensure_future(work), asyncio.ensure_future(self._exited.wait())
        try:
            await asyncio.wait({task, exited}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise HookError("the container has ended")
            task.result()
        finally:
            task.cancel()
            exited.cancel()

    async def _hook(self, action: JSON) -> None:
        if action.get("sleep"):
            await asyncio.sleep(action["sleep"].get("seconds") or 0)
        elif action.get("exec"):
            command = action["exec"].get("command") or []
            try:
                code, output = await run_command(self.container, command, None)
            except OSError as error:
                raise HookError(str(error)) from error
            if code != 0:
                text = output.decode(errors="replace").strip()
                raise HookError(f"command {' '.join(command)!r} exited with {code}: {text}")
        elif action.get("httpGet"):
            try:
                code, _ = await http_request.get(http_request_of(action["httpGet"], self._target))
            except (http_request.ConnectError, ValueError) as error:
                raise HookError(str(error)) from error
            if code >= 400:
                raise HookError(f"HTTP hook failed with statuscode: {code}")
        else:
            raise HookError("the embedded cluster serves the hook actions exec, httpGet and sleep")

    def _probe_command(self, argv: list[str], seconds: float) -> Coroutine[Any, Any, tuple[int, bytes]]:
        return run_command(self.container, argv, seconds)
