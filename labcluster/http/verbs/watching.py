"""Watches: a stream of JSON lines, one for each change (upstream: apiserver pkg/endpoints/handlers/watch.go).

The registry calls back inside the write; the change waits in a queue of the watch until the stream takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
from aiohttp import web

from labcluster.api.errors import ApiError, too_large_resource_version
from labcluster.api.objects import JSON, namespace_of
from labcluster.http.call import Call
from labcluster.http.messages import negotiation, representation
from labcluster.http.messages.negotiation import Form, negotiate
from labcluster.http.messages.options import ListOptions
from labcluster.http.messages.responses import JSON_TYPE, deprecations, headers, internal_error
from labcluster.http.messages.selection import Matcher, matcher
from labcluster.http.verbs.reading import namespace
from labcluster.kinds.served_kinds import in_version
from labcluster.storage.registry import Change

BOOKMARK_SECONDS = 60.0
SHORTEST_SECONDS = 1800  # a watch without timeoutSeconds lasts this to twice as long (minRequestTimeout)
MOST_WAITING = 10_000  # changes; a client that is further behind is cut off
INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}

log = logging.getLogger(__name__)

_CACHED_LINES = 512
_BATCH = 256  # lines that are written at once


class Line:
    """Encodes events as lines; the usual form is encoded once for all watchers."""

    def __init__(self, call: Call, form: Form, include: str) -> None:
        self._kind = call.kind
        self._resource = call.resource
        self._cache = call.services.event_lines
        self._served = call.registry.served.generation  # another one may show the same revision with other defaults
        self._form = form
        self._include = include
        self._columns_sent = False

    def of(self, kind: str, obj: JSON, revision: int = 0) -> bytes:
        """The line of one event. With a `revision`, the object must be the state at that revision."""
        obj = in_version(self._resource, obj)
        if self._form.shown_as or not revision:
            return _encode(kind, self._shown(obj))
        key = (revision, kind, self._resource.version, self._served)
        line = self._cache.get(key)
        if line is None:
            line = self._cache[key] = _encode(kind, obj)
            if len(self._cache) > _CACHED_LINES:
                self._cache.popitem(last=False)
        return line

    def bookmark(self, revision: int, annotations: JSON | None = None) -> bytes:
        """A BOOKMARK: only the revision, so that the client can resume there."""
        metadata: JSON = {"resourceVersion": str(revision)}
        if annotations:
            metadata["annotations"] = annotations
        resource = self._kind.resource
        obj: JSON = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self._form.shown_as == negotiation.TABLE:
            shown = representation.table([], self._kind, {"resourceVersion": str(revision)}, self._form, "None")
            cells = ["" for _ in self._kind.columns]
            shown["rows"] = [{"cells": cells, "object": representation.partial(obj, self._form)}]
            return _encode("BOOKMARK", shown)
        if self._form.shown_as == negotiation.PARTIAL:
            obj = representation.partial(obj, self._form)
        return _encode("BOOKMARK", obj)

    def _shown(self, obj: JSON) -> JSON:
        if self._form.shown_as == negotiation.TABLE:
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            with_columns, self._columns_sent = not self._columns_sent, True
            return representation.table(
                [obj], self._kind, metadata, self._form, self._include, with_columns=with_columns
            )
        return representation.show(obj, self._kind, self._form, self._include)


def _encode(kind: str, obj: JSON) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), orjson.dumps(obj))


class Queue:
    """The changes that a watch has not sent yet."""

    def __init__(self, where: str, abort: Callable[[], None]) -> None:
        self.changes: deque[Change] = deque()
        self.closed = False
        self._where = where
        self._abort = abort
        self._waiter: asyncio.Future[None] | None = None

    def put(self, change: Change) -> None:
        """Take a change of the watched namespace; called inside the write."""
        if self._where and namespace_of(change.object) != self._where:
            return
        if len(self.changes) >= MOST_WAITING:
            self.changes.clear()
            self.close()
            self._abort()
            return
        self.changes.append(change)
        self._wake()

    def close(self) -> None:
        """End the watch; what waits is still sent."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, until: float) -> None:
        """Return when there is something to send, or the watch is closed, or at that time of the loop."""
        if self.changes or self.closed:
            return
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_at(until, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None


async def watch(call: Call) -> web.StreamResponse:
    """Stream changes until the client leaves, the time is up or the server stops."""
    query = call.request.query
    options = ListOptions.parse(query, watching=True)
    form = negotiate(call.request.headers.get("Accept", ""))
    if form.shown_as == negotiation.PARTIAL_LIST:
        form = Form(form.media_type, negotiation.PARTIAL, form.version)
    if form.is_yaml:
        form = Form()
    line = Line(call, form, representation.include_object_of(query.get("includeObject")))
    selected = matcher(call.kind, options, call.target.name)
    queue = Queue(namespace(call), lambda: _abort(call.request))
    initial: list[Change] = []
    error = b""
    try:
        initial = _before_now(call, options)
    except ApiError as refusal:
        if refusal.code != 410:
            raise
        error = _encode("ERROR", refusal.status())  # as upstream's watch cache tells it: inside the stream

    response = web.StreamResponse(headers=headers(JSON_TYPE, deprecations(call.resource)))
    response.enable_chunked_encoding()
    # Nothing has run since the initial events were taken: no change is missed and none comes twice.
    cancel, revision = call.registry.follow(call.resource, queue.put), call.registry.revision
    forget = call.registry.served.until_changed(call.resource, queue.close)
    call.services.closers.add(queue.close)
    try:
        await response.prepare(call.request)
        if error:
            await response.write(error)
        else:
            sender = Sender(line, selected, response)
            await sender.send(initial)
            if options.send_initial_events and options.allow_bookmarks:
                await response.write(line.bookmark(revision, INITIAL_EVENTS_END))
            await _stream(call, options, queue, line, sender)
        await response.write_eof()
    except ConnectionError:
        pass  # the client has gone
    except Exception as fault:
        log.exception("watch of %s", call.resource.qualified)
        with contextlib.suppress(ConnectionError):
            await response.write(_encode("ERROR", internal_error(fault).status()))
            await response.write_eof()
    finally:
        cancel()
        forget()
        call.services.closers.discard(queue.close)
    return response


def _before_now(call: Call, options: ListOptions) -> list[Change]:
    """What happened before now, as the resourceVersion asks for it. Raises ApiError 410 and 504."""
    registry, resource, where = call.registry, call.resource, namespace(call)
    since = options.revision
    if since and not options.send_initial_events:
        return [
            change
            for change in registry.changes_since(since)
            if change.resource == resource and (not where or namespace_of(change.object) == where)
        ]
    if since > registry.revision:
        raise too_large_resource_version(since, registry.revision)
    if options.send_initial_events is False:
        return []
    objects = registry.list(resource, where)
    return [Change("ADDED", resource, obj, None, int(obj["metadata"]["resourceVersion"])) for obj in objects]


async def _stream(call: Call, options: ListOptions, queue: Queue, line: Line, sender: Sender) -> None:
    """Send what happens from now on until the time is up or the watch is closed."""
    loop = asyncio.get_running_loop()
    seconds = options.timeout_seconds or random.randint(SHORTEST_SECONDS, 2 * SHORTEST_SECONDS)
    end = loop.time() + seconds
    bookmarks = options.allow_bookmarks
    next_bookmark = loop.time() + BOOKMARK_SECONDS * random.uniform(0.75, 1.0)
    while True:
        while queue.changes:
            await sender.send([queue.changes.popleft() for _ in range(min(_BATCH, len(queue.changes)))])
        now = loop.time()
        if queue.closed or now >= end:
            break
        if bookmarks and now >= next_bookmark:
            next_bookmark = now + BOOKMARK_SECONDS
            # Nothing waits in the queue, so the client has seen everything up to the present revision.
            await sender.response.write(line.bookmark(call.registry.revision))
            continue
        await queue.wait(min(end, next_bookmark) if bookmarks else end)
    if bookmarks:
        await sender.response.write(line.bookmark(call.registry.revision))


@dataclass(frozen=True)
class Sender:
    """Writes changes to the stream as the events that they are to this watcher."""

    line: Line
    selected: Matcher | None
    response: web.StreamResponse

    async def send(self, changes: Sequence[Change]) -> None:
        """Write the events of changes, many at once. Raises ConnectionError when the client has gone."""
        for start in range(0, len(changes), _BATCH):
            lines = [_line(change, self.line, self.selected) for change in changes[start : start + _BATCH]]
            if data := b"".join(lines):
                await self.response.write(data)


def _line(change: Change, line: Line, selected: Matcher | None) -> bytes:
    """The event that a change is to a watcher with that selection; nothing when it is none.

    An object that leaves the selection is DELETED, one that enters it is ADDED.
    """
    if selected is None:
        return line.of(change.type, change.object, change.revision)
    was = change.old is not None and selected(change.old)
    if change.type == "DELETED":
        return line.of("DELETED", change.object, change.revision) if was else b""
    if selected(change.object):
        return line.of("MODIFIED" if was else "ADDED", change.object, change.revision)
    if was and change.old is not None:
        # As it last was inside the selection, with the revision at which it left.
        metadata = {**change.old["metadata"], "resourceVersion": str(change.revision)}
        return line.of("DELETED", {**change.old, "metadata": metadata})
    return b""


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
