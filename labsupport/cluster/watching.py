"""Watching objects: what is there, then every change. All loops of this kind in labsupport are this one.

It lists, watches from the version of the list, and takes a watch that has ended up again from the version of the last
change, so that the server sends what happened meanwhile. Where that version is too old (410 Gone) it lists again, and
the difference to what was known are the changes. This is what Kubernetes' own informers do (client-go,
tools/cache/reflector.go; kubernetes.io/docs/reference/using-api/api-concepts, "Efficient detection of changes").
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import urllib3
from kubernetes import client
from urllib3.exceptions import HTTPError

from labsupport.cluster import api

Object = dict[str, Any]  # as JSON, with kind and apiVersion
Change = tuple[str, Object]  # ADDED, MODIFIED or DELETED, and the object; a deleted one as it was last seen

PATIENCE = 30.0  # seconds that the server may be away
_WATCH_SECONDS = 300.0  # the longest watch that is asked for
_LAST_SILENCE = 0.2  # seconds without a change after which a watch that was stopped has brought what there was
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between two attempts
_GONE = 410
_AWAY = (429, 500, 502, 503, 504)  # codes of a server, or of a proxy before it, that cannot answer now


class Watch:
    """The objects of one kind, kept up to date. Iterating lists them, and yields what changes, some at a time.

    The first changes are what is there; `objects` has the state behind the changes that were yielded last, by uid. A
    connection that breaks and a server that is away for PATIENCE seconds at most are survived. Whatever else goes
    wrong, and any failure of the first list, is raised: ApiException, urllib3's HTTPError, NotConnected.

    >>> nodes = Watch(api.api_client(), "/api/v1/nodes", timeout=60)
    >>> next(len(nodes.objects) for _ in nodes if len(nodes.objects) >= 3)
    3
    """

    def __init__(
        self,
        connection: client.ApiClient,
        path: str,
        *,
        labels: str = "",
        fields: str = "",
        timeout: float = math.inf,
    ) -> None:
        """Watch what is listed at `path`, of it what the selectors of `labels` and `fields` match.

        Iterating ends after `timeout` seconds, or when `stop` is called. In the end it lists once more, so that what
        has happened until then is not missed.
        """
        self.objects: dict[str, Object] = {}
        self._connection = connection
        self._path = path
        self._selectors = {key: text for key, text in (("labelSelector", labels), ("fieldSelector", fields)) if text}
        self._timeout = timeout
        self._version = ""  # to watch from; "" where only a list can tell
        self._away_since: float | None = None
        self._stopped = threading.Event()
        self._stream: urllib3.BaseHTTPResponse | None = None

    def stop(self) -> None:
        """End the iteration, from any thread. First it brings what has happened until now."""
        self._stopped.set()
        if stream := self._stream:
            with contextlib.suppress(OSError, RuntimeError, ValueError):  # it has just ended by itself
                stream.shutdown()

    def __iter__(self) -> Iterator[list[Change]]:
        deadline = time.monotonic() + self._timeout
        pause = _SHORTEST_PAUSE
        yield self._list()
        while not self._stopped.is_set() and (left := deadline - time.monotonic()) > 0:
            try:
                if not self._version:
                    yield self._list()
                seconds = min(left, _WATCH_SECONDS)
                self._stream = stream = self._open(seconds, silence=seconds + 5)
                if self._stopped.is_set():  # too early for `stop` to know of the stream
                    stream.close()
                    break
                for change in self._read(stream):
                    pause = _SHORTEST_PAUSE
                    yield [change]
            except Exception as error:
                if self._stopped.is_set():  # the connection was taken from it, so it may fail in any way
                    break
                self._survive(error)
            self._stopped.wait(min(pause, left))  # a server may end every watch at once
            pause = min(2 * pause, _LONGEST_PAUSE)
        if self._stopped.is_set() and self._version:
            with contextlib.suppress(api.ApiException, HTTPError, api.NotConnected):  # then the list tells what it can
                for change in self._read(self._open(1, silence=_LAST_SILENCE)):
                    yield [change]
        yield self._list()

    def _survive(self, error: Exception) -> None:
        """Take note of a failure that may pass; raises one that does not, or that lasts."""
        status = error.status if isinstance(error, api.ApiException) else None
        if status == _GONE:
            self._version = ""
            return
        if status not in _AWAY and not isinstance(error, (HTTPError, api.NotConnected)):
            raise error
        self._away_since = self._away_since or time.monotonic()
        if time.monotonic() - self._away_since > PATIENCE:
            raise error

    def _get(self, query: dict[str, str], seconds: float) -> urllib3.BaseHTTPResponse:
        response = api.raw_get(self._connection, self._path, {**self._selectors, **query}, seconds=seconds)
        self._away_since = None
        return response

    def _list(self) -> list[Change]:
        """List, and return what that shows of changes; `objects` and the version are brought up to date."""
        listed = json.loads(self._get({}, 30).data)
        kind = {"apiVersion": listed["apiVersion"], "kind": listed["kind"].removesuffix("List")}
        now = {item["metadata"]["uid"]: {**kind, **item} for item in listed["items"]}
        changes = [("DELETED", obj) for uid, obj in self.objects.items() if uid not in now]
        for uid, obj in now.items():
            known = self.objects.get(uid)
            if known is None or known["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                changes.append(("MODIFIED" if known else "ADDED", obj))
        self.objects = now
        self._version = listed["metadata"]["resourceVersion"]
        return changes

    def _open(self, seconds: float, *, silence: float) -> urllib3.BaseHTTPResponse:
        """A watch from the version on. The server ends it after so many seconds; it breaks after so many of silence."""
        query = {"watch": "true", "resourceVersion": self._version, "timeoutSeconds": str(max(1, round(seconds)))}
        return self._get(query, silence)

    def _read(self, stream: urllib3.BaseHTTPResponse) -> Iterator[Change]:
        """The changes that a watch brings, until it ends."""
        try:
            for line in stream:
                if line.endswith(b"\n"):  # the last one of a broken connection may be a part
                    yield self._take(json.loads(line))
        finally:
            stream.close()

    def _take(self, event: dict[str, Any]) -> Change:
        """Bring `objects` and the version up to date. Raises ApiException for an event that tells of an error."""
        obj = event["object"]
        if event["type"] == "ERROR":
            raise api.ApiException(status=obj.get("code"), reason=obj.get("reason"), body=json.dumps(obj))
        self._version = obj["metadata"]["resourceVersion"]
        if event["type"] == "DELETED":
            self.objects.pop(obj["metadata"]["uid"], None)
        else:
            self.objects[obj["metadata"]["uid"]] = obj
        return event["type"], obj
