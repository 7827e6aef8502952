"""What a container sees: files, volumes, processes, users, capabilities."""

import sys
from pathlib import Path

from labcluster.node.spec import Mount
from tests.labcluster.node.runtime_scenarios.lab import Lab


async def nothing_of_the_hosts_home_can_be_seen(lab: Lab) -> None:
    checkout = Path(__file__).parents[4]
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
    for pid in (container.pid, container._monitor.pid):
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
