"""Attach: clients at the streams of a container."""

import asyncio
import signal

from tests.labcluster.node.runtime_scenarios.lab import Lab


async def read_all(session) -> str:
    return b"".join([data async for _, data in session.output()]).decode()


async def read_until(session, text: str) -> str:
    """Read on until a text has come."""
    got = b""
    async for _, data in session.output():
        got += data
        if text.encode() in got:
            return got.decode()
    raise AssertionError(f"ended without {text!r}: {got.decode()}")


async def a_container_reads_what_the_attached_write_and_they_hear_it(lab: Lab) -> None:
    script = "read a; echo got $a; echo err >&2; read b; echo got $b; exit 3"
    container = await lab.run("busybox", "sh", "-c", script, stdin=True)
    one, two = container.attach(stdin=True), container.attach()
    await one.write_stdin(b"first\n")
    await read_until(one, "got first\n")
    await two.write_stdin(b"not asked for\n")
    third = container.attach(stdin=True)
    await third.write_stdin(b"second\n")
    assert (await container.wait()).code == 3
    streams = [part async for part in two.output()]
    assert b"".join(data for channel, data in streams if channel == 1) == b"got first\ngot second\n"
    assert b"".join(data for channel, data in streams if channel == 2) == b"err\n"
    assert await one.wait() == 0  # the pod's status tells the exit code
    assert sorted((await lab.log(container)).splitlines()) == ["err", "got first", "got second"]


async def input_ends_with_the_first_who_attached_if_it_is_once(lab: Lab) -> None:
    container = await lab.run("busybox", "sh", "-c", "cat; echo end of input", stdin=True, stdin_once=True)
    watching = container.attach()
    await watching.close_stdin()
    await watching.close()
    session = container.attach(stdin=True)
    data = b"x" * 300_000 + b"\n"
    await session.write_stdin(data)
    await session.close_stdin()
    assert await read_all(session) == data.decode() + "end of input\n"
    assert (await container.wait()).code == 0


async def input_ends_with_a_client_that_left_if_it_is_once(lab: Lab) -> None:
    container = await lab.run("busybox", "sh", "-c", "cat; exit 4", stdin=True, stdin_once=True)
    session = container.attach(stdin=True)
    await session.write_stdin(b"half a line")
    await session.close()
    assert await read_all(session) == ""
    assert (await container.wait()).code == 4
    assert await lab.log(container) == "half a line"


async def input_stays_open_for_the_next_client_if_it_is_not_once(lab: Lab) -> None:
    container = await lab.run("busybox", "sh", "-c", "while read a; do echo got $a; done", stdin=True)
    for word in ("one", "two"):
        session = container.attach(stdin=True)
        await session.write_stdin(f"{word}\n".encode())
        await read_until(session, f"got {word}\n")
        await session.close_stdin()  # detaches
        assert await read_all(session) == ""
    assert container.running


async def without_stdin_there_is_nothing_to_read(lab: Lab) -> None:
    container = await lab.run("busybox", "sh", "-c", "cat; readlink /proc/self/fd/0; sleep 100")
    await lab.wait_for_log(container, "/dev/null\n")
    session = container.attach(stdin=True)
    await session.write_stdin(b"nobody reads this")
    await session.close_stdin()
    await session.close()
    assert container.running


async def a_container_with_a_terminal_is_controlled_by_it(lab: Lab) -> None:
    container = await lab.run("busybox", "sh", stdin=True, stdin_once=True, tty=True, uid=5)
    session = container.attach(stdin=True)
    session.resize(123, 45)
    await session.write_stdin(b"stty size; tty; echo $TERM; test -t 2 && echo 'e'rr >&2\n")
    said = await read_until(session, "\nerr\r\n")
    assert "45 123\r\n" in said and "/dev/pts/0\r\n" in said and "xterm\r\n" in said, said
    await session.write_stdin(b"sh -c 'echo a''sleep; exec sleep 100'\n")
    await read_until(session, "asleep\r\n")  # after a line's end, or after a prompt that came later than what was typed
    await session.write_stdin(b"\x03")
    await read_until(session, "$ ")  # the shell is back; what came with the interrupt it might have thrown away
    await session.write_stdin(b"echo 'inter'rupted\n")
    await read_until(session, "interrupted\r\n")
    await session.close()  # a terminal's input does not end with the client
    again = container.attach(stdin=True)
    again.resize(-1, 1 << 20)
    await again.write_stdin(b"exit 6\n")
    assert "exit 6" in await read_all(again)
    assert (await container.wait()).code == 6
    assert "/dev/pts/0\r\n" in await lab.log(container)


async def all_that_a_terminal_showed_is_told_after_the_end(lab: Lab) -> None:
    for _ in range(5):
        _, status = await lab.output("sh", "-c", "seq 1 5000", tty=True)
        assert status.code == 0
        lines = (await lab.log(lab.containers[-1])).split()
        assert lines == [str(n) for n in range(1, 5001)], lines[-1:]


async def a_slow_client_makes_the_container_wait_until_it_leaves(lab: Lab) -> None:
    script = "read a; head -c 20000000 /dev/zero; echo done"
    container = await lab.run("busybox", "sh", "-c", script, stdin=True)
    slow, quick = container.attach(stdin=True), container.attach()
    reading = asyncio.create_task(read_all(quick))
    await slow.write_stdin(b"go\n")
    await asyncio.sleep(0.2)
    assert slow._queue.qsize() <= 17 and not reading.done()
    await slow.close()
    assert (await reading).endswith("done\n")
    assert (await container.wait()).code == 0


async def a_container_ends_although_a_client_does_not_read(lab: Lab) -> None:
    container = await lab.run("busybox", "sh", "-c", "read a; seq 1 1000000", stdin=True)
    slow = container.attach(stdin=True)
    await slow.write_stdin(b"go\n")
    await asyncio.sleep(0.2)
    container.signal(signal.SIGKILL)
    assert (await container.wait()).code == 137
    assert (await read_all(slow)).startswith("1\n2\n")
    assert await read_all(container.attach()) == ""


async def a_client_that_writes_what_nobody_reads_is_let_go_at_the_end(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100", stdin=True)
    session = container.attach(stdin=True)
    writing = asyncio.create_task(session.write_stdin(b"x" * 2_000_000))
    await asyncio.sleep(0.05)
    assert not writing.done()
    container.signal(signal.SIGKILL)
    await container.wait()
    await writing
