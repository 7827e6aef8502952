"""What all tests may use: one running lab for the whole session, and a namespace of one's own in it."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests import system_programs

if TYPE_CHECKING:
    from tests.kind.kind_machine import Machine
    from tests.labcluster.http_server import ApiServer, Client
    from tests.running_lab import Namespace, RunningLab

_numbers = itertools.count(1)
system_programs.record()

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture(scope="session", autouse=True)
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the system is used but the programs that are expected; their names go to the file SYSTEM_PROGRAMS."""
    yield
    used = system_programs.outside(tmp_path_factory.getbasetemp())
    if file := os.environ.get("SYSTEM_PROGRAMS"):
        with open(file, "a") as names:
            names.writelines(f"{name}\n" for name in used)
    assert used <= system_programs.NEEDED | system_programs.OPTIONAL


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A running embedded lab that the tests share. What it holds belongs to the tests: keep to your own namespace."""
    from tests.running_lab import RunningLab

    lab = RunningLab(tmp_path_factory.mktemp("lab") / "state")
    try:
        started = lab.lab("up")
        if started.returncode:
            pytest.fail(f"the lab of the tests did not start: {started.stderr.strip()}", pytrace=False)
        yield lab
    finally:
        lab.down()


@pytest.fixture
def namespace(cluster: RunningLab) -> Iterator[Namespace]:
    """A fresh namespace of the shared cluster; it goes away, with its pods, behind the test."""
    from tests.running_lab import Namespace

    mine = Namespace(cluster, f"test-{next(_numbers)}")
    cluster.core.create_namespace({"metadata": {"name": mine.name}})
    yield mine
    cluster.core.delete_namespace(mine.name)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine with stand-ins for kind and docker on its PATH, and nothing else."""
    from tests.kind.kind_machine import prepared

    yield from prepared(tmp_path, monkeypatch)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    """An API server in this process, with a fake node behind it."""
    from tests.labcluster.http_server import running

    async with running(tmp_path) as server:
        yield server


@pytest.fixture
def call(api: ApiServer) -> Client:
    """Requests to that server."""
    return api.client
