"""A lab on somebody else's cluster: an embedded one, of which nothing is known but its kubeconfig."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from labsupport import paths, settings
from labsupport.backends import readiness
from labsupport.backends.contract import CommandError
from labsupport.backends.current import own, preflight
from labsupport.backends.current.cluster import CurrentBackend
from tests.current import limited_user
from tests.running_lab import RunningLab

BIN = Path(sys.executable).parent


class Learner:
    """Somebody who works on the shared cluster."""

    def __init__(self, name: str, home: Path, kubeconfig: Path) -> None:
        self.name = name
        self.state = home / name
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("LAB_")},
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "CLUSTER": "current",
            "KUBECONFIG": str(kubeconfig),
            "LAB_STATE": str(self.state),
            "LAB_PREFIX": name,
            "LAB_YES": "1",
        }

    def lab(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "lab", *arguments],
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def run(self, program: str) -> str:
        """What a notebook's cell prints."""
        done = subprocess.run(
            [sys.executable, "-c", f"import labsupport as lab\n{program}"],
            env=self.environment,
            cwd=paths.course_root() / "notebooks",
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def notebook(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a notebook and compare its outputs; the caller looks at the exit code."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
        return subprocess.run(
            [*command, "--nbval-sanitize-with=tests/sanitize.cfg", f"notebooks/{name}"],
            cwd=paths.course_root(),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    def up(self) -> None:
        done = self.lab("up")
        assert done.returncode == 0, done.stderr + done.stdout


@pytest.fixture(scope="module")
def learners(cluster: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Learner]]:
    """Ann, who is an administrator, and Bob, who has the rights of docs/learner-role.yaml."""
    home = tmp_path_factory.mktemp("learners")
    files = {"ann": cluster.kubeconfig, "bob": limited_user.learner(cluster, "bob", home)}
    both = [Learner(name, home, file) for name, file in files.items()]
    try:
        for learner in both:
            learner.up()
        yield both
    finally:
        for learner in both:
            learner.lab("down")


WEB = """
lab.begin("01")
lab.apply("manifests/01_web.yaml")
lab.wait("replicaset/web", "Ready")
"""


VOLUME = """
lab.apply('''
apiVersion: v1
kind: PersistentVolume
metadata: {name: made-by-hand}
spec:
  capacity: {storage: 1Mi}
  accessModes: [ReadWriteOnce]
  hostPath: {path: /tmp/made-by-hand}
''')
print(lab.obj("pv/ann-made-by-hand").metadata.labels)
"""


KIND = """
lab.begin("01")
lab.apply('''
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: routes.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Route, plural: routes}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
''')
"""


def namespaces(cluster: RunningLab) -> set[str]:
    return {n.metadata.name for n in cluster.core.list_namespace().items}


def test_a_kind_is_for_all_learners_and_carries_no_ones_label(learners: list[Learner], cluster: RunningLab) -> None:
    told = [learner.run(KIND).splitlines()[-1] for learner in learners]
    made = "customresourcedefinition.apiextensions.k8s.io/routes.example.com"
    assert told == [f"{made} created", f"{made} unchanged"]
    found = json.loads(cluster.kubectl("get", "crd", "routes.example.com", "-o", "json"))["metadata"]
    assert found.get("labels") is None


def test_two_learners_use_one_node_port_and_reach_their_own_pods(learners: list[Learner], cluster: RunningLab) -> None:
    for learner in learners:
        told = learner.run(WEB + 'lab.apply("manifests/01_web.yaml")').splitlines()
        assert told[0] == f"namespace {learner.name}-chapter-01 is clean"
        assert told[-1] == "service/web unchanged"
    pods = {}
    for learner in learners:
        found = cluster.core.list_namespaced_pod(f"{learner.name}-chapter-01").items
        pods[learner.name] = {pod.metadata.name for pod in found}
        script = "print({lab.fetch(30001) for _ in range(20)} <= set(__import__('json').loads('''%s''')))"
        assert learner.run(script % json.dumps(sorted(pods[learner.name]))) == "True\n"
    assert not pods["ann"] & pods["bob"]


def test_dns_answers_over_udp_and_tcp(learners: list[Learner]) -> None:
    script = """
lab.begin("00")
for tcp in (False, True):
    print(lab.lookup("dns-version.cluster.local", "TXT", tcp=tcp), lab.lookup("nobody", tcp=tcp))
lab.end()
"""
    assert learners[0].run(script).splitlines()[1:3] == ['"1.1.0" NXDOMAIN'] * 2


CORDON = """
import time
lab.begin("02")
for _ in range(6):
    lab.cordon("lab-worker2", quiet=True)
    begun = time.monotonic()
    assert lab.obj("node/lab-worker2").metadata.annotations["course.lab/cordoned"] == "{name}"
    print("held", begun, time.monotonic())
    lab.uncordon()
lab.end()
"""


def test_learners_who_cordon_nodes_take_turns(learners: list[Learner]) -> None:
    with ThreadPoolExecutor() as both:
        told = list(both.map(lambda learner: learner.run(CORDON.replace("{name}", learner.name)), learners))
    held = sorted(
        tuple(map(float, line.split()[1:])) for text in told for line in text.splitlines() if line.startswith("held")
    )
    assert len(held) == 12
    assert all(end < begun for (_, end), (begun, _) in pairwise(held))


def test_a_learner_who_does_not_let_a_node_go_is_named(learners: list[Learner]) -> None:
    ann, bob = learners
    ann.run('lab.cordon("lab-worker")')
    try:
        with pytest.raises(AssertionError, match="released by ann, who has cordoned it"):
            bob.run('lab.cordon("lab-worker2", timeout=1)')
    finally:
        ann.run("lab.uncordon()")
    bob.run('lab.cordon("lab-worker2", timeout=1); lab.uncordon()')


def test_the_state_has_its_own_kubeconfig_and_ports(learners: list[Learner], cluster: RunningLab) -> None:
    one, other = (json.loads((learner.state / "ports.json").read_text()) for learner in learners)
    assert not set(one["nodePorts"].values()) & set(other["nodePorts"].values())
    assert set(one["nodePorts"]) == {str(port) for port in settings.NODE_PORTS}
    kubeconfig = learners[0].state / "kubeconfig"
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    status = json.loads(learners[0].lab("status", "--json").stdout)
    assert (status["running"], status["namespaces"]) == (True, "ann-*")


def test_down_removes_only_what_is_the_learners_own(learners: list[Learner], cluster: RunningLab) -> None:
    foreign = "ann-of-somebody-else"  # begins like hers, and is not
    cluster.core.create_namespace({"metadata": {"name": foreign}})
    try:
        learners[0].run('lab.begin("00")\n' + VOLUME)
        done = learners[0].lab("down")
        assert done.returncode == 0, done.stderr
        left = namespaces(cluster)
        assert not cluster.core.list_persistent_volume(label_selector="course.lab/learner=ann").items
        assert not {"ann-lab", "ann-chapter-00", "ann-chapter-01"} & left
        assert {foreign, "bob-lab", "default"} <= left
        assert not learners[0].state.exists()
    finally:
        cluster.core.delete_namespace(foreign)


def test_down_of_nothing_does_nothing(tmp_path: Path, cluster: RunningLab) -> None:
    done = Learner("eve", tmp_path, cluster.kubeconfig).lab("down")
    assert done.returncode == 0 and "There was no lab." in done.stdout


def test_what_somebody_put_into_the_state_stays(learners: list[Learner], cluster: RunningLab) -> None:
    bob = learners[1]
    (bob.state / "notes").write_text("mine")
    told = bob.lab("down").stdout
    assert f"The lab is removed. {bob.state} stays: it has files that are not the lab's" in told and "notes" in told
    assert not any(name.startswith("bob-") for name in namespaces(cluster))
    (bob.state / "notes").unlink()
    bob.up()


def test_reset_removes_what_the_chapters_made_and_nothing_else(learners: list[Learner], cluster: RunningLab) -> None:
    bob = learners[1]
    bob.run('lab.begin("00")')
    kubeconfig = (bob.state / "kubeconfig").read_text()
    done = bob.lab("reset")
    assert done.returncode == 0 and "Your part of the cluster is as new." in done.stdout, done.stdout + done.stderr
    assert {name for name in namespaces(cluster) if name.startswith("bob-")} == {"bob-lab"}
    assert (bob.state / "kubeconfig").read_text() == kubeconfig
    assert json.loads(bob.lab("status", "--json").stdout)["running"] is True


def test_the_images_are_loaded_again_on_request(learners: list[Learner]) -> None:
    done = learners[1].lab("preload")
    assert done.returncode == 0 and "The nodes have the images" in done.stdout, done.stdout + done.stderr


def test_a_cluster_that_has_gone_is_told_with_what_to_ask_it(
    learners: list[Learner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((learners[1].state / "kubeconfig").read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "gone").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "gone"))
    monkeypatch.setenv("LAB_PREFIX", "eve")
    (finding,) = CurrentBackend(tmp_path / "state").doctor()
    assert (finding.level, finding.subject) == ("fail", "cluster") and "`kubectl version`" in finding.remedy
    gone = Learner("eve", tmp_path, tmp_path / "gone").lab("up")
    assert gone.returncode == 1 and "the cluster does not answer" in gone.stderr and "kubectl version" in gone.stderr


def test_nothing_is_made_without_a_yes(tmp_path: Path, cluster: RunningLab) -> None:
    eve = Learner("eve", tmp_path, cluster.kubeconfig)
    done = eve.lab("up", LAB_YES="")
    assert done.returncode == 1
    assert "nobody is there to agree" in done.stderr
    assert "namespaces: made and deleted, only ones whose name begins with `eve-`" in done.stdout
    assert not any(name.startswith("eve-") for name in namespaces(cluster))


def test_a_namespace_of_that_name_that_is_not_ours_is_left_alone(tmp_path: Path, cluster: RunningLab) -> None:
    cluster.core.create_namespace({"metadata": {"name": "sam-lab"}})
    try:
        done = Learner("sam", tmp_path, cluster.kubeconfig).lab("up")
        assert done.returncode == 1
        assert "a namespace sam-lab that this course has not made" in done.stderr
    finally:
        cluster.core.delete_namespace("sam-lab")


# ---------------------------------------------------------------- preflight


def test_the_embedded_cluster_has_all_that_the_course_needs(cluster: RunningLab) -> None:
    findings = list(preflight.examine(readiness.connect(cluster.kubeconfig), "eve"))  # who has no namespace yet
    assert {f.subject for f in findings} == {"version", "permissions", "storage class", "nodes", "NodePorts"}
    assert all(f.level == "ok" for f in findings), findings


def test_missing_permissions_are_named_one_by_one(cluster: RunningLab, tmp_path: Path) -> None:
    file = limited_user.kubeconfig_of(cluster, "default", "default", tmp_path)
    told = [f for f in preflight.examine(readiness.connect(file), "ann") if f.subject == "permissions"]
    texts = [f.detail for f in told if f.level == "fail"]
    assert any("create, delete namespaces in the whole cluster" in text for text in texts), texts
    assert any("pods/portforward in namespaces that begin with ann-" in text for text in texts)
    assert all("docs/learner-role.yaml" in f.remedy for f in told)


def test_a_cluster_that_admits_no_pod_in_its_nodes_network_is_noted(
    learners: list[Learner], cluster: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = readiness.connect(cluster.kubeconfig)
    (found,) = preflight.host_network(api, "bob")
    assert (found.level, found.subject) == ("ok", "hostNetwork")
    assert not [p for p in cluster.core.list_namespaced_pod("bob-lab").items if p.metadata.name == "machine"]
    assert list(preflight.host_network(api, "nobody")) == []

    def refuse(*_: object, **__: object) -> None:
        error = ApiException(status=403)
        error.body = (
            'pods "machine" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
        )
        raise error

    monkeypatch.setattr(client.CoreV1Api, "create_namespaced_pod", refuse)
    (found,) = preflight.host_network(api, "bob")
    assert found.level == "note"
    assert "pod-security.kubernetes.io/enforce" in found.remedy


@pytest.mark.parametrize(("minor", "level"), [("28", "fail"), ("29", "ok"), ("34+", "ok")])
def test_an_old_cluster_is_refused(monkeypatch: pytest.MonkeyPatch, minor: str, level: str) -> None:
    told = client.VersionInfo(
        major="1", minor=minor, git_version=f"v1.{minor}.0", git_commit="", git_tree_state="", build_date="",
        go_version="", compiler="", platform="",
    )  # fmt: skip
    monkeypatch.setattr(client.VersionApi, "get_code", lambda self: told)
    assert preflight._version(client.ApiClient(client.Configuration())).level == level


def test_doctor_says_that_there_is_no_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    (finding,) = CurrentBackend(tmp_path / "state").doctor()
    assert (finding.level, finding.subject) == ("fail", "context")
    with pytest.raises(CommandError, match="there is no lab yet"):
        CurrentBackend(tmp_path / "state").preload(print)


def test_an_image_that_the_nodes_cannot_pull_is_named(
    learners: list[Learner], cluster: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "IMAGES", ("valkey/valkey:0.0.1",))
    with pytest.raises(CommandError, match=r"the cluster cannot pull valkey/valkey:0.0.1: .*mirror of it"):
        own.pull_images(readiness.connect(cluster.kubeconfig), "bob", lambda text: None)
    names = {pod.metadata.name for pod in cluster.core.list_namespaced_pod("bob-lab").items}
    assert not any(name.startswith("preload") for name in names)


# ---------------------------------------------------------------- a notebook


def test_a_notebook_runs_without_a_changed_cell(learners: list[Learner]) -> None:
    """Chapter 00. All of them: KUBECONFIG=file LAB_PREFIX=ann LAB_YES=1 make test CLUSTER=current."""
    done = learners[1].notebook("00_start_here.ipynb")
    assert done.returncode == 0, done.stdout


def test_two_learners_are_in_one_chapter_at_once(learners: list[Learner]) -> None:
    """Chapter 10, in which most is shared: NodePorts, the nodes' networks, addresses that are announced."""
    for learner in learners:
        learner.up()  # a test before this one may have taken it down
    with ThreadPoolExecutor() as both:
        for done in both.map(lambda learner: learner.notebook("10_external_access_nodeport.ipynb"), learners):
            assert done.returncode == 0, done.stdout
