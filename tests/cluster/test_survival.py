"""What a lab survives: its processes killed, commands interrupted, ports taken, disks full, namespaces refused."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.requests_from_pods import get
from tests.manifests import service, shell, valkey, web, workload
from tests.running_lab import BIN, SECONDS, Namespace, RunningLab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RunningLab]:
    """A lab of this test's own, not started."""
    lab = RunningLab(tmp_path / "state")
    yield lab
    if lab.state.exists():
        lab.down()


class Processes:
    """The processes of a lab at one moment: the daemon and all that it started, held so that their end is seen."""

    def __init__(self, lab: RunningLab) -> None:
        self.daemon = int(lab.status()["pid"])
        self.all = [self.daemon, *descendants(self.daemon)]
        self._held = held(self.all)
        self.namespaces = {os.readlink(f"/proc/{self.daemon}/ns/{kind}") for kind in ("net", "mnt", "pid", "user")}

    def kill(self) -> None:
        """kill -9 of the daemon."""
        os.kill(self.daemon, signal.SIGKILL)

    def assert_gone(self) -> None:
        """All have ended, and nobody on the machine lives in their namespaces."""
        for held in self._held:
            poll = select.poll()
            poll.register(held, select.POLLIN)
            assert poll.poll(SECONDS * 1000), "a process outlives its daemon"
            os.close(held)
        self._held = []
        assert not self.namespaces & namespaces_in_use()


def descendants(pid: int) -> list[int]:
    """All processes below one. Some end while they are looked at: the commands of probes come and go."""
    children: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += [int(child) for child in (task / "children").read_text().split()]
    return children + [grandchild for child in children for grandchild in descendants(child)]


def held(pids: list[int]) -> list[int]:
    """A descriptor for each process that is still there."""
    descriptors = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            descriptors.append(os.pidfd_open(pid))
    return descriptors


