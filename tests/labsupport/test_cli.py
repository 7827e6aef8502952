"""The command `lab`: what it says, its exit codes, and what it leaves on the disk."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import pytest

from labcluster.launch import search
from labsupport import cli, paths
from tests.running_lab import BIN, RunningLab


@pytest.fixture
def absent(tmp_path: Path) -> RunningLab:
    """A lab that was never started."""
    return RunningLab(tmp_path / "state")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A running lab for this module, which may be reset."""
    lab = RunningLab(tmp_path_factory.mktemp("cli") / "state")
    lab.keep_ports()
    lab.up()
    yield lab
    lab.down()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_up_says_what_it_did_and_what_comes_next(absent: RunningLab) -> None:
    told = absent.up()
    try:
        assert "nodes Ready: lab-control-plane, lab-worker, lab-worker2" in told
        assert "The cluster is up" in told
        assert "Next: `lab open`" in told
        pid = absent.status()["pid"]
        assert "was up already" in absent.up()
        assert absent.status()["pid"] == pid
    finally:
        assert "The cluster is removed, with all its data." in absent.down()
    assert not absent.state.exists()


def test_a_running_cluster_is_found_again_where_its_record_or_all_its_state_was_removed(absent: RunningLab) -> None:
    absent.up()
    pid = absent.status()["pid"]
    (absent.state / "daemon.json").unlink()
    assert "was up already" in absent.up()
    assert absent.status()["pid"] == pid
    assert search.is_daemon_running(absent.state)
    shutil.rmtree(absent.state)
    assert "The cluster is removed" in absent.down()
    assert not absent.state.exists()
    assert not search.is_daemon_running(absent.state)


def test_down_of_nothing_does_nothing(absent: RunningLab) -> None:
    assert "There was no cluster." in absent.down()
    assert not absent.state.exists()


def test_status_of_a_running_lab(own: RunningLab) -> None:
    status = own.status()
    assert (status["cluster"], status["running"], status["state"]) == ("embedded", True, str(own.state))
    assert status["server"].startswith("https://127.0.0.1:")
    assert status["dns"].startswith("127.0.0.1:")
    assert set(status["nodePorts"]) == {str(port) for port in range(30000, 30030)}
    assert Path(status["log"]).exists()
    os.kill(status["pid"], 0)
    told = own.lab("status").stdout
    assert "embedded, running" in told and "Next: `lab open`" in told
    (line,) = [line for line in told.splitlines() if line.startswith("nodePorts")]
    assert line.split()[1] == "30000-30029"


def test_ports_are_told_as_ranges() -> None:
    assert cli._compact({str(n): n for n in range(30000, 30030)}) == "30000-30029"
    assert cli._compact({str(n): n + 100 for n in range(30000, 30030)}) == "30000-30029 -> 30100-30129"
    assert cli._compact({"30003": 31000, "30001": 30001, "30000": 30000}) == "30000-30001, 30003 -> 31000"
    assert cli._compact({}) == ""


def test_what_kubectl_learns_of_the_cluster_goes_with_the_cluster(absent: RunningLab, tmp_path: Path) -> None:
    absent.up()
    program = (
        "import subprocess, labsupport as lab\n"
        "lab.begin('00')\n"
        "print(subprocess.run(['kubectl', 'get', 'pods'], capture_output=True, text=True))"
    )
    environment = {k: v for k, v in absent.environment.items() if k != "KUBECACHEDIR"}
    try:
        home = {**environment, "HOME": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", program], env=home, capture_output=True, text=True, timeout=60)
        assert "returncode=0" in done.stdout, done.stdout + done.stderr
        assert list((absent.state / "kubectl-cache").iterdir())
        assert not (tmp_path / ".kube").exists()
    finally:
        absent.down()
    assert not absent.state.exists()


def test_status_of_no_lab(absent: RunningLab) -> None:
    assert absent.status() == {"cluster": "embedded", "running": False, "state": str(absent.state)}
    told = absent.lab("status")
    assert told.returncode == 0
    assert "embedded, not running" in told.stdout and "Next: `lab up`" in told.stdout
    assert not absent.state.exists(), "asking leaves nothing behind"


@pytest.mark.parametrize("damaged", ["", "[]", '"kind"', '{"cluster": ["kind"]}'])
def test_a_damaged_record_of_the_cluster_counts_as_none(absent: RunningLab, damaged: str) -> None:
    absent.state.mkdir()
    (absent.state / "cluster.json").write_text(damaged)
    assert absent.status()["running"] is False


def test_nobody_has_to_read_all_that_it_says(absent: RunningLab) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [BIN / "lab", "status"], env=absent.environment, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=30
    )
    os.close(writer)
    assert done.stderr == ""


