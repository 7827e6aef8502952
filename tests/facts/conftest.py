"""What the tests of the facts share: the API's port of the running cluster, and a namespace behind it."""

from __future__ import annotations

import json
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tests.facts.api_port import JSON, ApiPort, Space, path_of
from tests.manifests import pod, shell
from tests.running_lab import SECONDS, Namespace, RunningLab


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
        lab.keep_ports()
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
class Aside:
    """A watch that is read aside while other tests run: what came, and after how many seconds."""

    events: Iterator[JSON]
    enough: Callable[[list[JSON]], bool]
    came: list[JSON] = field(default_factory=list)
    seconds: float = 0.0  # until it was enough

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        start = time.monotonic()
        for event in self.events:
            self.came.append(event)
            if self.enough(self.came):
                break
        self.seconds = time.monotonic() - start

    def wait(self) -> list[JSON]:
        """The events, once they are enough or the watch has ended."""
        self._thread.join(3 * SECONDS)
        return self.came


@pytest.fixture(scope="session")
def quiet_watch(api: ApiPort) -> Aside:
    """A watch with bookmarks in which nothing happens, until its first event."""
    path = path_of("configmaps", "kube-public")
    now = api.ok("GET", path)["metadata"]["resourceVersion"]
    watching = api.watch(path, timeoutSeconds=80, allowWatchBookmarks="true", resourceVersion=now)
    return Aside(watching, lambda came: bool(came))


@pytest.fixture(scope="session")
def crash_loop(api: ApiPort) -> Iterator[Aside]:
    """A pod whose container fails as soon as it is started, watched through its first three delays."""
    space = Space(api, "test-crash-loop")
    api.ok("POST", path_of("namespaces"), {"metadata": {"name": space.name}})
    watching = api.watch(space.path("pods"), timeoutSeconds=80)
    space.create(pod("one", shell("exit 1")))
    yield Aside(watching, lambda came: "back-off 40s" in json.dumps(came[-1]))
    api.ok("DELETE", path_of("namespaces", name=space.name))


SLOW = {"quiet_watch", "crash_loop"}


@pytest.fixture(scope="session", autouse=True)
def begin_early(request: pytest.FixtureRequest) -> None:
    """Begin what takes its time with the first test, if a test is going to ask for it."""
    asked = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    for name in sorted(SLOW & asked):
        request.getfixturevalue(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever waits for it comes last."""
    items.sort(key=lambda item: bool(SLOW & set(getattr(item, "fixturenames", ()))))
