"""An API server in this process for the tests of labcluster.http: real TLS, a fake node."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp

from labcluster.api.errors import bad_request
from labcluster.api.objects import JSON
from labcluster.api.pod_runtime import STDERR, STDOUT, LogOptions
from labcluster.api.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS
from labcluster.auth.pki import Pki
from labcluster.auth.rbac import reconciliation
from labcluster.http.app import SERVICES, create_app
from labcluster.http.server import Server, serve
from labcluster.storage.registry import Registry
from labcluster.storage.store import Store
from tests.running_lab import BIN, kubectl_environment

SECONDS = 20.0  # the longest that a test waits for anything


class FakeSession:
    """A program that knows `cat`, `exit N`, `both`, `sleep`, `fail` and `deaf`, which reads nothing."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.closed = asyncio.Event()
        self.blocked = asyncio.Event()
        self.size: tuple[int, int] | None = None
        self._stdin: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def write_stdin(self, data: bytes) -> None:
        if self.command[0] == "deaf":
            self.blocked.set()
            await asyncio.Event().wait()
        await self._stdin.put(data)

    async def close_stdin(self) -> None:
        await self._stdin.put(None)

    def resize(self, columns: int, rows: int) -> None:
        self.size = (columns, rows)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        if self.command[0] == "cat":
            while (data := await self._stdin.get()) is not None:
                yield STDOUT, data
        elif self.command[0] == "both":
            yield STDOUT, b"to stdout\n"
            yield STDERR, b"to stderr\n"
        elif self.command[0] == "fail":
            raise ZeroDivisionError("by hand")
        elif self.command[0] in ("sleep", "deaf"):
            yield STDOUT, b"asleep\n"
            await self.closed.wait()

    async def wait(self) -> int:
        return int(self.command[1]) if self.command[0] == "exit" else 0

    async def close(self) -> None:
        self.closed.set()