def namespaces_in_use() -> set[str]:
    """Those of all processes that this user may look at; not of zombies, which wait for init to take note of them."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found |= {os.readlink(kind) for kind in (process / "ns").iterdir()}
    return found


def addresses(lab: RunningLab) -> list[str]:
    """The addresses of all running pods that have a network of their own."""
    pods = lab.core.list_pod_for_all_namespaces().items
    return [
        p.status.pod_ip for p in pods if p.status.pod_ip and p.status.phase == "Running" and not p.spec.host_network
    ]


def of_namespace(lab: RunningLab, name: str = "default") -> Namespace:
    return Namespace(lab, name)


def test_everything_is_there_again_after_the_daemon_was_killed_at_rest(lab: RunningLab) -> None:
    lab.keep_ports()
    lab.up()
    space = of_namespace(lab)
    space.apply(service("db", port=6379, clusterIP="None"), workload("StatefulSet", "db", 3, valkey()))
    space.apply(service("web", type="NodePort", nodePort=30001), workload("Deployment", "web", 2, web()))
    space.kubectl("rollout", "status", "sts/db", "--timeout=30s")
    space.kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    for n in range(3):
        space.sh(f"db-{n}", f"valkey-cli set who {n}; valkey-cli save")
    before = {name: space.get(name)["items"] for name in ("sts", "deploy", "rs", "svc", "pvc", "pv", "pods", "secrets")}
    kubeconfig, ports = lab.kubeconfig.read_text(), lab.status()["nodePorts"]

    old = Processes(lab)
    assert len(old.all) > 10
    old.kill()
    old.assert_gone()
    assert lab.status()["running"] is False
    assert lab.run_kubectl("get", "pods").returncode == 1

    assert "3 nodes are Ready" in lab.up()
    assert lab.kubeconfig.read_text() == kubeconfig
    assert lab.status()["nodePorts"] == ports
    space.wait("pod", "condition=Ready", "--all")
    space.wait("sts/db", "jsonpath={.status.readyReplicas}=3")
    space.wait("deploy/web", "jsonpath={.status.readyReplicas}=2")
    for kind, objects in before.items():
        after = {o["metadata"]["name"]: o["metadata"]["uid"] for o in space.get(kind)["items"]}
        assert after == {o["metadata"]["name"]: o["metadata"]["uid"] for o in objects}, kind
    for n in range(3):
        assert space.sh(f"db-{n}", "valkey-cli get who; hostname") == f"{n}\ndb-{n}\n"
    found = addresses(lab)
    assert len(found) == len(set(found)) == 5
    assert get(space, "db-0", "web").startswith("web-")
    with socket.create_connection(("127.0.0.1", lab.host_port(30001)), 5):
        pass
    with lab.request("namespaces/default/pods", watch="true", timeoutSeconds=5, resourceVersion=1) as told:
        refused = json.loads(told.readline())  # what came before is not remembered: clients list again
    assert (refused["type"], refused["object"]["code"]) == ("ERROR", 410)

    pid = lab.status()["pid"]
    assert "was up already" in lab.up()
    assert lab.status()["pid"] == pid != old.daemon

    again = Processes(lab)
    lab.down()
    again.assert_gone()
    assert not lab.state.exists()


def roll_out(space: Namespace) -> None:
    space.kubectl("set", "env", "sts/db", "deploy/web", "COLOUR=blue")


def scale_up(space: Namespace) -> None:
    space.kubectl("scale", "sts/db", "--replicas=5")
    space.kubectl("scale", "deploy/web", "--replicas=6")


def delete_half(space: Namespace) -> None:
    space.kubectl("delete", "pod", "db-1", "--wait=false")
    space.kubectl("scale", "deploy/web", "--replicas=1")


@pytest.mark.parametrize("action", [roll_out, scale_up, delete_half])
def test_what_was_begun_when_the_daemon_was_killed_is_finished(
    lab: RunningLab, action: Callable[[Namespace], None]
) -> None:
    lab.keep_ports()
    lab.up()
    space = of_namespace(lab)
    space.apply(service("db", clusterIP="None"), workload("StatefulSet", "db", 3, shell()))
    space.apply(workload("Deployment", "web", 3, shell()))
    for name in ("sts/db", "deploy/web"):
        space.kubectl("rollout", "status", name, "--timeout=30s")
    for n in range(3):
        space.kubectl("exec", f"db-{n}", "--", "true")
    claims = {c["metadata"]["name"]: c["spec"]["volumeName"] for c in space.get("pvc")["items"]}
    old = Processes(lab)

    action(space)
    old.kill()
    old.assert_gone()
    lab.up()

    for name in ("sts/db", "deploy/web"):
        space.kubectl("rollout", "status", name, "--timeout=30s")
        wanted = space.get(name)["spec"]["replicas"]
        space.wait(name, f"jsonpath={{.status.readyReplicas}}={wanted}")
        space.wait(name, f"jsonpath={{.status.replicas}}={wanted}")
    pods = [p for p in space.get("pods")["items"] if "deletionTimestamp" not in p["metadata"]]
    wanted = sum(space.get(name)["spec"]["replicas"] for name in ("sts/db", "deploy/web"))
    assert len(pods) == wanted
    for p in pods:
        space.wait(f"pod/{p['metadata']['name']}", "condition=Ready")
    found = addresses(lab)
    assert len(found) == len(set(found))
    now = {c["metadata"]["name"]: c["spec"]["volumeName"] for c in space.get("pvc")["items"]}
    assert claims.items() <= now.items()
    if action is roll_out:
        assert space.sh("db-0", "echo $COLOUR") == space.sh("deploy/web", "echo $COLOUR") == "blue\n"


def process_of(lab: RunningLab, marker: str) -> tuple[int, int]:
    """The bwrap and the first process of the container whose command line has a marker, as (bwrap, process)."""
    for pid in descendants(int(lab.status()["pid"])):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        if marker in line and "bwrap" in line.split("\0")[0]:
            (child,) = descendants(pid)[:1]
            return pid, child
    raise AssertionError(f"no container runs {marker}")


@pytest.mark.parametrize("which", ["its process", "its bwrap"])
def test_a_container_whose_process_is_killed_is_restarted(namespace: Namespace, which: str) -> None:
    marker = f"marker-{namespace.name}"
    namespace.apply(workload("ReplicaSet", "one", 1, shell(f": {marker}; sleep infinity & wait")))
    namespace.wait("rs/one", "jsonpath={.status.readyReplicas}=1")
    (name,) = [p["metadata"]["name"] for p in namespace.get("pods")["items"]]
    bwrap, process = process_of(namespace.lab, marker)
    held = os.pidfd_open(process)
    os.kill(bwrap if which == "its bwrap" else process, signal.SIGKILL)
    namespace.wait(f"pod/{name}", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    namespace.wait(f"pod/{name}", "condition=Ready")
    last = namespace.get(f"pod/{name}")["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (137, "Error")
    poll = select.poll()
    poll.register(held, select.POLLIN)
    assert poll.poll(SECONDS * 1000), "the process outlives its bwrap"
    os.close(held)


def test_two_labs_do_not_see_each_other(lab: RunningLab, cluster: RunningLab, namespace: Namespace) -> None:
    lab.up()
    mine, other = lab.status(), cluster.status()
    assert mine["pid"] != other["pid"]
    ports = {mine["server"], mine["dns"], *mine["nodePorts"].values()}
    assert not ports & {other["server"], other["dns"], *other["nodePorts"].values()}
    assert lab.run_kubectl("get", "namespace", namespace.name).returncode == 1
    keys = ssl.create_default_context(cafile=str(cluster.state / "pki" / "ca.crt"))
    keys.load_cert_chain(lab.state / "pki" / "admin.crt", lab.state / "pki" / "admin.key")
    with pytest.raises(OSError):  # the keys of one do not open the other
        urllib.request.urlopen(f"{other['server']}/api/v1/pods", context=keys, timeout=5)


@pytest.mark.parametrize("after", ["network", "API server", "nodes Ready"])
def test_an_interrupted_start_leaves_nothing_that_the_next_start_does_not_take_up(lab: RunningLab, after: str) -> None:
    lab.keep_ports()
    with subprocess.Popen(
        [BIN / "lab", "up"], env=lab.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as up:
        assert up.stdout and up.stderr
        for line in up.stdout:
            if after in line:
                break
        up.send_signal(signal.SIGINT)
        told = up.stderr.read()
    assert up.returncode in (0, 130)
    assert "Traceback" not in told
    if up.returncode == 130:
        assert "Type the same command again" in told
    assert lab.status()["running"] is (up.returncode == 0)
    lab.up()
    assert "lab-worker2" in lab.kubectl("get", "nodes")


def test_a_start_goes_on_when_nobody_reads_what_it_says(lab: RunningLab) -> None:
    with subprocess.Popen([BIN / "lab", "up"], env=lab.environment, stdout=subprocess.PIPE) as up:
        assert up.stdout
        up.stdout.close()
    assert up.returncode == 0
    assert lab.status()["running"] is True


def test_commands_at_the_same_time_make_one_cluster(lab: RunningLab) -> None:
    ups = [
        subprocess.Popen([BIN / "lab", "up"], env=lab.environment, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    told = [up.communicate(timeout=SECONDS)[0] for up in ups]
    assert [up.returncode for up in ups] == [0, 0, 0]
    assert sum("was up already" in text for text in told) == 2


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that failed as it should has said."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    return done.stderr


def test_a_recorded_port_that_is_taken_is_named_with_what_to_do(lab: RunningLab) -> None:
    lab.keep_ports()
    lab.up()
    status = lab.status()
    lab.kubectl("create", "-f", "-", stdin='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kept"}}')
    old = Processes(lab)
    old.kill()
    old.assert_gone()
    for port in (int(status["server"].rpartition(":")[2]), status["nodePorts"]["30003"]):
        with socket.create_server(("127.0.0.1", port)):
            told = refusal(lab.lab("up"))
            assert str(port) in told and "taken" in told
            assert "ss -" in told and "ports.json" in told
        assert lab.status()["running"] is False
    with socket.create_server(("127.0.0.1", status["nodePorts"]["30003"])):
        (lab.state / "ports.json").unlink()  # the remedy
        lab.up()
        assert lab.status()["nodePorts"] != status["nodePorts"]
        assert "kept" in lab.kubectl("get", "configmap")


def test_a_first_start_goes_around_a_port_that_is_taken(lab: RunningLab, cluster: RunningLab) -> None:
    taken = int(cluster.status()["server"].rpartition(":")[2])
    lab.up()
    assert lab.status()["server"] != f"https://127.0.0.1:{taken}"


def unshared(lab: RunningLab, before: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as root of user and mount namespaces of its own, after some lines of shell."""
    script = f'{before}\nexec "$@"'
    return subprocess.run(
        ["unshare", "-Urm", "sh", "-ec", script, "sh", *command],
        env=lab.environment,
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
    )


