"""`lab` with kind, as far as it goes without an engine: kind and docker are stand-ins, the cluster behind is real."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
from kubernetes import client

from labsupport.backends import choice, contract, readiness
from labsupport.backends.contract import CommandError
from labsupport.backends.kind import create, troubles
from labsupport.settings import IMAGES, full_name
from tests.kind.kind_machine import Machine

LAB = Path(sys.executable).parent / "lab"


def test_a_cluster_is_made_used_found_again_and_removed(machine: Machine) -> None:
    assert machine.up() == "The cluster is up: 3 nodes are Ready, DNS answers, the images are loaded."
    assert "Preparing nodes 📦 📦 📦" in machine.said
    kubeconfig = machine.state / "kubeconfig"
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    (made,) = machine.called("kind", "create")
    assert made[made.index("--kubeconfig") + 1] == str(kubeconfig)
    nodes = client.CoreV1Api(readiness.connect(kubeconfig)).list_node().items
    assert [node.metadata.name for node in nodes] == ["lab-control-plane", "lab-worker", "lab-worker2"]
    assert {call[-1] for call in machine.called("docker", "pull")} == {full_name(image) for image in IMAGES}
    assert not (machine.state / "images.tar").exists()
    status = machine.backend.status()
    assert (status.running, status.details["engine"]) == (True, "docker")
    dns = json.loads((machine.state / "ports.json").read_text())["dns"]
    assert readiness.ask_dns(dns) == ""

    loads = len(machine.called("kind", "load"))
    assert machine.up() == "The cluster was up already."
    assert machine.backend.preload(machine.said.append) == "All images were loaded already."
    assert (len(machine.called("kind", "create")), len(machine.called("kind", "load"))) == (1, loads)
    assert machine.called("docker", "start")

    assert machine.down() == "The cluster is removed, with all its data."
    assert not machine.state.exists()
    assert machine.down() == "There was no cluster."


def test_an_interrupt_leaves_a_mark_and_the_next_start_begins_again(machine: Machine) -> None:
    with machine.hanging_start("kind create") as process:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "goes on from here" in said
    record = create.read_record(machine.state)
    assert record
    assert not record.complete
    assert not machine.backend.status().running
    with pytest.raises(CommandError, match="there is no cluster"):
        machine.backend.preload(machine.said.append)

    machine.act(kind_create={"code": 1, "output": "no"})  # the second attempt gets as far as creating
    with pytest.raises(CommandError):
        machine.up()
    assert "An earlier start was interrupted: removing what it left ..." in machine.said
    order = [call[1] for call in machine.calls if call[0] == "kind" and call[1] in ("create", "delete")]
    assert order == ["create", "delete", "create", "delete"]


@pytest.mark.parametrize("moment", ["docker exec", "docker pull", "docker save", "kind load"])
def test_an_interrupt_while_images_are_loaded_leaves_a_cluster_to_go_on_with(machine: Machine, moment: str) -> None:
    with machine.hanging_start(moment) as process:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "goes on from here" in said
    assert not (machine.state / "images.tar").exists()
    assert machine.backend.status().running

    machine.act()
    assert machine.up().startswith("The cluster is up: 3 nodes")
    assert len(machine.called("kind", "create")) == 1
    assert set((machine.home / "loaded").read_text().split()) == {full_name(image) for image in IMAGES}
    assert machine.down() == "The cluster is removed, with all its data."


def test_a_killed_start_is_begun_again(machine: Machine) -> None:
    with machine.hanging_start("kind create") as process:
        process.kill()
    (machine.home / "never").write_text("")  # kind was not killed with it, and fails later
    machine.act()
    assert machine.up().startswith("The cluster is up: 3 nodes")
    assert "An earlier start was interrupted: removing what it left ..." in machine.said
    machine.down()


def test_after_the_first_start_no_network_is_needed(machine: Machine) -> None:
    machine.up()
    machine.down()
    offline = {"code": 1, "output": "dial tcp: lookup registry-1.docker.io: no such host"}
    machine.act(docker_pull=offline)
    pulls = len(machine.called("docker", "pull"))
    assert machine.up().startswith("The cluster is up")
    assert len(machine.called("docker", "pull")) == pulls
    assert set((machine.home / "loaded").read_text().split()) == {full_name(image) for image in IMAGES}


@pytest.mark.parametrize("engine", ["podman", "nerdctl"])
def test_another_engine_is_found_and_kind_is_told(machine: Machine, engine: str) -> None:
    machine.with_engine(engine)
    machine.up()
    assert machine.backend.status().details["engine"] == engine
    assert machine.called(engine, "save")
    assert {call[1] for call in machine.providers} == {engine}
    machine.down()


def test_a_half_made_cluster_goes_with_down(machine: Machine) -> None:
    machine.state.mkdir(mode=0o700)
    contract.record("kind", machine.state)
    create.Record("lab", "docker", complete=False).write(machine.state)
    machine.down()
    assert machine.called("kind", "delete", "cluster", "--name", "lab")
    assert not machine.state.exists()


def test_a_cluster_of_that_name_which_is_not_ours_is_left_alone(machine: Machine) -> None:
    (machine.home / "clusters").write_text("lab\nother\n")
    with pytest.raises(CommandError, match="that this lab has not made"):
        machine.up()
    assert machine.down().startswith("There was no cluster")
    assert not machine.called("kind", "delete")


FAILURES = [
    ("docker_info", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", troubles.NOT_RUNNING),
    (
        "docker_info",
        "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
        troubles.NO_PERMISSION,
    ),
    (
        "kind_create",
        "docker: Error response from daemon: failed to set up container networking: Bind for 127.0.0.1:30000 failed: "
        "port is already allocated.",
        troubles.PORT_TAKEN,
    ),
    ("kind_create", "ERROR: failed to create cluster: too many open files", troubles.INOTIFY),
    ("kind_create", "kubeadm init: exit status 137", troubles.MEMORY),
    ("kind_create", 'could not find a log line that matches "Reached target .*Multi-User System.*"', troubles.CGROUP),
    ("kind_create", 'rootless provider requires setting systemd property "Delegate=yes"', troubles.CGROUP),
    ("kind_create", 'failed to pull image "kindest/node:v1.35.0": proxyconnect tcp: dial tcp', troubles.PROXY),
    ("kind_create", 'failed to pull image "kindest/node:v1.35.0": exit status 1', troubles.PULL),
    ("kind_create", "write /var/lib/docker/tmp/x: no space left on device", troubles.DISK),
    ("kind_create", "node(s) already exist for a cluster with the name \"lab\"", troubles.NAME_TAKEN),
]  # fmt: skip


@pytest.mark.parametrize(("act", "output", "trouble"), FAILURES)
def test_each_known_failure_is_named_with_its_remedy(
    machine: Machine, act: str, output: str, trouble: troubles.Trouble
) -> None:
    machine.act(**{act: {"code": 1, "output": output}})
    if act == "docker_info":  # that goes to standard error
        script = machine.home / "bin" / "docker"
        script.write_text(f"#!/bin/sh\necho '{output}' >&2\nexit 1\n")
    with pytest.raises(CommandError) as caught:
        machine.up()
    assert trouble.what in str(caught.value)
    assert trouble.remedy in str(caught.value)
    assert create.read_record(machine.state) is None
    assert not (machine.state / "cluster.json").exists()
    deleted = bool(machine.called("kind", "delete"))
    assert deleted == (act == "kind_create" and trouble is not troubles.NAME_TAKEN)


def test_an_unknown_failure_is_shown_as_it_is(machine: Machine) -> None:
    machine.act(kind_create={"code": 1, "output": "ERROR: the moon is in the way"})
    with pytest.raises(CommandError, match="the moon is in the way"):
        machine.up()
    assert "the moon is in the way" in (machine.state / "kind.log").read_text()


@pytest.mark.parametrize(("missing", "trouble"), [("kind", troubles.NO_KIND), ("docker", troubles.NO_ENGINE)])
def test_what_is_not_installed_is_named(machine: Machine, missing: str, trouble: troubles.Trouble) -> None:
    machine.without(missing)
    with pytest.raises(CommandError, match=trouble.what):
        machine.up()
    assert not machine.state.exists()


def test_an_old_kind_is_refused(machine: Machine) -> None:
    machine.act(kind_version={"output": "kind v0.11.1 go1.16.4 linux/amd64"})
    with pytest.raises(CommandError, match="too old"):
        machine.up()


def test_an_image_that_no_archive_brings_is_pulled_by_the_nodes(machine: Machine) -> None:
    machine.act(kind_load={"code": 1, "output": "ctr: content digest sha256:00: not found"})
    machine.up()
    pulls = machine.called("docker", "exec")
    assert [call[-1] for call in pulls if "pull" in call] == [full_name(i) for i in IMAGES for _ in range(2)]


def test_an_image_that_cannot_be_had_is_told_and_the_cluster_stays(machine: Machine) -> None:
    machine.act(docker_pull={"code": 1, "output": "dial tcp: lookup registry-1.docker.io: no such host"})
    with pytest.raises(CommandError, match=r"the cluster is up, but the image .* could not be loaded") as caught:
        machine.up()
    assert troubles.PULL.remedy in str(caught.value)
    assert machine.backend.status().running


def test_auto_takes_kind_where_kind_and_an_engine_answer(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_STATE", str(machine.state))
    assert choice.choose("auto").name == "kind"
    machine.act(docker_info={"code": 1})
    assert choice.choose("auto").name == "embedded"
    machine.act()
    machine.without("kind")
    assert choice.choose("auto").name == "embedded"
