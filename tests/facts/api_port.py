"""The API's port as it is, with the administrator's certificate: no client that retries, converts or hides."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import urllib3

from tests.running_lab import SECONDS, RunningLab

JSON = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"

_GROUPS = {
    "statefulsets": "apps/v1",
    "replicasets": "apps/v1",
    "deployments": "apps/v1",
    "controllerrevisions": "apps/v1",
    "endpointslices": "discovery.k8s.io/v1",
    "storageclasses": "storage.k8s.io/v1",
}
_CLUSTER_SCOPED = ("namespaces", "nodes", "persistentvolumes", "storageclasses")


def path_of(plural: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Where a resource is served; without a namespace, that of all namespaces or of a cluster-scoped one."""
    group = _GROUPS.get(plural)
    where = f"namespaces/{namespace}" if namespace and plural not in _CLUSTER_SCOPED else ""
    parts = ("/apis/" + group if group else "/api/v1", where, plural, name, subresource)
    return "/".join(part for part in parts if part)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Any
    body: bytes

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class ApiPort:
    """Requests to the API of one running lab."""

    def __init__(self, lab: RunningLab) -> None:
        pki = lab.state / "pki"
        self.url: str = lab.client.configuration.host
        self.ssl = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self.ssl.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self.pool = urllib3.PoolManager(ssl_context=self.ssl, retries=False, timeout=SECONDS, maxsize=8)

    def __call__(
        self, method: str, path: str, body: Any = None, *, content_type: str = "", accept: str = "", **query: Any
    ) -> Answer:
        """One request; `body` is sent as it is when it is bytes, else as JSON."""
        headers = {"Accept": accept or "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type or "application/json"
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        found = self.pool.request(method, self._url(path, query), body=body, headers=headers)
        return Answer(found.status, found.headers, found.data)

    def ok(self, method: str, path: str, body: Any = None, **options: Any) -> JSON:
        """The body of an answer that has to be a success."""
        answer = self(method, path, body, **options)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.body!r}"
        found: JSON = answer.json()
        return found

    def refused(self, method: str, path: str, body: Any = None, **options: Any) -> JSON:
        """The Status of an answer that has to be a refusal."""
        answer = self(method, path, body, **options)
        assert answer.status >= 400, f"{method} {path} succeeded"
        found: JSON = answer.json()
        assert (found["kind"], found["status"], found["code"]) == ("Status", "Failure", answer.status)
        return found

    def stream(self, path: str, *, accept: str = "", **query: Any) -> urllib3.BaseHTTPResponse:
        """An answer whose lines are read as they come."""
        return self.pool.request(
            "GET",
            self._url(path, query),
            headers={"Accept": accept or "application/json"},
            preload_content=False,
            timeout=urllib3.Timeout(connect=SECONDS, read=3 * SECONDS),
        )

    def watch(self, path: str, *, accept: str = "", **query: Any) -> Iterator[JSON]:
        """The events of a watch until the server ends it; closing the iterator ends the watch."""
        answer = self.stream(path, accept=accept, watch="true", **{"timeoutSeconds": SECONDS, **query})
        assert answer.status == 200, answer.read()
        try:
            for line in answer:
                yield json.loads(line)
        finally:
            answer.close()

    def _url(self, path: str, query: JSON) -> str:
        return self.url + path + ("?" + urlencode(query, doseq=True) if query else "")


