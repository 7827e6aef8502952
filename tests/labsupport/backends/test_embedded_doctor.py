"""What `lab doctor` finds on machines that lack something."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from labcluster.launch import host_ports
from labcluster.launch.errors import LaunchError
from labsupport.backends.contract import CommandError
from labsupport.backends.embedded import cluster, doctor

MIB = 2**20


def only(findings: list[doctor.Finding], level: str) -> doctor.Finding:
    """The one finding of that level."""
    (found,) = [finding for finding in findings if finding.level == level]
    return found


def test_on_another_system_nothing_else_is_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor.sys, "platform", "darwin")
    (finding,) = doctor.examine(tmp_path)
    assert (finding.level, finding.subject) == ("fail", "system")
    assert "use CLUSTER=kind" in finding.remedy


def test_each_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which
    missing = ("nsenter", "kubectl")
    monkeypatch.setattr(doctor.shutil, "which", lambda tool, path=None: None if tool in missing else found(tool))
    findings = list(doctor._tools())
    assert "'nsenter'" in only(findings, "fail").detail
    assert "apt-get install util-linux" in only(findings, "fail").remedy
    assert only(findings, "note").detail == "the environment has no kubectl"
    assert "flock" in only(findings, "ok").detail


def test_programs_that_pods_would_lack_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which
    absent = {"/usr/sbin:/usr/bin:/sbin:/bin": ("hostname", "awk")}  # there in /usr/local/bin, which is in no container
    which = lambda tool, path=None: None if tool in absent.get(path, ()) else found(tool, path=path)  # noqa: E731
    monkeypatch.setattr(doctor.shutil, "which", which)
    notes = [finding.detail for finding in doctor._images() if finding.level == "note"]
    assert "pods take these from this system, which lacks them: awk, hostname" in notes


@pytest.mark.parametrize("error", [LaunchError("The kernel refused.", "Allow it."), OSError("no room")])
def test_refused_namespaces_are_a_failure(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(doctor.control, "check_namespaces", refuse)
    finding = doctor._namespaces()
    assert finding.level == "fail" and finding.detail in str(error)
    assert finding.remedy == getattr(error, "remedy", "")


@pytest.mark.parametrize(("free", "level"), [(1, "fail"), (150, "note"), (5000, "ok")])
def test_the_disk_is_looked_at_where_the_state_will_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, level: str
) -> None:
    asked = []

    def statvfs(place: Path) -> SimpleNamespace:
        asked.append(place)
        return SimpleNamespace(f_bavail=free * MIB, f_frsize=1)

    monkeypatch.setattr(doctor.os, "statvfs", statvfs)
    finding = doctor._disk(tmp_path / "not" / "yet" / "there")
    assert asked == [tmp_path]
    assert (finding.level, finding.detail) == (level, f"{free} MiB free at {tmp_path}")


def test_a_place_that_is_not_ones_own_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda place, mode: mode != os.W_OK | os.X_OK)
    finding = doctor._disk(tmp_path)
    assert finding.level == "fail" and "not writable" in finding.detail and "LAB_STATE" in finding.remedy


@pytest.mark.parametrize(("free", "level"), [(100, "fail"), (500, "note"), (4000, "ok")])
def test_memory_is_looked_at(monkeypatch: pytest.MonkeyPatch, free: int, level: str) -> None:
    told = f"MemTotal: 9999999 kB\nMemAvailable: {free * 1024} kB\n"
    monkeypatch.setattr(doctor.Path, "read_text", lambda self: told)
    finding = doctor._memory()
    assert (finding.level, finding.detail) == (level, f"{free} MiB free")


def test_the_ports_of_the_last_start_are_tried(tmp_path: Path) -> None:
    with socket.socket() as one, socket.socket() as other:
        for taken in (one, other):
            taken.bind(("127.0.0.1", 0))
        api, node_port = one.getsockname()[1], other.getsockname()[1]
        ports = host_ports.Ports(api, api, {30000: node_port})
        (tmp_path / host_ports.RECORD).write_text(json.dumps(ports.to_json()))
        finding = doctor._ports(tmp_path)
        assert finding.level == "fail" and f"Port {api} on 127.0.0.1 is taken" in finding.detail
        assert f"rm {tmp_path / host_ports.RECORD}" in finding.remedy


def test_an_environment_of_another_kind_of_cluster_is_told_how_to_become_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "is_installed", lambda: False)
    with pytest.raises(CommandError, match="`make lab CLUSTER=embedded` installs them"):
        cluster.EmbeddedBackend(tmp_path / "state").up(lambda text: None)
    assert not (tmp_path / "state").exists()