class FakeRuntime:
    """A node whose containers log three lines, and do what a program called as they are does."""

    def __init__(self) -> None:
        self.sessions: list[FakeSession] = []
        self.asked: list[LogOptions] = []
        self.attached: list[tuple[str, bool, bool]] = []  # container, whether with stdin, whether with stderr
        self.log_ended = asyncio.Event()
        self.listening: dict[int, int] = {}  # port of a pod -> port on 127.0.0.1 that stands for it

    async def dial(self, pod: JSON, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if port not in self.listening:
            raise ConnectionRefusedError(f"nobody listens on {port}")
        return await asyncio.open_connection("127.0.0.1", self.listening[port])

    async def logs(self, pod: JSON, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append(options)
        if container == "broken":
            raise bad_request("this log cannot be read")
        lines = [f"{container} {n}\n".encode() for n in range(3)]
        try:
            if container == "tearing":
                yield b"a line\n"
                raise ZeroDivisionError("torn")
            for line in lines[-options.tail_lines :] if options.tail_lines else lines:
                yield line
            if options.follow:
                await asyncio.Event().wait()
        finally:
            self.log_ended.set()

    async def exec(self, pod: JSON, container: str, command: list[str], *, stdin: bool, tty: bool) -> FakeSession:
        if command[0] == "nothing":
            raise bad_request(f"no program called nothing in {container}")
        session = FakeSession(command)
        self.sessions.append(session)
        return session

    async def attach(self, pod: JSON, container: str, *, stdin: bool, stderr: bool) -> FakeSession:
        if container == "gone":
            raise bad_request(f"container {container} not found in pod {pod['metadata']['name']}_default")
        self.attached.append((container, stdin, stderr))
        return await self.exec(pod, container, [container], stdin=stdin, tty=False)


class Client:
    """Requests to the server as the administrator, or as nobody with `anonymous`."""

    def __init__(self, url: str, session: aiohttp.ClientSession, anonymous: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session
        self.anonymous = anonymous

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """The code and the body, decoded when it is JSON."""
        code, _, content = await self.full(method, path, body, **options)
        return code, content

    async def full(
        self, method: str, path: str, body: Any = None, *, anonymous: bool = False, **options: Any
    ) -> tuple[int, Any, Any]:
        """The code, the headers and the body."""
        session = self.anonymous if anonymous else self.session
        if isinstance(body, (dict, list)):
            headers = {"Content-Type": "application/json", **options.pop("headers", {})}
            options |= {"data": json.dumps(body), "headers": headers}
        elif body is not None:
            options["data"] = body
        async with session.request(method, self.url + path, **options) as response:
            content: Any = await response.read()
            with contextlib.suppress(ValueError):
                content = json.loads(content)
            return response.status, response.headers, content

    @contextlib.asynccontextmanager
    async def watch(self, path: str, **options: Any) -> AsyncIterator[Callable[[], Any]]:
        """A watch; the function given waits for its next event, None at the end of the stream."""
        async with self.session.get(self.url + path, **options) as response:
            assert response.status == 200, await response.text()

            async def following() -> Any:
                async with asyncio.timeout(SECONDS):
                    line = await response.content.readline()
                return json.loads(line) if line else None

            yield following


class ApiServer:
    """What a test needs of the running server."""

    def __init__(self, registry: Registry, runtime: FakeRuntime, pki: Pki, port: int, directory: Path) -> None:
        self.registry = registry
        self.runtime = runtime
        self.pki = pki
        self.url = f"https://127.0.0.1:{port}"
        self.ready = True
        self.running = {"controller-manager": True, "scheduler": True}
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(pki.kubeconfig(self.url, "lab")))
        self._cache = directory / "kubectl-cache"
        self.client: Client
        self.server: Server
        self.services: Any = None

    async def kubectl(self, *arguments: str, stdin: str | bytes = b"") -> tuple[int, str, str]:
        """Run kubectl: its exit code, output and errors."""
        process = await self.start_kubectl(*arguments)
        data = stdin.encode() if isinstance(stdin, str) else stdin
        async with asyncio.timeout(2 * SECONDS):
            out, err = await process.communicate(data)
        return process.returncode or 0, out.decode(), err.decode()

    async def start_kubectl(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start kubectl."""
        pipe = asyncio.subprocess.PIPE
        environment = kubectl_environment(self.kubeconfig, self._cache)
        return await asyncio.create_subprocess_exec(
            str(BIN / "kubectl"), *arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )


@contextlib.asynccontextmanager
async def running(directory: Path) -> AsyncIterator[ApiServer]:
    """A server whose store has the default roles, the namespace default and its service account."""
    registry, runtime, pki = Registry(Store(":memory:")), FakeRuntime(), Pki(directory / "pki")
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    reconciliation.reconcile(registry)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    api = ApiServer(registry, runtime, pki, listener.getsockname()[1], directory)
    components = {name: functools.partial(api.running.__getitem__, name) for name in api.running}
    app = create_app(registry, runtime, pki, is_ready=lambda: api.ready, components=components)
    api.services = app[SERVICES]
    api.server = server = await serve(app, [listener], pki.ssl_context())
    authority = pki.directory / "ca.crt"
    with_certificate = ssl.create_default_context(cafile=str(authority))
    with_certificate.load_cert_chain(pki.directory / "admin.crt", pki.directory / "admin.key")
    nobody = ssl.create_default_context(cafile=str(authority))
    timeout = aiohttp.ClientTimeout(total=3 * SECONDS)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=with_certificate), timeout=timeout) as session,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=nobody), timeout=timeout) as anonymous,
        ):
            api.client = Client(api.url, session, anonymous)
            yield api
    finally:
        await server.stop()


def config_map(name: str, namespace: str = "default", **metadata: Any) -> JSON:
    """A ConfigMap with some metadata."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": {"a": "1"},
    }


def pod(name: str, *containers: str, node: str = "lab-worker", **metadata: Any) -> JSON:
    """A pod whose containers run on a node."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", **metadata},
        "spec": {
            "nodeName": node,
            "containers": [{"name": c, "image": "valkey/valkey:8"} for c in containers or ("main",)],
        },
    }


def run_pod(registry: Registry, manifest: JSON) -> JSON:
    """Create a pod and mark its containers as running."""
    made = registry.create(PODS, manifest)

    def start(obj: JSON) -> None:
        obj["status"] = {
            **obj.get("status", {}),
            "phase": "Running",
            "containerStatuses": [
                {
                    "name": c["name"],
                    "image": c["image"],
                    "imageID": "",
                    "ready": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                }
                for c in obj["spec"]["containers"]
            ],
        }

    metadata = made["metadata"]
    return registry.modify(PODS, metadata["namespace"], metadata["name"], start, subresource="status")
