"""GET .../pods/{name}/log (upstream: pkg/registry/core/pod/strategy.go LogLocation).

Whether the container has a log yet is decided by the node.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator

from aiohttp import web

from labcluster.api import field
from labcluster.api.errors import bad_request
from labcluster.api.objects import name_of
from labcluster.api.pod_runtime import LogOptions
from labcluster.api.times import parse_time
from labcluster.http.call import Call
from labcluster.http.messages.options import boolean, integer, invalid_options
from labcluster.http.messages.responses import headers, internal_error
from labcluster.http.subresources.container_choice import all_containers, choose, default_container
from labcluster.http.verbs.reading import namespace

_HEADERS_AFTER = 0.05  # seconds without output after which the headers are sent to a client that follows


async def logs(call: Call) -> web.StreamResponse:
    """The log of a container, as text; with follow until the container ends or the client disconnects."""
    query = call.request.query
    pod = call.registry.get(call.resource, namespace(call), call.target.name)
    container = choose(pod, query.get("container", ""), all_containers(pod), default_container(pod))
    options = _options(call)
    if not pod.get("spec", {}).get("nodeName"):
        raise bad_request(f"pod {name_of(pod)} does not have a host assigned")
    chunks = call.services.runtime.logs(pod, container, options)
    return await _stream(call, chunks)


async def _stream(call: Call, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers("text/plain"))
    iterator = aiter(chunks)
    first = asyncio.ensure_future(_next(iterator))
    task = asyncio.current_task()
    closer = first.cancel if task is None else task.cancel
    call.services.closers.add(closer)
    try:
        await asyncio.wait((first,), timeout=_HEADERS_AFTER)
        if first.done():
            first.result()  # an error can still be answered with a Status
        response.enable_chunked_encoding()
        await response.prepare(call.request)
        chunk = await first
        while chunk is not None:
            await response.write(chunk)
            chunk = await _next(iterator)
        await response.write_eof()
    except ConnectionError:
        pass  # the client has disconnected
    except Exception as error:
        if not response.prepared:
            raise
        # The response has begun: the error can only be written into the log itself, as the kubelet does.
        with contextlib.suppress(ConnectionError):
            await response.write(f"{internal_error(error).message}\n".encode())
            await response.write_eof()
    finally:
        call.services.closers.discard(closer)
        first.cancel()
        close = getattr(iterator, "aclose", None)
        if close is not None:
            with contextlib.suppress(RuntimeError):
                await close()
    return response


async def _next(iterator: AsyncIterator[bytes]) -> bytes | None:
    return await anext(iterator, None)


def _options(call: Call) -> LogOptions:
    """core/v1 PodLogOptions, validated as pkg/apis/core/validation does."""
    query = call.request.query
    tail, seconds, limit = (integer(query, name) for name in ("tailLines", "sinceSeconds", "limitBytes"))
    since: dt.datetime | None = None
    problems = []
    if tail is not None and tail < 0:
        problems.append(field.invalid("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        problems.append(field.invalid("limitBytes", limit, "must be greater than 0"))
    if seconds is not None and seconds < 1:
        problems.append(field.invalid("sinceSeconds", seconds, "must be greater than 0"))
    if query.get("sinceTime"):
        try:
            since = parse_time(query["sinceTime"])
        except ValueError as error:
            raise bad_request(f'parsing time "{query["sinceTime"]}": expected RFC 3339') from error
        if seconds is not None:
            problems.append(
                field.forbidden("sinceSeconds", "at most one of `sinceTime` or `sinceSeconds` may be given")
            )
    if problems:
        raise invalid_options("PodLogOptions", problems)
    return LogOptions(
        follow=boolean(query, "follow"),
        previous=boolean(query, "previous"),
        timestamps=boolean(query, "timestamps"),
        tail_lines=tail,
        since_seconds=seconds,
        since_time=since,
        limit_bytes=limit,
    )