def test_kubeconfig_is_printed_for_use_in_a_shell(own: RunningLab, absent: RunningLab) -> None:
    assert own.lab("kubeconfig").stdout == f"{own.kubeconfig}\n"
    refused = absent.lab("kubeconfig")
    assert refused.returncode == 1
    assert "`lab up` starts the cluster" in refused.stderr


def test_keys_and_state_are_for_their_owner_only(own: RunningLab) -> None:
    assert mode(own.state) == 0o700
    assert mode(own.kubeconfig) == 0o600
    assert mode(own.state / "pki") == 0o700
    assert {mode(key) for key in (own.state / "pki").glob("*.key")} == {0o600}


def test_reset_keeps_addresses_and_keys_and_nothing_else(own: RunningLab) -> None:
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gone"}}
    own.kubectl("create", "-f", "-", stdin=json.dumps(config_map))
    kept = ("ports.json", "kubeconfig", "pki/ca.crt", "pki/admin.key", "pki/sa.key")
    before, pid = {name: (own.state / name).read_bytes() for name in kept}, own.status()["pid"]
    assert "The cluster is as new." in own.lab("reset").stdout
    assert {name: (own.state / name).read_bytes() for name in kept} == before
    assert own.status()["pid"] != pid
    assert "gone" not in own.kubectl("get", "configmaps", "-A")


@pytest.mark.parametrize("command", ["up", "down", "reset", "status", "doctor"])
def test_an_unknown_kind_of_cluster_is_refused(absent: RunningLab, command: str) -> None:
    refused = absent.lab(command, CLUSTER="minikube")
    assert refused.returncode == 1
    assert "CLUSTER=minikube is none of auto, embedded, kind, current" in refused.stderr
    assert not absent.state.exists()


def test_another_kind_of_cluster_does_not_take_over_a_running_lab(own: RunningLab) -> None:
    refused = own.lab("up", CLUSTER="kind")
    assert refused.returncode == 1
    assert "this lab runs on CLUSTER=embedded" in refused.stderr
    assert own.status()["running"]


def test_auto_stays_with_the_cluster_that_is_there(own: RunningLab) -> None:
    assert json.loads(own.lab("status", "--json", CLUSTER="auto").stdout)["pid"] == own.status()["pid"]


def test_doctor_names_all_it_looked_at(own: RunningLab) -> None:
    done = own.lab("doctor")
    assert done.returncode == 0, done.stdout
    subjects = {
        line.split(":")[0].split(maxsplit=1)[1] for line in done.stdout.splitlines() if line[:4] in ("ok  ", "note")
    }
    assert subjects == {"system", "tools", "namespaces", "disk", "memory", "ports", "image"}
    assert "this lab runs and holds them" in done.stdout
    assert "valkey/valkey:8.1 <- " in done.stdout
    assert "Nothing to mend. Next: `lab open`." in done.stdout  # it runs


def test_doctor_leaves_nothing_behind(absent: RunningLab) -> None:
    done = absent.lab("doctor")
    assert done.returncode == 0
    assert "Next: `lab up`." in done.stdout
    assert not absent.state.exists()


def test_an_unknown_command_is_answered_with_the_known_ones(absent: RunningLab) -> None:
    refused = absent.lab("start")
    assert refused.returncode == 2
    for command in ("up", "open", "status", "reset", "down", "doctor", "kubeconfig", "test", "store"):
        assert command in refused.stderr


def test_open_knows_its_notebooks(absent: RunningLab) -> None:
    refused = absent.lab("open", "99_nothing.ipynb")
    assert refused.returncode == 1
    assert "00_start_here.ipynb" in refused.stderr


