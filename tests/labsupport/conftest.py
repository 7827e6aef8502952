"""A lab in this process, and a chapter in it that has begun."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.labsupport.in_process_lab import InProcessLab

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def in_process_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessLab]:
    """An API server in this process that the tests share: keep to your own namespace."""
    from tests.labsupport.in_process_lab import InProcessLab

    with InProcessLab(tmp_path_factory.mktemp("in-process-lab")).up() as lab:
        yield lab


@pytest.fixture
def lab(in_process_lab: InProcessLab, monkeypatch: pytest.MonkeyPatch) -> InProcessLab:
    """That lab, as the one that labsupport talks to."""
    monkeypatch.setenv("LAB_STATE", str(in_process_lab.state))
    return in_process_lab


@pytest.fixture
def chapter(lab: InProcessLab) -> Iterator[str]:
    """A chapter that has begun: the name of its namespace."""
    from labcluster.api.resources import NAMESPACES
    from labsupport.cluster import scope

    name = f"chapter-{next(_numbers):03}"
    lab.create(NAMESPACES, {"metadata": {"name": name}})
    scope.enter(name)
    yield name
    scope.enter(None)
