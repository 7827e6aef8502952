"""A server that can be made to fail, behind labsupport's client."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from labsupport.cluster import api, scope, watching
from tests.labsupport.cluster.fake_api import FakeApi


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """A fake API server, the cluster of the chapter-01 that has begun; every word is a resource of its objects."""
    fake = FakeApi()
    connection = fake.connection()

    def resource(word: str) -> SimpleNamespace:
        path = f"/api/v1/namespaces/chapter-01/{word}"
        return SimpleNamespace(kind=fake.kind, namespaced=True, path=lambda namespace: path)

    monkeypatch.setattr(api, "api_client", lambda: connection)
    monkeypatch.setattr(api, "resource", resource)
    monkeypatch.setattr(scope, "namespace", lambda: "chapter-01")
    monkeypatch.setattr(watching, "_SHORTEST_PAUSE", 0.001)
    yield fake
    fake.go_away()