@dataclass
class Watched:
    """The objects of a kind in a namespace, kept by a watch, and every event on the way: what happened, in order."""

    stream: Iterator[JSON]
    listed: Callable[[], list[JSON]]  # what there is now, without waiting for the watch
    objects: dict[str, JSON] = field(default_factory=dict)
    events: list[tuple[str, JSON]] = field(default_factory=list)

    def __enter__(self) -> Self:
        for event in self.stream:
            if event["type"] == "BOOKMARK":
                return self
            self._take(event)
        raise AssertionError("the watch ended before it had told what there is")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stream.close()  # type: ignore[attr-defined]

    def until(self, condition: Callable[[dict[str, JSON]], Any]) -> dict[str, JSON]:
        """Read on until the condition holds for the objects by name."""
        if condition(self.objects):
            return self.objects
        for event in self.stream:
            if event["type"] != "BOOKMARK":
                self._take(event)
                if condition(self.objects):
                    return self.objects
        raise AssertionError(f"it did not come to it in {SECONDS} s; the last state: {json.dumps(self.objects)[:3000]}")

    def catch_up(self) -> None:
        """Read on until the watch has told all that has happened by now."""
        now = {obj["metadata"]["name"]: _revision(obj) for obj in self.listed()}
        self.until(
            lambda found: (
                found.keys() == now.keys() and all(_revision(found[name]) >= revision for name, revision in now.items())
            )
        )

    def told(self, *types: str) -> list[str]:
        """The names of the objects of the events of these types, in order."""
        return [obj["metadata"]["name"] for kind, obj in self.events if kind in types]

    def _take(self, event: JSON) -> None:
        kind, obj = event["type"], event["object"]
        assert kind in ("ADDED", "MODIFIED", "DELETED"), event
        self.events.append((kind, obj))
        if kind == "DELETED":
            self.objects.pop(obj["metadata"]["name"], None)
        else:
            self.objects[obj["metadata"]["name"]] = obj


class Space:
    """A namespace of one test, through the API's port."""

    def __init__(self, api: ApiPort, name: str) -> None:
        self.api = api
        self.name = name

    def path(self, plural: str, name: str = "", subresource: str = "") -> str:
        """Where a resource of this namespace is served."""
        return path_of(plural, self.name, name, subresource)

    def create(self, *objects: JSON) -> JSON:
        """Create objects; returns the last one as it is stored."""
        for obj in objects:
            made = self.api.ok("POST", self.path(_plural(obj["kind"])), obj)
        return made

    def get(self, plural: str, name: str) -> JSON:
        """One object."""
        return self.api.ok("GET", self.path(plural, name))

    def list(self, plural: str, **query: Any) -> list[JSON]:
        """Objects, in the order of the server."""
        found: list[JSON] = self.api.ok("GET", self.path(plural), **query)["items"]
        return found

    def names(self, plural: str, **query: Any) -> list[str]:
        """The objects' names."""
        return [obj["metadata"]["name"] for obj in self.list(plural, **query)]

    def patch(self, plural: str, name: str, change: JSON, subresource: str = "", content_type: str = MERGE) -> JSON:
        """Change an object."""
        return self.api.ok("PATCH", self.path(plural, name, subresource), change, content_type=content_type)

    def delete(self, plural: str, name: str, **options: Any) -> JSON:
        """Ask for an object's deletion, with DeleteOptions."""
        return self.api.ok("DELETE", self.path(plural, name), options or None)

    def gone(self, plural: str, name: str, **options: Any) -> None:
        """Delete an object and wait until it is not there any more."""
        with self.watched(plural, fieldSelector=f"metadata.name={name}") as watched:
            self.delete(plural, name, **options)
            watched.until(lambda objects: name not in objects)

    def watched(self, plural: str, **query: Any) -> Watched:
        """The objects of a kind, followed from now on."""
        initial = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
        return Watched(self.api.watch(self.path(plural), **initial, **query), lambda: self.list(plural, **query))

    def until(self, plural: str, condition: Callable[[dict[str, JSON]], Any], **query: Any) -> dict[str, JSON]:
        """Wait until the condition holds for the objects of a kind by name."""
        with self.watched(plural, **query) as watched:
            return watched.until(condition)

    def events(self, name: str) -> list[tuple[str, str]]:
        """Reason and message of the events on an object, oldest first."""
        found = self.list("events", fieldSelector=f"involvedObject.name={name}")
        found.sort(key=lambda e: int(e["metadata"]["resourceVersion"]))
        return [(e["reason"], e["message"]) for e in found]


def _revision(obj: JSON) -> int:
    return int(obj["metadata"]["resourceVersion"])


def _plural(kind: str) -> str:
    return {"Endpoints": "endpoints", "StorageClass": "storageclasses"}.get(kind, kind.lower() + "s")