@pytest.mark.parametrize(
    ("words", "browser", "user"), [(["--no-browser"], True, 1000), ([], False, 1000), ([], True, 1000), ([], True, 0)]
)
def test_open_becomes_jupyterlab_on_loopback_with_the_labs_own_kubeconfig(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], browser: bool, user: int
) -> None:
    became: list[tuple[list[str], dict[str, str]]] = []
    went: list[Path] = []
    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "/home/ann/.kube/config")
    monkeypatch.setattr(cli.os, "execve", lambda program, command, environment: became.append((command, environment)))
    monkeypatch.setattr(cli.os, "chdir", went.append)
    monkeypatch.setattr(cli.os, "geteuid", lambda: user)
    monkeypatch.setattr(cli, "_has_browser", lambda: browser)
    cli._open(cli._parser().parse_args(["open", "01_stateless_and_stateful.ipynb", *words]))
    ((command, environment),) = became
    assert command[:4] == [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1"]
    assert "--LabApp.default_url=/lab/tree/01_stateless_and_stateful.ipynb" in command
    assert ("--no-browser" in command) == (bool(words) or not browser)
    assert ("--allow-root" in command) == (user == 0)
    assert not any("token" in word or "password" in word for word in command), "Jupyter's own token stays"
    assert environment["KUBECONFIG"] == str(tmp_path / "kubeconfig")
    assert environment["KUBECACHEDIR"] == str(tmp_path / "kubectl-cache")
    assert environment["PATH"].split(os.pathsep)[0] == str(BIN)
    assert went == [paths.course_root() / "notebooks"]


@pytest.mark.parametrize(
    ("words", "tool"),
    [
        (["test", "05", "11"], ["tools.run_chapters", "05", "11"]),
        (["test"], ["tools.run_chapters"]),
        (["test", "05", "--report", "out"], ["tools.run_chapters", f"--report={Path('out').absolute()}", "05"]),
        (["store", "05"], ["tools.store_outputs", "05"]),
        (["store", "a/05_b.ipynb"], ["tools.store_outputs", str(Path("a/05_b.ipynb").absolute())]),
    ],
)
def test_what_developers_need_is_handed_to_the_checkouts_tools(
    monkeypatch: pytest.MonkeyPatch, words: list[str], tool: list[str]
) -> None:
    became: list[tuple[list[str], dict[str, str]]] = []
    went: list[Path] = []
    monkeypatch.setattr(cli.os, "execve", lambda program, command, environment: became.append((command, environment)))
    monkeypatch.setattr(cli.os, "chdir", went.append)
    options = cli._parser().parse_args(["--cluster", "kind", *words])
    options.run(options)
    ((command, environment),) = became
    assert command == [sys.executable, "-m", *tool]
    assert environment["CLUSTER"] == "kind"
    assert went == [paths.course_root()]


@pytest.mark.parametrize(
    ("system", "settings", "there"),
    [("linux", {"DISPLAY": ":0"}, True), ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True), ("linux", {}, False),
     ("darwin", {}, True)],
)  # fmt: skip
def test_a_browser_needs_a_display(
    monkeypatch: pytest.MonkeyPatch, system: str, settings: dict[str, str], there: bool
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cli.sys, "platform", system)
    monkeypatch.setattr(webbrowser, "get", lambda: None)
    assert cli._has_browser() is there
    monkeypatch.setattr(webbrowser, "get", _no_browser)
    assert cli._has_browser() is False


def _no_browser() -> None:
    raise webbrowser.Error("could not locate runnable browser")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_state_directory_that_is_not_writable_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    refused = RunningLab(tmp_path / "closed" / "state").lab("up")
    assert refused.returncode == 1
    assert "cannot be used: Permission denied" in refused.stderr and "LAB_STATE" in refused.stderr


def test_a_cluster_of_another_version_is_started_anew_and_keeps_its_data(own: RunningLab) -> None:
    own.kubectl("create", "namespace", "kept")
    (own.state / "code").write_text("of another version")
    before = own.status()["pid"]
    assert "runs this version of the course now" in own.up()
    assert own.status()["pid"] != before
    assert "kept" in own.kubectl("get", "namespaces", "--output", "name")
    assert "was up already" in own.up()
