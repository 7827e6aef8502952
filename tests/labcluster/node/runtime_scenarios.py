"""What test_runtime.py checks, run as PID 1 in namespaces of its own: `python runtime_scenarios.py RESULTS`.

Each scenario is an async function that gets a Lab and raises when something does not hold.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import sys
import tempfile
import traceback
from dataclasses import replace
from pathlib import Path

from labcluster.api.pod_runtime import LogOptions
from labcluster.node.containers.log import read_log
from labcluster.node.containers.process import Streams
from labcluster.node.containers.rootfs import RootFilesystem
from labcluster.node.containers.spec import ExitStatus
from labcluster.node.images import image_table
from labcluster.node.runtime import Container, ContainerSpec, Mount, Runtime, Sandbox, StartError
from labcluster.settings import NODES

CONTROL_PLANE, WORKER, WORKER2 = (node.name for node in NODES)


class Lab:
    def __init__(self, runtime: Runtime, directory: Path) -> None:
        self.runtime = runtime
        self.directory = directory
        self.sandboxes: list[Sandbox] = []
        self.containers: list[Container] = []

    async def sandbox(
        self,
        node: str = WORKER,
        hostname: str = "web-0",
        host_network: bool = False,
        share_processes: bool = False,
    ) -> Sandbox:
        sandbox = await self.runtime.create_sandbox(
            "uid", node, hostname, host_network=host_network, share_processes=share_processes
        )
        self.sandboxes.append(sandbox)
        return sandbox

    def spec(self, image: str, *argv: str, **more) -> ContainerSpec:
        found = image_table.resolve(image)
        spec = ContainerSpec(
            name="c",
            image=found,
            argv=argv or found.entrypoint + found.command,
            log_path=Path(tempfile.mkdtemp(dir=self.directory)) / "0.log",
            working_dir=found.working_dir,
            uid=found.user,
            gid=found.user,
        )
        return replace(spec, **more)

    async def run(
        self, image: str, *argv: str, sandbox: Sandbox | None = None, joined: Container | None = None, **more
    ) -> Container:
        spec = self.spec(image, *argv, **more)
        container = await self.runtime.run(sandbox or await self.sandbox(), spec, joined)
        self.containers.append(container)
        return container

    async def output(self, *argv: str, **more) -> tuple[str, ExitStatus]:
        container = await self.run("busybox", *argv, **more)
        status = await container.wait()
        return await self.log(container), status

    async def log(self, container: Container, **options) -> str:
        return b"".join([part async for part in read_log(container.spec.log_path, LogOptions(**options))]).decode()

    async def said(self, container: Container, text: str) -> None:
        """Wait until the container's log has a text."""
        got = b""
        async for part in read_log(container.spec.log_path, LogOptions(follow=True)):
            got += part
            if text.encode() in got:
                return
        raise AssertionError(f"ended without {text!r}: {got.decode()}")

    async def clean(self) -> None:
        for container in self.containers:
            container.signal(signal.SIGKILL)
            await container.wait()
        for sandbox in self.sandboxes:
            await sandbox.close()
        self.containers.clear()
        self.sandboxes.clear()


async def run_in(container: Container, *argv: str, **more) -> tuple[int, str]:
    session = await container.exec(argv, **more)
    text = b"".join([data async for _, data in session.output()]).decode()
    return await session.wait(), text


async def exec_looks_for_programs_in_the_container_only(lab: Lab) -> None:
    outside = Path(tempfile.mkdtemp(dir=lab.directory), "program")  # there on the machine, and not in the container
    outside.write_text("#!/bin/sh\n")
    links = f"ln -s {outside.parent} /a; ln -s /bin /b; ln -s /etc/passwd /c; echo up; sleep 100"
    container = await lab.run("busybox", "sh", "-c", links)
    await lab.said(container, "up")
    for name, why in (("/a/program", "no such file"), ("/c", "permission denied")):
        try:
            await container.exec((name,))
        except StartError as error:
            assert why in str(error), error
        else:
            raise AssertionError(f"{name} was started")
    assert await run_in(container, "/b/echo", "inside") == (0, "inside\n")


# -- containers that join another's processes


