"""What a start that fails says: each cause with the remedy that fits it."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

from labcluster.launch import control, errors, host_ports
from labcluster.launch.errors import LaunchError

USERNS_CLONE, APPARMOR = "kernel/unprivileged_userns_clone", "kernel/apparmor_restrict_unprivileged_userns"
MOST = "user/max_user_namespaces"


@pytest.mark.parametrize(
    ("settings", "number", "remedy"),
    [
        ({USERNS_CLONE: "0", APPARMOR: "1"}, errno.EPERM, "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        ({MOST: "0"}, errno.EPERM, "sudo sysctl -w user.max_user_namespaces=15000"),
        ({MOST: "10"}, errno.ENOSPC, "sudo sysctl -w user.max_user_namespaces=15000"),
        ({APPARMOR: "1", MOST: "9000"}, errno.EPERM, "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
        ({MOST: "9000"}, errno.EINVAL, "another kernel is needed"),
        ({USERNS_CLONE: "1", APPARMOR: "0", MOST: "9000"}, errno.EPERM, "--security-opt seccomp=unconfined"),
    ],
)
def test_a_refused_namespace_names_the_setting_that_refuses_it(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], number: int, remedy: str
) -> None:
    monkeypatch.setattr(errors, "_sysctl", lambda name: settings.get(name, ""))
    error = errors.namespaces_refused("create a user namespace", number, "Operation not permitted")
    assert error.message == "The kernel refused to create a user namespace: Operation not permitted."
    assert remedy in error.remedy
    if "sysctl" in remedy:
        assert f"'{remedy.split()[-1]}'" in error.remedy and "/etc/sysctl.d/60-lab.conf" in error.remedy


def test_a_kernels_setting_that_is_not_there_is_none() -> None:
    assert errors._sysctl("kernel/ostype") == "Linux"
    assert errors._sysctl("kernel/no-such-setting") == ""


def test_a_command_that_holds_the_lab_for_too_long_is_named(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LaunchError, match="starting or stopping this lab for 1 seconds") as refused:
            control.start(tmp_path, timeout=1)
    assert refused.value.remedy == f"See which one: fuser -v {tmp_path / 'lock'}"


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LaunchError, match=r"Not a directory: .*/file/state") as refused:
        control.start(tmp_path / "file" / "state")
    assert "writable" in refused.value.remedy


@pytest.mark.parametrize(("bind", "count"), [("_bind_pair", 31), ("_bind_tcp", 1)])
def test_a_machine_without_free_ports_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bind: str, count: int
) -> None:
    def refuse(port: int, *, listen: bool) -> None:
        raise OSError(errno.EADDRINUSE, "Address already in use")

    monkeypatch.setattr(host_ports, bind, refuse)
    with pytest.raises(LaunchError, match=f"No block of {count} free ports") as refused:
        host_ports.bind_host_sockets(tmp_path, api_port=0, dns_node_port=30053, node_ports=range(30000, 30030))
    assert "lab down" in refused.value.remedy
    assert host_ports.read_ports(tmp_path) is None


def test_a_log_that_has_grown_large_is_put_aside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(control, "_LOG_LIMIT", 10)
    log = tmp_path / control.LOG
    log.write_text("ten words\n")
    control._rotate(log)
    assert log.exists()
    log.write_text("more than ten\n")
    control._rotate(log)
    assert not log.exists() and (tmp_path / f"{control.LOG}.1").read_text() == "more than ten\n"
