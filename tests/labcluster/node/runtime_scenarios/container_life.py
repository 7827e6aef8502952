"""Start, signals, exit codes and logs of containers."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from labcluster.node.containers.rootfs import RootFilesystem
from labcluster.node.spec import Mount, StartError
from tests.labcluster.node.runtime_scenarios.lab import Lab, children, raises, readable, run_in


async def the_exit_code_is_the_programs(lab: Lab) -> None:
    _, status = await lab.output("sh", "-c", "exit 7")
    assert (status.code, status.signal) == (7, 0)


async def sigkill_is_reported_as_137(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100")
    container.signal(signal.SIGKILL)
    status = await container.wait()
    assert (status.code, status.signal) == (137, 9)
    assert not container.running


async def sigterm_reaches_the_program(lab: Lab) -> None:
    container = await lab.run(
        "busybox", "sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"
    )
    await lab.wait_for_log(container, "up")
    container.signal(signal.SIGTERM)
    assert (await container.wait()).code == 3
    assert (await lab.log(container)).endswith("bye\n")


async def a_shell_without_a_trap_ignores_sigterm_as_pid_1(lab: Lab) -> None:
    container = await lab.run("busybox", "sh", "-c", "echo $$; while :; do read x < /dev/null; done; :")
    await lab.wait_for_log(container, "1\n")
    container.signal(signal.SIGTERM)
    assert (await run_in(container, "true"))[0] == 0
    assert container.running


async def killing_the_monitor_ends_the_container(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100")
    program = os.pidfd_open(container.pid)
    os.kill(container._monitor.pid, signal.SIGKILL)
    status = await container.wait()
    assert status.code == 137
    await readable(program)
    os.close(program)


async def a_program_that_does_not_exist_is_a_start_error(lab: Lab) -> None:
    with raises(StartError, 'exec: "nosuch": executable file not found in $PATH'):
        await lab.run("busybox", "nosuch")
    with raises(StartError, 'exec: "/nosuch": stat /nosuch: no such file or directory'):
        await lab.run("busybox", "/nosuch")
    with raises(StartError, "permission denied"):
        await lab.run("busybox", "/etc/passwd")


async def a_link_put_in_a_volumes_place_before_the_start_is_a_start_error(lab: Lab) -> None:
    volume, secret = lab.directory / "swapped/volume", lab.directory / "secret"
    volume.mkdir(parents=True)
    secret.mkdir()
    (secret / "volume").mkdir()
    spec = lab.spec("busybox", "ls", "/x", mounts=(Mount(volume, "/x"),))
    volume.rmdir()
    for place in (volume, volume.parent):
        if place.exists():
            place.rmdir()
        place.symlink_to(secret)
        with raises(StartError, "Too many levels of symbolic links"):
            await lab.runtime.run(await lab.sandbox(), spec)
        place.unlink()


async def a_volume_swapped_while_the_sandbox_is_made_is_not_shown(lab: Lab) -> None:
    """bwrap mounts by name and compares with the descriptor: what is shown is what was opened, or nothing."""
    volume, other = lab.directory / "raced", lab.directory / "other"
    for directory in (volume, other):
        directory.mkdir()
    (other / "secret").touch()
    options = RootFilesystem.options

    def swap_after(root: RootFilesystem, files: list[int], *more) -> list[str]:
        made = options(root, files, *more)
        volume.rename(lab.directory / "gone")
        volume.symlink_to(other)
        return made

    RootFilesystem.options = swap_after
    try:
        text, _ = await lab.output("ls", "/x", mounts=(Mount(volume, "/x"),))
    finally:
        RootFilesystem.options = options
    assert text == "", text


async def a_volume_that_does_not_exist_is_a_start_error(lab: Lab) -> None:
    with raises(StartError, "/nosuch"):
        await lab.run("busybox", "true", mounts=(Mount(Path("/nosuch"), "/x"),))


async def a_start_that_is_given_up_leaves_nothing(lab: Lab) -> None:
    sandbox = await lab.sandbox()
    for delay in (0, 0.001, 0.003, 0.006, 0.01):
        task = asyncio.create_task(lab.runtime.run(sandbox, lab.spec("busybox", "sleep", "100")))
        with contextlib.suppress(TimeoutError):
            lab.containers.append(await asyncio.wait_for(task, delay))
    async with asyncio.timeout(5):  # the SIGCHLD handler's turns
        while children():
            await asyncio.sleep(0.01)


async def a_stderr_only_container_can_be_followed_to_its_end(lab: Lab) -> None:
    container = await lab.run("busybox", "sh", "-c", "echo one >&2; sleep 0.1; echo two >&2")
    assert await lab.log(container, follow=True) == "one\ntwo\n"


async def logs_are_cri_lines(lab: Lab) -> None:
    container = await lab.run("busybox", "sh", "-c", "echo out; echo err >&2; printf rest")
    await container.wait()
    lines = [line.split(" ", 3)[1:] for line in container.spec.log_path.read_text().splitlines()]
    assert sorted(lines) == [["stderr", "F", "err"], ["stdout", "F", "out"], ["stdout", "P", "rest"]], lines