async def a_debugger_sees_its_targets_processes_and_files(lab: Lab) -> None:
    for image, uid in (("busybox", 0), ("valkey/valkey:8.1", 999)):
        sandbox = await lab.sandbox()
        target = await lab.run(image, "sh", "-c", "echo $$ > /tmp/mark; sleep 100", sandbox=sandbox, uid=uid)
        debugger = await lab.run("busybox", "sleep", "100", sandbox=sandbox, joined=target)
        code, text = await run_in(debugger, "sh", "-c", "id -u; cat /proc/1/cmdline | tr '\\0' ' '; echo")
        assert code == 0 and text.splitlines()[:2] == ["0", "sh -c echo $$ > /tmp/mark; sleep 100 "], text
        code, text = await run_in(debugger, "cat", "/proc/1/root/tmp/mark")
        assert (code, text) == (0, "1\n"), text
        assert (await run_in(debugger, "cat", "/tmp/mark"))[0] != 0  # its own files are others


async def a_debugger_may_signal_its_target_and_ends_with_it(lab: Lab) -> None:
    target = await lab.run("busybox", "sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done")
    await lab.said(target, "up")
    debugger = await lab.run("busybox", "sleep", "100", joined=target)
    assert (await run_in(debugger, "sh", "-c", "kill -TERM 1"))[0] in (0, 137)
    assert (await target.wait()).code == 7
    assert (await debugger.wait()).code == 137


