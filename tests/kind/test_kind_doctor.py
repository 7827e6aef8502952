"""What `lab doctor` finds on a machine that kind is to run on."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from labsupport.backends.contract import Finding
from labsupport.backends.kind import config, create, doctor, troubles
from labsupport.backends.kind.engine import Engine
from tests.kind.kind_machine import Machine

GIB = 1 << 30


def found(machine: Machine, subject: str) -> Finding:
    return next(f for f in machine.backend.doctor() if f.subject == subject)


def test_a_machine_with_everything_has_nothing_to_mend(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    findings = machine.backend.doctor()
    assert [f.subject for f in findings] == ["kind", "engine", "memory", "cgroups", "ports", "inotify", "proxy"]
    assert not [f for f in findings if f.level == "fail"]


def test_missing_programs_are_found(machine: Machine) -> None:
    machine.without("kind")
    machine.without("docker")
    assert found(machine, "kind").remedy == troubles.NO_KIND.remedy
    assert found(machine, "engine").remedy == troubles.NO_ENGINE.remedy


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", troubles.NOT_RUNNING),
        ("permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
         troubles.NO_PERMISSION),
    ],
)  # fmt: skip
def test_an_engine_that_does_not_answer_is_told_by_the_command(
    machine: Machine, said: str, trouble: troubles.Trouble
) -> None:
    (machine.home / "bin" / "docker").write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    machine.act(kind_version={"output": "kind v0.11.1 go1.16.4 linux/amd64"})
    lab = Path(sys.executable).parent / "lab"
    done = subprocess.run([lab, "doctor"], env=machine.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"FAIL  engine: {trouble.what}" in done.stdout
    assert f"      -> {trouble.remedy}" in done.stdout
    assert f"FAIL  kind: {troubles.OLD_KIND.what}" in done.stdout
    assert not machine.state.exists()


def test_a_taken_port_is_named(machine: Machine) -> None:
    port = config.read(machine.config).mappings[3][1]
    with socket.socket() as one:
        one.bind(("127.0.0.1", port))
        one.listen()
        finding = found(machine, "ports")
    assert finding.level == "fail"
    assert str(port) in finding.detail


def test_the_ports_of_our_own_cluster_are_not_taken(machine: Machine) -> None:
    machine.state.mkdir()
    create.Record("lab", "docker", complete=True).write(machine.state)
    assert found(machine, "ports").level == "ok"


@pytest.mark.parametrize(
    ("info", "level"),
    [
        ({"MemTotal": GIB}, "fail"),
        ({"MemTotal": 3 * GIB}, "note"),
        ({"host": {"memTotal": 8 * GIB}}, "ok"),
        ({}, "note"),
    ],
)
def test_memory_is_looked_at(info: dict[str, Any], level: str) -> None:
    assert doctor.memory(Engine("docker", info)).level == level


@pytest.mark.parametrize(
    ("info", "level"),
    [
        ({"CgroupVersion": "2"}, "ok"),
        ({"CgroupVersion": "1"}, "note"),
        ({"CgroupVersion": "1", "SecurityOptions": ["name=rootless"]}, "fail"),
        ({"host": {"cgroupVersion": "v1", "security": {"rootless": True}}}, "fail"),
    ],
)
def test_cgroups_are_looked_at(info: dict[str, Any], level: str) -> None:
    assert doctor.cgroups(Engine("podman", info)).level == level


@pytest.mark.parametrize(("instances", "level"), [("128", "note"), ("1024", "ok")])
def test_inotify_limits_are_looked_at(tmp_path: Path, instances: str, level: str) -> None:
    (tmp_path / "max_user_instances").write_text(f"{instances}\n")
    (tmp_path / "max_user_watches").write_text("524288\n")
    assert doctor.inotify(tmp_path).level == level


@pytest.mark.parametrize(("no_proxy", "level"), [("", "fail"), ("localhost,127.0.0.1", "ok")])
def test_a_proxy_that_catches_the_clusters_addresses_is_found(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, level: str
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert doctor.proxy().level == level
