"""What must not stay behind: descriptors, processes, interfaces, orphans."""

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
from pathlib import Path

from labcluster.node.containers.process import Stdio
from labcluster.node.spec import StartError
from tests.labcluster.node.runtime_scenarios.lab import Lab, children, readable, run_in


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
    refilling = lab.runtime._sandboxes._refilling
    if refilling:
        await refilling
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
        Stdio(stdout=write),
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


def lab_spare_descriptors() -> int:
    """Descriptors of one spare namespace at most: itself, and the netlink socket in it with its helpers."""
    return 8


def interfaces() -> list[str]:
    return [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]


def hardware_address(interface: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        reply = fcntl.ioctl(any_socket, 0x8927, struct.pack("16s24x", interface.encode()))  # SIOCGIFHWADDR
    return reply[18:24]