async def a_debugger_that_ends_leaves_nothing_in_its_target(lab: Lab) -> None:
    target = await lab.run("busybox", "sleep", "1000")
    debugger = await lab.run("busybox", "sh", "-c", "sleep 234 & setsid sleep 235 & sleep 0.1; exit 3", joined=target)
    assert (await debugger.wait()).code == 3
    code, text = await run_in(target, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert code == 0 and "sleep 1000" in text and "23" not in text, text
    debugger = await lab.run("busybox", "sh", "-c", "sleep 234 & sleep 235", joined=target)
    debugger.signal(signal.SIGKILL)
    assert (await debugger.wait()).code == 137
    code, text = await run_in(target, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "23" not in text, text
    assert target.running


async def a_debugger_may_end_at_once(lab: Lab) -> None:
    target = await lab.run("busybox", "sleep", "1000")
    for _ in range(20):
        debugger = await lab.run("busybox", "sh", "-c", "setsid sleep 236 & exit 3", joined=target)
        assert (await debugger.wait()).code == 3
    code, text = await run_in(target, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert code == 0 and "236" not in text, text


async def a_debugger_has_the_user_that_it_asks_for(lab: Lab) -> None:
    target = await lab.run("busybox", "sleep", "1000")
    text = ""
    for uid in (0, 1234):
        debugger = await lab.run(
            "busybox",
            "sh",
            "-c",
            "id -u; id -g; grep -E 'Cap(Prm|Eff)' /proc/self/status",
            joined=target,
            uid=uid,
            gid=uid,
        )
        status = await debugger.wait()
        text = await lab.log(debugger)
        assert status.code == 0, text
        assert text.splitlines()[:2] == [str(uid)] * 2, text
    assert {line.split()[1] for line in text.splitlines()[2:]} == {"0" * 16}


async def a_debugger_may_have_a_terminal(lab: Lab) -> None:
    target = await lab.run("busybox", "sleep", "1000")
    for uid in (0, 1234):
        debugger = await lab.run("busybox", "sh", joined=target, uid=uid, gid=uid, stdin=True, tty=True)
        attached = debugger.attach(stdin=True)
        await attached.write_stdin(b"tty; id -u; exit 4\n")
        assert (await debugger.wait()).code == 4
        text = await lab.log(debugger)
        assert "/dev/pts/0" in text and f"\n{uid}" in text.replace("\r", ""), text


async def containers_of_a_pod_may_share_their_processes(lab: Lab) -> None:
    sandbox = await lab.sandbox(share_processes=True)
    one = await lab.run("busybox", "sh", "-c", "echo 1 > /tmp/mark; sleep 1001; exit 5", sandbox=sandbox)
    two = await lab.run("valkey/valkey:8.1", "sleep", "1002", sandbox=sandbox)
    code, text = await run_in(two, "sh", "-c", "id -u; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; cat /proc/1/cmdline")
    assert code == 0 and text.startswith("999\n") and text.rstrip("\0").endswith("/pause"), text
    assert "sleep 1001" in text and "sleep 1002" in text, text
    kill = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline | grep -q '^sleep 1002' && kill ${p#/proc/}; done"
    await run_in(one, "sh", "-c", kill)
    assert (await two.wait()).code == 143
    assert one.running  # the end of one is not the end of the other


async def the_end_of_the_first_process_of_a_pod_ends_its_containers_and_new_ones_start(lab: Lab) -> None:
    sandbox = await lab.sandbox(share_processes=True)
    one = await lab.run("busybox", "sleep", "1001", sandbox=sandbox)
    two = await lab.run("busybox", "sleep", "1002", sandbox=sandbox)
    await run_in(one, "sh", "-c", "kill -TERM 1")
    assert [(await c.wait()).code for c in (one, two)] == [137, 137]
    again = await lab.run("busybox", "sleep", "1003", sandbox=sandbox)
    again.signal(signal.SIGTERM)  # it is no PID 1, which would ignore it
    assert (await again.wait()).code == 143
    assert sandbox.pause and sandbox.pause.running
    await sandbox.close()
    assert not sandbox.pause.running


# -- the life of a container


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
    await lab.said(container, "up")
    container.signal(signal.SIGTERM)
    assert (await container.wait()).code == 3
    assert (await lab.log(container)).endswith("bye\n")


async def a_shell_without_a_trap_ignores_sigterm_as_pid_1(lab: Lab) -> None:
    container = await lab.run("busybox", "sh", "-c", "echo $$; while :; do read x < /dev/null; done; :")
    await lab.said(container, "1\n")
    container.signal(signal.SIGTERM)
    assert (await run_in(container, "true"))[0] == 0
    assert container.running


async def killing_the_watcher_ends_the_container(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100")
    program = os.pidfd_open(container.pid)
    os.kill(container._watcher.pid, signal.SIGKILL)
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
        found = options(root, files, *more)
        volume.rename(lab.directory / "gone")
        volume.symlink_to(other)
        return found

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


# -- what a container sees


async def nothing_of_the_hosts_home_can_be_seen(lab: Lab) -> None:
    checkout = Path(__file__).parents[3]
    text, _ = await lab.output(
        "sh", "-c", f"ls -A /root /home /opt /srv /var/lib /mnt; ls {checkout} {sys.prefix} 2>&1"
    )
    for line in text.splitlines():
        assert not line or line.endswith((":", "No such file or directory")), text
    text, _ = await lab.output("ls", "/usr/local", "/usr/local/bin")
    assert text.split() == ["/usr/local:", "bin", "/usr/local/bin:"], text


async def only_its_own_processes_can_be_seen(lab: Lab) -> None:
    text, _ = await lab.output("sh", "-c", "echo /proc/[0-9]*; echo $$")
    assert text.split() == ["/proc/1", "1"], text


async def only_its_own_descriptors_are_open(lab: Lab) -> None:
    text, _ = await lab.output("sh", "-c", "ls /proc/1/fd; true")
    assert text.split() == ["0", "1", "2"], text


async def user_hostname_and_environment_are_the_specs(lab: Lab) -> None:
    text, _ = await lab.output(
        "sh",
        "-c",
        "id -u; id -g; hostname; echo $HOSTNAME $A $HOME; pwd",
        uid=5,
        gid=6,
        env={"A": "b c"},
        working_dir="/w/x",
    )
    assert text.splitlines() == ["5", "6", "web-0", "web-0 b c /", "/w/x"], text


async def the_environment_is_on_no_command_line(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100", env={"PASSWORD": "s3cr3t"})
    for pid in (container.pid, container._watcher.pid):
        assert b"s3cr3t" not in Path(f"/proc/{pid}/cmdline").read_bytes()


async def volumes_are_shown_writable_or_read_only(lab: Lab) -> None:
    for name in ("rw", "ro"):
        (lab.directory / name).mkdir(exist_ok=True)
    hosts = lab.directory / "hosts"
    hosts.write_text("1.2.3.4 me\n")
    mounts = (
        Mount(lab.directory / "rw", "/data/deep"),
        Mount(lab.directory / "ro", "/ro", read_only=True),
        Mount(hosts, "/etc/hosts"),
    )
    text, _ = await lab.output(
        "sh",
        "-c",
        "echo x > /data/deep/f; echo x 2>/dev/null > /ro/f || echo refused; cat /etc/hosts",
        mounts=mounts,
        uid=999,
    )
    assert text == "refused\n1.2.3.4 me\n", text
    assert (lab.directory / "rw/f").read_text() == "x\n"
    assert not list((lab.directory / "ro").iterdir())


async def the_root_is_writable_unless_it_is_read_only(lab: Lab) -> None:
    mounts = (Mount(lab.directory, "/volume"),)
    code = "echo x > /tmp/a && echo tmp; echo x > /var/a && echo var; echo x > /volume/a && echo volume"
    text, _ = await lab.output("sh", "-c", code, mounts=mounts, uid=999)
    assert text == "tmp\nvar\nvolume\n", text
    text, _ = await lab.output("sh", "-c", f"exec 2>/dev/null; {code}", mounts=mounts, read_only_root=True)
    assert text == "volume\n", text


async def a_program_from_a_volume_can_be_run(lab: Lab) -> None:
    script = lab.directory / "run.sh"
    script.write_text("#!/bin/sh\necho from the volume\n")
    script.chmod(0o755)
    text, _ = await lab.output("/scripts/run.sh", mounts=(Mount(lab.directory, "/scripts", read_only=True),))
    assert text == "from the volume\n"


async def ordinary_users_have_no_capabilities(lab: Lab) -> None:
    text, _ = await lab.output("sh", "-c", "grep -E 'Cap(Prm|Eff)' /proc/self/status", uid=999)
    assert {line.split()[1] for line in text.splitlines()} == {"0" * 16}


async def other_users_may_enter_the_directories(lab: Lab) -> None:
    text, _ = await lab.output("sh", "-c", "find / -xdev -type d ! -perm -5 2>/dev/null", uid=7)
    assert text == "", text


# -- the network


async def pods_of_different_nodes_reach_each_other_by_their_own_addresses(lab: Lab) -> None:
    server = await lab.run("valkey/valkey:8", sandbox=await lab.sandbox(WORKER))
    await lab.said(server, "Ready to accept")
    there = lab.sandboxes[-1]
    client = await lab.run("valkey/valkey:8", "sleep", "100", sandbox=await lab.sandbox(WORKER2, "client"))
    here = lab.sandboxes[-1]
    assert there.ip.startswith("10.244.1.") and here.ip.startswith("10.244.2.")
    code, text = await run_in(client, "valkey-cli", "-h", there.ip, "client", "info")
    assert code == 0
    assert f"addr={here.ip}:" in text, text


async def a_pod_reaches_a_cluster_ip_that_the_daemon_bound(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100")
    for address in ("10.96.0.10", str(NODES[0].address), str(NODES[1].gateway)):
        with socket.socket() as server:
            server.setblocking(False)
            server.bind((address, 4242))
            server.listen()
            session = await container.exec(["bash", "-c", f"echo hello > /dev/tcp/{address}/4242"])
            connection, peer = await asyncio.get_running_loop().sock_accept(server)
            assert peer[0] == lab.sandboxes[-1].ip
            assert await asyncio.get_running_loop().sock_recv(connection, 100) == b"hello\n"
            connection.close()
            assert await session.wait() == 0


async def addresses_are_handed_out_in_turn(lab: Lab) -> None:
    first = await lab.sandbox()
    await first.close()
    second = await lab.sandbox()
    assert first.ip != second.ip
    await first.close()  # again: nothing
    third = await lab.sandbox()
    assert len({first.ip, second.ip, third.ip}) == 3


async def a_pod_with_host_network_has_the_nodes_address(lab: Lab) -> None:
    sandbox = await lab.sandbox(WORKER, host_network=True)
    assert sandbox.ip == str(NODES[1].address)
    await lab.run("nginx:1.31", sandbox=sandbox)
    await lab.said(lab.containers[-1], "start worker process")
    reader, writer = await asyncio.open_connection(sandbox.ip, 80)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


# -- exec


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


# -- attach


async def told(session) -> str:
    return b"".join([data async for _, data in session.output()]).decode()


async def heard(session, text: str) -> str:
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
    await heard(one, "got first\n")
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
    assert await told(session) == data.decode() + "end of input\n"
    assert (await container.wait()).code == 0


async def input_ends_with_a_client_that_left_if_it_is_once(lab: Lab) -> None:
    container = await lab.run("busybox", "sh", "-c", "cat; exit 4", stdin=True, stdin_once=True)
    session = container.attach(stdin=True)
    await session.write_stdin(b"half a line")
    await session.close()
    assert await told(session) == ""
    assert (await container.wait()).code == 4
    assert await lab.log(container) == "half a line"


async def input_stays_open_for_the_next_client_if_it_is_not_once(lab: Lab) -> None:
    container = await lab.run("busybox", "sh", "-c", "while read a; do echo got $a; done", stdin=True)
    for word in ("one", "two"):
        session = container.attach(stdin=True)
        await session.write_stdin(f"{word}\n".encode())
        await heard(session, f"got {word}\n")
        await session.close_stdin()  # detaches
        assert await told(session) == ""
    assert container.running


async def without_stdin_there_is_nothing_to_read(lab: Lab) -> None:
    container = await lab.run("busybox", "sh", "-c", "cat; readlink /proc/self/fd/0; sleep 100")
    await lab.said(container, "/dev/null\n")
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
    said = await heard(session, "\nerr\r\n")
    assert "45 123\r\n" in said and "/dev/pts/0\r\n" in said and "xterm\r\n" in said, said
    await session.write_stdin(b"sh -c 'echo a''sleep; exec sleep 100'\n")
    await heard(session, "asleep\r\n")  # after a line's end, or after a prompt that came later than what was typed
    await session.write_stdin(b"\x03")
    await heard(session, "$ ")  # the shell is back; what came with the interrupt it might have thrown away
    await session.write_stdin(b"echo 'inter'rupted\n")
    await heard(session, "interrupted\r\n")
    await session.close()  # a terminal's input does not end with the client
    again = container.attach(stdin=True)
    again.resize(-1, 1 << 20)
    await again.write_stdin(b"exit 6\n")
    assert "exit 6" in await told(again)
    assert (await container.wait()).code == 6
    assert "/dev/pts/0\r\n" in await lab.log(container)


async def all_that_a_terminal_showed_is_told_after_the_end(lab: Lab) -> None:
    for _ in range(5):
        _, status = await lab.output("sh", "-c", "seq 1 5000", tty=True)
        assert status.code == 0
        lines = (await lab.log(lab.containers[-1])).split()
        assert lines == [str(n) for n in range(1, 5001)], lines[-1:]


async def a_slow_client_makes_the_container_wait_until_it_leaves(lab: Lab) -> None:
    script = "read a; head -c 20000000 /dev/zero | tr '\\0' '\\n'; echo done"
    container = await lab.run("busybox", "sh", "-c", script, stdin=True)
    slow, quick = container.attach(stdin=True), container.attach()
    reading = asyncio.create_task(told(quick))
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
    assert (await told(slow)).startswith("1\n2\n")
    assert await told(container.attach()) == ""


async def a_client_that_writes_what_nobody_reads_is_let_go_at_the_end(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100", stdin=True)
    session = container.attach(stdin=True)
    writing = asyncio.create_task(session.write_stdin(b"x" * 2_000_000))
    await asyncio.sleep(0.05)
    assert not writing.done()
    container.signal(signal.SIGKILL)
    await container.wait()
    await writing


# -- images


async def valkey_runs_as_its_user_and_takes_clients_of_other_pods(lab: Lab) -> None:
    server = await lab.run("valkey/valkey:8.1", "docker-entrypoint.sh", "--port", "7000")
    await lab.said(server, "Ready to accept")
    ip = lab.sandboxes[-1].ip
    client = await lab.run("valkey/valkey:8.1", "sleep", "100", sandbox=await lab.sandbox(WORKER2))
    assert await run_in(client, "valkey-cli", "-h", ip, "-p", "7000", "set", "a", "b") == (0, "OK\n")
    assert await run_in(server, "sh", "-c", "id -un; pwd") == (0, "valkey\n/data\n")
    server.signal(signal.SIGTERM)
    assert (await server.wait()).code == 0
    assert "bye bye" in await lab.log(server)


async def valkey_keeps_protected_mode_when_it_is_asked_for(lab: Lab) -> None:
    conf = lab.directory / "my.conf"
    conf.write_text("protected-mode yes\nport 7001\n")
    server = await lab.run("valkey/valkey:8.1", "docker-entrypoint.sh", "/my.conf", mounts=(Mount(conf, "/my.conf"),))
    await lab.said(server, "Ready to accept")
    assert await run_in(server, "redis-cli", "-p", "7001", "config", "get", "protected-mode") == (
        0,
        "protected-mode\nyes\n",
    )


async def valkey_saves_into_a_volume_for_the_next_container(lab: Lab) -> None:
    (lab.directory / "data").mkdir()
    mounts = (Mount(lab.directory / "data", "/data"),)
    first = await lab.run("valkey/valkey:8.1", mounts=mounts)
    await lab.said(first, "Ready to accept")
    await run_in(first, "valkey-cli", "set", "a", "kept")
    first.signal(signal.SIGTERM)
    await first.wait()
    second = await lab.run("valkey/valkey:8.1", mounts=mounts)
    await lab.said(second, "Ready to accept")
    assert (await run_in(second, "valkey-cli", "get", "a"))[1].strip() == "kept"


async def nginx_serves_the_page_that_a_command_wrote(lab: Lab) -> None:
    command = "echo $HOSTNAME > /usr/share/nginx/html/index.html; exec nginx -g 'daemon off;'"
    server = await lab.run(
        "nginx:1.31-alpine", "/docker-entrypoint.sh", "sh", "-c", command, sandbox=await lab.sandbox(hostname="web-7")
    )
    await lab.said(server, "start worker process")
    reader, writer = await asyncio.open_connection(lab.sandboxes[-1].ip, 80)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.endswith(b"\r\n\r\nweb-7\n"), answer
    await lab.said(server, '"GET / HTTP/1.0" 200')
    server.signal(signal.SIGQUIT)
    assert (await server.wait()).code == 0


async def nginx_honours_conf_d_and_a_configuration_of_ones_own(lab: Lab) -> None:
    (lab.directory / "conf.d").mkdir()
    (lab.directory / "conf.d/a.conf").write_text("server { listen 81; return 200 mine; }")
    mounts = (Mount(lab.directory / "conf.d", "/etc/nginx/conf.d", read_only=True),)
    server = await lab.run("nginx", mounts=mounts)
    await lab.said(server, "start worker process")
    reader, writer = await asyncio.open_connection(lab.sandboxes[-1].ip, 81)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await reader.read()).endswith(b"mine")
    writer.close()
    assert (await run_in(server, "nginx", "-t"))[0] == 0
    assert (await run_in(server, "nginx", "-s", "reload"))[0] == 0
    own = lab.directory / "own.conf"
    own.write_text("user nginx; events {} http { server { listen 82; root html; } }")
    server = await lab.run("nginx", mounts=(Mount(own, "/etc/nginx/nginx.conf", read_only=True),))
    reader, writer = await asyncio.wait_for(connect(lab.sandboxes[-1].ip, 82), 5)
    writer.close()


async def pause_ends_at_sigterm(lab: Lab) -> None:
    container = await lab.run("registry.k8s.io/pause:3.10")
    assert (await run_in(container, "sleep", "0.05"))[0] == 0
    container.signal(signal.SIGTERM)
    assert (await container.wait()).code == 0


# -- what stays behind


async def nothing_stays_behind(lab: Lab) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(4):
        container = await lab.run("busybox", "sleep", "100")
        await run_in(container, "sh", "-c", "sleep 50 & true")
        await run_in(container, "true", tty=True, stdin=True)
        await run_in(container, "cat", tty=False, stdin=False)
        for streams in ({"stdin": True}, {"tty": True}, {"stdin": True, "tty": True}):
            ended = await lab.run("busybox", "true", sandbox=lab.sandboxes[-1], **streams)
            await ended.attach(stdin=True).close()
            with contextlib.suppress(StartError):
                await lab.run("busybox", "nosuch", sandbox=lab.sandboxes[-1], **streams)
        with contextlib.suppress(StartError):
            await container.exec(["nosuch"])
        with contextlib.suppress(StartError):
            await lab.run("busybox", "nosuch", sandbox=lab.sandboxes[-1])
        await lab.clean()
    filling = lab.runtime._sandboxes._filling
    if filling:
        await filling
    assert len(os.listdir("/proc/self/fd")) <= len(before) + 2 * lab_spare_descriptors(), os.listdir("/proc/self/fd")
    assert children() == [], children()


async def the_interfaces_of_closed_sandboxes_disappear(lab: Lab) -> None:
    before = interfaces()
    for _ in range(5):
        await lab.run("busybox", "true")
    await lab.clean()
    async with asyncio.timeout(10):  # the kernel takes them down in the background
        while len(interfaces()) > max(len(before), 4):  # lo, the bridge and two spares
            await asyncio.sleep(0.02)


async def the_gateway_keeps_its_hardware_address_when_pods_come_and_go(lab: Lab) -> None:
    before = hardware_address("br0")
    for _ in range(8):
        await lab.sandbox()
    assert hardware_address("br0") == before
    await lab.clean()
    assert hardware_address("br0") == before


async def orphans_are_reaped(lab: Lab) -> None:
    read, write = os.pipe()
    child = await lab.runtime._processes.spawn(
        ["sh", "-c", "sh -c 'echo $$; sleep 0.1' & sleep 0.02"],
        Streams(stdout=write),
        env={"PATH": os.environ["PATH"]},
    )
    os.close(write)
    await readable(read)
    orphan = int(os.read(read, 100))
    os.close(read)
    await child.wait()
    descriptor = os.pidfd_open(orphan)
    await readable(descriptor)
    os.close(descriptor)
    await asyncio.sleep(0)  # the SIGCHLD handler's turn
    async with asyncio.timeout(5):
        while Path(f"/proc/{orphan}").exists():
            await asyncio.sleep(0.01)


# -- helpers


def lab_spare_descriptors() -> int:
    """Descriptors of one spare namespace at most: itself, and the netlink socket in it with its helpers."""
    return 8


def interfaces() -> list[str]:
    return [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]


def hardware_address(interface: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        reply = fcntl.ioctl(any_socket, 0x8927, struct.pack("16s24x", interface.encode()))  # SIOCGIFHWADDR
    return reply[18:24]


def children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in text]


@contextlib.contextmanager
def raises(kind: type[Exception], text: str):
    try:
        yield
    except kind as e:
        assert text in str(e), e
    else:
        raise AssertionError(f"no {kind.__name__}")


async def readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, lambda: ready.done() or ready.set_result(None))
    try:
        await asyncio.wait_for(ready, 10)
    finally:
        loop.remove_reader(descriptor)


async def connect(host: str, port: int):
    while True:
        try:
            return await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.02)


def scenarios() -> list[str]:
    skip = {"run_in", "told", "heard", "readable", "connect", "main"}
    return [n for n, f in globals().items() if asyncio.iscoroutinefunction(f) and n not in skip]


async def main(results: str, names: list[str]) -> None:
    runtime = Runtime()
    await runtime.start()
    with open(results, "w") as out:
        for name in names or scenarios():
            with tempfile.TemporaryDirectory() as scratch:
                lab = Lab(runtime, Path(scratch))
                error = ""
                try:
                    await asyncio.wait_for(globals()[name](lab), 20)
                except Exception:
                    error = traceback.format_exc()
                try:
                    await asyncio.wait_for(lab.clean(), 5)
                except Exception:
                    error += "\nin cleaning up: " + traceback.format_exc()
                if left := children():
                    error += f"\nprocesses are left: {left}"
                out.write(json.dumps([name, error]) + "\n")
                out.flush()
    await runtime.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
    os._exit(0)
