"""Logs in the CRI format: writing, the options of reading, following."""

import asyncio
import datetime as dt
from pathlib import Path

import pytest

from labcluster.api.pod_runtime import LogOptions
from labcluster.node.containers import log as container_log
from labcluster.node.containers.log import LONGEST_PART, LogWriter, read_log


async def read(path: Path, **options) -> str:
    return b"".join([part async for part in read_log(path, LogOptions(**options))]).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "0.log"


async def test_lines_come_back_as_they_were_written(path: Path) -> None:
    log = LogWriter(path)
    log.write("stdout", b"one\ntw")
    log.write("stderr", b"err\n")
    log.write("stdout", b"o\n\nrest")
    assert await read(path) == "one\nerr\ntwo\n\n"
    log.close()
    assert await read(path) == "one\nerr\ntwo\n\nrest"


async def test_a_long_line_is_stored_in_parts_and_read_as_one(path: Path) -> None:
    text = "x" * (2 * LONGEST_PART + 5)
    log = LogWriter(path)
    log.write("stdout", text.encode() + b"\n")
    log.close()
    assert [line.split(" ", 3)[2] for line in path.read_text().splitlines()] == ["P", "P", "F"]
    assert await read(path) == text + "\n"
    assert (await read(path, timestamps=True)).count("Z ") == 1


@pytest.mark.parametrize(("lines", "expected"), [(0, ""), (1, "999\n"), (3, "997\n998\n999\n"), (5000, None)])
async def test_the_tail_is_found_from_the_end(path: Path, lines: int, expected: str | None) -> None:
    log = LogWriter(path)
    everything = "".join(f"{n}\n" for n in range(1000))
    log.write("stdout", everything.encode())
    log.close()
    assert await read(path, tail_lines=lines) == (everything if expected is None else expected)


async def test_a_tail_longer_than_a_block(path: Path) -> None:
    log = LogWriter(path)
    log.write("stdout", b"".join(b"%d " % n + b"y" * 1000 + b"\n" for n in range(300)))
    log.close()
    assert (await read(path, tail_lines=200)).startswith("100 y")


async def test_timestamps_are_rfc3339_with_nanoseconds(path: Path) -> None:
    log = LogWriter(path)
    log.write("stdout", b"a\n")
    log.close()
    stamp, text = (await read(path, timestamps=True)).split()
    assert text == "a"
    assert len(stamp) == len("2026-11-23T14:00:00.123456789Z")
    dt.datetime.fromisoformat(stamp[:26] + "+00:00")


async def test_since_leaves_older_lines_out(path: Path) -> None:
    path.write_text("2020-01-01T00:00:00.000000001Z stdout F old\n2020-01-01T00:00:02.000000000Z stdout F new\n")
    since = dt.datetime(2020, 1, 1, 0, 0, 1, tzinfo=dt.UTC)
    assert await read(path, since_time=since) == "new\n"
    assert await read(path, since_seconds=60) == ""


async def test_the_limit_counts_bytes(path: Path) -> None:
    log = LogWriter(path)
    log.write("stdout", b"abc\ndef\n")
    assert await read(path, limit_bytes=5) == "abc\nd"
    assert await read(path, limit_bytes=5, follow=True) == "abc\nd"
    log.close()


async def test_following_gets_each_write_and_ends_with_the_container(path: Path) -> None:
    log = LogWriter(path)
    log.write("stdout", b"before\n")
    reader = read_log(path, LogOptions(follow=True))
    assert await anext(reader) == b"before\n"
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    assert not waiting.done()
    log.write("stdout", b"after\n")
    assert await waiting == b"after\n"
    log.write("stdout", b"last")
    log.close()
    assert await anext(reader) == b"last"
    with pytest.raises(StopAsyncIteration):
        await anext(reader)


async def test_following_a_container_that_has_ended_ends_at_once(path: Path) -> None:
    LogWriter(path).close()
    assert await read(path, follow=True) == ""


async def test_a_log_that_does_not_exist_is_an_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await read(path)


async def test_a_large_log_begins_anew_and_who_follows_it_misses_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_log, "LARGEST_LOG", 100)
    log = LogWriter(path)
    told = bytearray()

    async def follow() -> None:
        async for part in read_log(path, LogOptions(follow=True)):
            told.extend(part)

    following = asyncio.create_task(follow())
    for number in range(20):
        log.write("stdout", b"%d\n" % number)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    log.close()
    await asyncio.wait_for(following, 10)
    assert told.decode().split() == [str(number) for number in range(20)]
    assert path.stat().st_size <= 200
    assert [p.name for p in path.parent.iterdir()] == [path.name]


async def test_following_ends_when_the_log_was_removed_with_its_pod(path: Path) -> None:
    log = LogWriter(path)
    following = asyncio.create_task(read(path, follow=True))
    await asyncio.sleep(0)
    log.write("stdout", b"bye\n")
    log.close()
    path.unlink()
    assert await asyncio.wait_for(following, 10) == "bye\n"
