"""Exec: programs run in a running container."""

import asyncio
import signal
import tempfile
from pathlib import Path

from labcluster.node.spec import StartError
from tests.labcluster.node.runtime_scenarios.lab import Lab, raises, run_in


async def exec_looks_for_programs_in_the_container_only(lab: Lab) -> None:
    outside = Path(tempfile.mkdtemp(dir=lab.directory), "program")  # there on the machine, and not in the container
    outside.write_text("#!/bin/sh\n")
    links = f"ln -s {outside.parent} /a; ln -s /bin /b; ln -s /etc/passwd /c; echo up; sleep 100"
    container = await lab.run("busybox", "sh", "-c", links)
    await lab.wait_for_log(container, "up")
    for name, why in (("/a/program", "no such file"), ("/c", "permission denied")):
        try:
            await container.exec((name,))
        except StartError as error:
            assert why in str(error), error
        else:
            raise AssertionError(f"{name} was started")
    assert await run_in(container, "/b/echo", "inside") == (0, "inside\n")


async def exec_tells_output_and_exit_code(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100", env={"A": "b"}, uid=5, working_dir="/w")
    session = await container.exec(["sh", "-c", "echo out $A; echo err >&2; id -u; pwd; hostname; exit 9"])
    parts = [part async for part in session.output()]
    assert b"".join(data for stream, data in parts if stream == 1) == b"out b\n5\n/w\nweb-0\n", parts
    assert b"".join(data for stream, data in parts if stream == 2) == b"err\n"
    assert await session.wait() == 9


async def exec_passes_standard_input(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100")
    session = await container.exec(["cat"], stdin=True)
    data = bytes(range(256)) * 4096

    async def feed() -> None:
        await session.write_stdin(data)
        await session.close_stdin()

    feeding = asyncio.create_task(feed())
    assert b"".join([part async for _, part in session.output()]) == data
    await feeding
    assert await session.wait() == 0
    await session.write_stdin(b"too late")


async def exec_gives_a_terminal_of_the_wanted_size(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100")
    session = await container.exec(["sh"], stdin=True, tty=True)
    session.resize(123, 45)
    await session.write_stdin(b"stty size; tty; test -t 2 && echo yes\nexit 4\n")
    text = b"".join([part async for _, part in session.output()]).decode()
    assert "45 123\r\n" in text and "/dev/pts/0\r\n" in text and "yes\r\n" in text, text
    assert await session.wait() == 4


async def exec_of_a_missing_program_is_a_start_error(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100")
    with raises(StartError, 'unable to start container process: exec: "nosuch": executable file not found in $PATH'):
        await container.exec(["nosuch"])


async def exec_can_be_killed(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100")
    session = await container.exec(["sh", "-c", "sleep 100; true"])
    await session.close()
    assert await session.wait() == 137
    assert container.running


async def exec_ends_although_something_it_left_behind_holds_its_output(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100")
    assert await run_in(container, "sh", "-c", "sleep 50 & echo done") == (0, "done\n")


async def exec_ends_with_its_container(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100")
    session = await container.exec(["sh", "-c", "echo inside; exec sleep 100"])
    assert await anext(session.output()) == (1, b"inside\n")  # killed any sooner, it is nsenter that fails
    container.signal(signal.SIGKILL)
    assert await session.wait() == 137
    await container.wait()
    with raises(StartError, "is not running"):
        await container.exec(["true"])


async def a_slow_reader_stops_the_program_instead_of_filling_the_memory(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100")
    session = await container.exec(["sh", "-c", "head -c 20000000 /dev/zero"])
    await asyncio.sleep(0.2)
    assert session._queue.qsize() <= 16
    assert sum([len(data) async for _, data in session.output()]) == 20000000
    assert await session.wait() == 0