def test_a_full_disk_is_named_with_what_to_do(lab: RunningLab) -> None:
    lab.state.mkdir()
    small = f"mount -t tmpfs -o size=2m none {lab.state}"
    told = refusal(unshared(lab, small, str(BIN / "lab"), "up"))
    assert "space" in told or "full" in told
    assert str(lab.state) in told


def test_user_namespaces_that_are_refused_are_named_with_what_to_do(lab: RunningLab) -> None:
    none = "echo 0 > /proc/sys/user/max_user_namespaces"
    told = refusal(unshared(lab, none, str(BIN / "lab"), "up"))
    assert "user namespace" in told
    assert "sudo sysctl -w user.max_user_namespaces=" in told
    doctor = unshared(lab, none, str(BIN / "lab"), "doctor")
    assert doctor.returncode == 1
    assert "FAIL  namespaces" in doctor.stdout


def test_a_missing_tool_is_named_with_what_to_do(lab: RunningLab, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("setsid", "flock"):
        found = shutil.which(tool)
        assert found
        (tools / tool).symlink_to(found)
    told = refusal(lab.lab("up", PATH=str(tools)))
    assert "nsenter" in told and "apt-get install util-linux" in told


def test_a_disk_that_fills_up_is_named_and_the_cluster_goes_on_when_there_is_room(lab: RunningLab) -> None:
    lab.state.mkdir()
    # One script, for the file system is seen only by those who are in its mount namespace.
    script = """
        mount -t tmpfs -o size=40m none "$LAB_STATE"
        PATH="$1:$PATH"
        create() {
            printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"}}' "$1" | kubectl create -f - 2>&1
        }
        lab up
        dd if=/dev/zero of="$LAB_STATE/nodes/fill" bs=64k 2>/dev/null || true
        echo FULL
        for i in $(seq 60); do create "c$i" || break; done
        rm "$LAB_STATE/nodes/fill"
        echo ROOM
        create after
        lab down || true  # a mount point cannot be removed
        exit 0
    """
    done = unshared(lab, script, str(BIN))
    assert done.returncode == 0, done.stdout + done.stderr
    full, room = done.stdout.split("FULL")[1].split("ROOM")
    assert "free some disk space and try again" in full
    assert "configmap/after created" in room


def test_a_damaged_store_is_named_with_what_to_do(lab: RunningLab) -> None:
    lab.keep_ports()
    lab.up()
    old = Processes(lab)
    old.kill()
    old.assert_gone()
    for name in ("store.db-wal", "store.db-shm"):
        (lab.state / name).unlink(missing_ok=True)
    (lab.state / "store.db").write_bytes(b"not a database" * 1000)
    told = refusal(lab.lab("up"))
    assert "store.db" in told or "database" in told
    assert "lab reset" in told
    assert "as new" in lab.lab("reset").stdout


def test_a_cluster_whose_state_directory_was_removed_ends_by_itself(lab: RunningLab) -> None:
    lab.up()
    processes = Processes(lab)
    shutil.rmtree(lab.state)
    processes.assert_gone()
