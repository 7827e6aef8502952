"""A session at kubectl, command by command: `transcripts/` has what is typed and the shape of what has to be printed.

What goes on while other commands run (`get -w`, `logs -f`, `port-forward`) is typed here.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from urllib.request import urlopen

import pytest

from tests.cluster import transcript
from tests.manifests import pod, service, shell, web, workload
from tests.running_lab import BIN, SECONDS, Namespace

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"), key=lambda path: path.stem)


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_kubectl_prints_what_it_prints_on_any_cluster(path: Path, namespace: Namespace, tmp_path: Path) -> None:
    transcript.play(path.read_text(), namespace, tmp_path)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("NAME   READY\nweb    1/1", "NAME     READY\nother    1/1"),  # another word
        ("NAME   READY\nweb    1/1", "NAME   READY"),  # a line less
        ("NAME", "NAME\nweb"),  # a line more
        ("", "web"),  # something instead of nothing
        ("web   <age>", "web   <unknown>"),  # not of the word's shape
        ("web   <none>", "web   none"),  # not one of the words
        ("...\nlast", "first\nlast\nmore"),  # lines after the last
    ],
)
def test_another_shape_is_seen(expected: str, printed: str) -> None:
    assert not transcript.fits(expected.splitlines(), printed.splitlines())
    assert transcript.fits(printed.splitlines(), printed.splitlines())


@contextmanager
def typed(space: Namespace, *arguments: str) -> Iterator[Queue[str]]:
    """The lines of a kubectl command that goes on until the block ends."""
    command = [BIN / "kubectl", "-n", space.name, *arguments]
    lines: Queue[str] = Queue()
    with subprocess.Popen(command, env=space.lab.environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reading = threading.Thread(target=lambda: [lines.put(line.rstrip("\n")) for line in process.stdout or ()])
        reading.start()
        try:
            yield lines
        finally:
            process.terminate()
            reading.join(SECONDS)


def test_a_watch_prints_a_row_for_each_change(namespace: Namespace) -> None:
    namespace.kubectl("create", "configmap", "one", "--from-literal=a=1")
    options = ("--watch", "--output-watch-events", "--field-selector=metadata.name=one")
    with typed(namespace, "get", "configmaps", *options) as lines:
        assert lines.get(timeout=SECONDS).split() == ["EVENT", "NAME", "DATA", "AGE"]
        assert lines.get(timeout=SECONDS).split()[:3] == ["ADDED", "one", "1"]
        namespace.kubectl("patch", "configmap", "one", "-p", '{"data":{"b":"2"}}')
        assert lines.get(timeout=SECONDS).split()[:3] == ["MODIFIED", "one", "2"]
        namespace.kubectl("delete", "configmap", "one")
        assert lines.get(timeout=SECONDS).split()[:3] == ["DELETED", "one", "2"]


def test_a_watch_shows_the_life_of_a_pod(namespace: Namespace) -> None:
    namespace.apply(pod("listed", shell("exit 0"), nodeSelector={"no": "such"}))
    with typed(namespace, "get", "pods", "--watch") as lines:
        assert lines.get(timeout=SECONDS).split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
        assert lines.get(timeout=SECONDS).startswith("listed ")  # what comes from here on is watched
        namespace.apply(pod("one", shell("exit 0"), restartPolicy="Never"))
        statuses = []
        while not statuses or statuses[-1] != "Completed":
            name, _, status, *_ = lines.get(timeout=SECONDS).split()
            assert name == "one"
            statuses.append(status)
        assert statuses[0] == "Pending"
        assert set(statuses) <= {"Pending", "ContainerCreating", "Running", "Completed"}


def test_logs_are_followed(namespace: Namespace) -> None:
    namespace.apply(
        pod("one", shell("echo first; until [ -e /tmp/go ]; do sleep 0.05; done; echo last; sleep infinity"))
    )
    namespace.wait("pod/one", "condition=Ready")
    with typed(namespace, "logs", "--follow", "--timestamps", "one") as lines:
        time, text = lines.get(timeout=SECONDS).split(" ")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", time), time
        assert text == "first"
        namespace.sh("one", "touch /tmp/go")
        assert lines.get(timeout=SECONDS).endswith(" last")


def test_logs_of_the_container_before_are_there(namespace: Namespace) -> None:
    script = "test -e /data/x && echo after && sleep infinity; touch /data/x; echo before; exit 1"
    container = shell(script, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    namespace.apply(pod("one", container, volumes=[{"name": "data", "emptyDir": {}}]))
    namespace.wait("pod/one", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    assert namespace.kubectl("logs", "one", "--previous") == "before\n"
    namespace.wait("pod/one", "condition=Ready")
    (row,) = namespace.kubectl("get", "pod", "one", "--no-headers").splitlines()
    assert re.fullmatch(r"one +1/1 +Running +1 \(\d+s ago\) +\d+s", row), row


def test_the_pods_of_a_selector_are_followed_together(namespace: Namespace) -> None:
    for name in ("one", "two"):
        namespace.apply(pod(name, shell(f"echo I am {name}; sleep infinity"), labels={"app": "both"}))
        namespace.wait(f"pod/{name}", "condition=Ready")
    with typed(namespace, "logs", "--follow", "--prefix", "-lapp=both") as lines:
        told = {lines.get(timeout=SECONDS), lines.get(timeout=SECONDS)}
    assert told == {"[pod/one/main] I am one", "[pod/two/main] I am two"}


@pytest.mark.parametrize("target", ["pod/one", "service/one", "deployment/one"])
def test_a_port_is_forwarded(namespace: Namespace, target: str) -> None:
    if target == "pod/one":
        namespace.apply(pod("one", web()))
        namespace.wait("pod/one", "condition=Ready")
    else:
        namespace.apply(service("one"), workload("Deployment", "one", 1, web(ports=[{"containerPort": 80}])))
        namespace.kubectl("rollout", "status", "deployment/one", f"--timeout={SECONDS}s")
    with typed(namespace, "port-forward", target, ":80") as lines:
        first = lines.get(timeout=SECONDS)
        told = re.fullmatch(r"Forwarding from 127\.0\.0\.1:(\d+) -> 80", first)
        assert told, first
        with urlopen(f"http://127.0.0.1:{told[1]}/", timeout=SECONDS) as answer:
            assert answer.read().decode().startswith("one")
        assert told[1] in lines.get(timeout=SECONDS)


def test_a_rollout_is_followed(namespace: Namespace) -> None:
    namespace.apply(service("db", clusterIP="None"), workload("StatefulSet", "db", 2, shell(), volumeClaimTemplates=[]))
    namespace.kubectl("rollout", "status", "sts/db", f"--timeout={SECONDS}s")
    with typed(namespace, "rollout", "status", "sts/db") as lines:
        assert lines.get(timeout=SECONDS) == "partitioned roll out complete: 2 new pods have been updated..."
    namespace.kubectl("set", "env", "sts/db", "A=1")
    told = namespace.kubectl("rollout", "status", "sts/db", f"--timeout={SECONDS}s").splitlines()
    assert told[-1] == "partitioned roll out complete: 2 new pods have been updated..."
    updates = r"partitioned roll out to finish: [01] out of 2 new pods have been updated"
    assert all(re.fullmatch(rf"Waiting for ({updates}|[12] pods to be ready)\.\.\.", line) for line in told[:-1]), told
