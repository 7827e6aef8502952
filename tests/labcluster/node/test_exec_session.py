"""The streams of a program in a container: what happens when nobody reads them, or they never end."""

from __future__ import annotations

import asyncio
import os
from typing import cast

import pytest

from labcluster.api.pod_runtime import STDOUT
from labcluster.node.containers.exec_session import ProcessSession
from labcluster.node.containers.process import Child
from labcluster.node.containers.standard_input import MAX_BUFFERED, StandardInput


class FakeChild:
    """Ends when it is killed, or told to."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def wait(self) -> int:
        await self.ended.wait()
        return 0

    def kill(self) -> None:
        self.ended.set()


def session_on(descriptor: int, child: FakeChild) -> ProcessSession:
    return ProcessSession(cast(Child, child), None, {descriptor: STDOUT}, None)


async def taken(reader: int, count: int) -> bytes:
    """What comes out of a pipe, up to a count of bytes or its end."""
    os.set_blocking(reader, False)
    got, more = b"", asyncio.Event()
    asyncio.get_running_loop().add_reader(reader, more.set)
    async with asyncio.timeout(10):
        while len(got) < count:
            more.clear()
            try:
                if not (block := os.read(reader, 65536)):
                    break
                got += block
            except BlockingIOError:
                await more.wait()
    asyncio.get_running_loop().remove_reader(reader)
    return got


async def test_input_is_kept_for_a_program_that_does_not_read_and_ends_after_it() -> None:
    reader, writer = os.pipe()
    stdin = StandardInput(writer, terminal=False)
    async with asyncio.timeout(10):
        await stdin.write(b"a" * MAX_BUFFERED)  # many times what a pipe holds: the writer is not held up
    stdin.close()
    await stdin.write(b"late")
    assert await taken(reader, MAX_BUFFERED + 10) == b"a" * MAX_BUFFERED
    os.close(reader)


async def test_who_writes_much_more_than_is_read_waits() -> None:
    reader, writer = os.pipe()
    stdin = StandardInput(writer, terminal=False)
    writing = asyncio.ensure_future(stdin.write(b"a" * (2 * MAX_BUFFERED)))
    await asyncio.sleep(0.1)
    assert not writing.done()
    await taken(reader, MAX_BUFFERED)
    async with asyncio.timeout(10):
        await writing
    stdin.abort()
    assert len(await taken(reader, 2 * MAX_BUFFERED)) <= 1 << 17  # what waited is dropped, what is in the pipe is not
    os.close(reader)


async def test_input_is_dropped_when_nobody_reads_any_more() -> None:
    reader, writer = os.pipe()
    stdin = StandardInput(writer, terminal=False)
    writing = asyncio.ensure_future(stdin.write(b"a" * (2 * MAX_BUFFERED)))
    await asyncio.sleep(0)
    os.close(reader)
    async with asyncio.timeout(10):
        await writing
        await stdin.write(b"more")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)


async def test_a_killed_program_leaves_no_descriptor_open_that_nobody_read_to_its_end() -> None:
    reader, writer = os.pipe()
    session = session_on(reader, FakeChild())
    while not session._paused:  # the queue is full: the client has stopped reading
        os.write(writer, b"x")
        await asyncio.sleep(0)
    await session.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reader)
    os.close(writer)


async def test_a_program_left_behind_that_writes_on_does_not_keep_the_session_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    child = FakeChild()
    session = session_on(reader, child)
    real, reads = os.read, 0

    def never_empty(descriptor: int, size: int) -> bytes:
        nonlocal reads
        if descriptor != reader:
            return real(descriptor, size)
        reads += 1
        assert reads < 1000, "it reads for ever"
        return b"y" * size

    os.write(writer, b"y")
    monkeypatch.setattr(os, "read", never_empty)
    child.kill()
    async with asyncio.timeout(10):
        told = [data async for _, data in session.output()]
    assert told
    os.close(writer)
