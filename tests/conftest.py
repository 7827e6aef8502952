"""What all tests may use: one running lab for the whole session, and a namespace of one's own in it."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from http_server import ApiServer, Client
    from kind_machine import Machine
    from running_lab import RunningLab

_numbers = itertools.count(1)

# A shell has its background jobs ignore Ctrl-C, and their children inherit that; some tests send it to a command.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A running embedded lab that the tests share. What it holds belongs to the tests: keep to your own namespace."""
    from running_lab import RunningLab

    lab = RunningLab(tmp_path_factory.mktemp("lab") / "state")
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


@dataclass(frozen=True)
class Namespace:
    """A namespace of one test."""

    lab: RunningLab
    name: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """The output of a kubectl command in this namespace that has to succeed."""
        return self.lab.kubectl("-n", self.name, *arguments, stdin=stdin)

    def refused(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl says on its standard error when a command in this namespace fails, as it has to."""
        done = self.lab.run_kubectl("-n", self.name, *arguments, stdin=stdin)
        assert done.returncode != 0, f"{arguments} succeeded: {done.stdout}"
        return done.stderr

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply manifests."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(items))

    def get(self, reference: str) -> dict[str, Any]:
        """One object (`pod/web-0`), or the list of a kind (`pods`)."""
        found: dict[str, Any] = json.loads(self.kubectl("get", reference, "-o", "json"))
        return found

    def wait(self, reference: str, condition: str, *options: str, seconds: int = 30) -> None:
        """`kubectl wait` for `condition=Ready`, `jsonpath=...=...`, `delete`, ..."""
        self.kubectl("wait", reference, f"--for={condition}", f"--timeout={seconds}s", *options)

    def sh(self, pod: str, script: str) -> str:
        """What a shell script prints in a pod."""
        return self.kubectl("exec", pod, "--", "sh", "-c", script)


@pytest.fixture
def namespace(cluster: RunningLab) -> Iterator[Namespace]:
    """A fresh namespace of the shared cluster; it goes away, with its pods, behind the test."""
    mine = Namespace(cluster, f"test-{next(_numbers)}")
    cluster.core.create_namespace({"metadata": {"name": mine.name}})
    yield mine
    cluster.core.delete_namespace(mine.name)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine with stand-ins for kind and docker on its PATH, and nothing else."""
    from kind_machine import prepared

    yield from prepared(tmp_path, monkeypatch)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    """An API server in this process, with a fake node behind it."""
    from http_server import running

    async with running(tmp_path) as server:
        yield server


@pytest.fixture
def call(api: ApiServer) -> Client:
    """Requests to that server."""
    return api.client
