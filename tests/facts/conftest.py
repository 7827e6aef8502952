"""What the tests of the facts share: the API's port of the running cluster, and a namespace behind it."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from running_lab import SECONDS, RunningLab

from conftest import Namespace
from facts.api_port import JSON, ApiPort, Space, path_of


@pytest.fixture(scope="session")
def api(cluster: RunningLab) -> ApiPort:
    """The API of the running cluster."""
    return ApiPort(cluster)


@pytest.fixture
def space(api: ApiPort, namespace: Namespace) -> Space:
    """The test's namespace, seen through the API's port."""
    return Space(api, namespace.name)


@dataclass(frozen=True)
class Forgetful:
    """A lab of its own that was killed and started again: its history does not reach back to before."""

    api: ApiPort
    revision: int  # a resourceVersion from before
    token: str  # a continue token from before


@pytest.fixture(scope="session")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forgetful]:
    """A lab that has forgotten its past, which the shared one does after some thousands of writes only."""
    lab = RunningLab(tmp_path_factory.mktemp("forgetful") / "state")
    try:
        lab.up()
        api = ApiPort(lab)
        first = api.ok("GET", path_of("configmaps"), limit=1)["metadata"]
        api.ok("POST", path_of("configmaps", "default"), {"metadata": {"name": "later"}})
        daemon = os.pidfd_open(int(lab.status()["pid"]))
        signal.pidfd_send_signal(daemon, signal.SIGKILL)
        assert select.select([daemon], [], [], SECONDS)[0]
        os.close(daemon)
        lab.up()
        yield Forgetful(api, int(first["resourceVersion"]), first["continue"])
    finally:
        lab.down()


@dataclass
class QuietWatch:
    """A watch in which nothing happens, read aside: what came, and after how many seconds."""

    api: ApiPort
    came: list[tuple[float, JSON]] = field(default_factory=list)

    def read(self) -> None:
        """Until the server ends the watch."""
        start = time.monotonic()
        nothing = {"resourceVersion": self.api.ok("GET", "/api/v1/nodes")["metadata"]["resourceVersion"]}
        path = path_of("configmaps", "kube-public")
        for event in self.api.watch(path, timeoutSeconds=65, allowWatchBookmarks="true", **nothing):
            self.came.append((time.monotonic() - start, event))


@pytest.fixture(scope="session")
def quiet_watch(api: ApiPort) -> Iterator[tuple[QuietWatch, threading.Thread]]:
    """A watch of a minute. It begins with the first test of the package, so that the others are done meanwhile."""
    watch = QuietWatch(api)
    thread = threading.Thread(target=watch.read, daemon=True)
    thread.start()
    yield watch, thread


@pytest.fixture(scope="session", autouse=True)
def begin_the_quiet_watch(request: pytest.FixtureRequest) -> None:
    """Begin it early if a test is going to ask for it."""
    if any("quiet_watch" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("quiet_watch")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever waits for the quiet watch comes last."""
    items.sort(key=lambda item: "quiet_watch" in getattr(item, "fixturenames", ()))
