"""A changing load: what is asked of the cluster, what it has said yes to, and whether that is so in the end."""

from __future__ import annotations

import contextlib
import random
import subprocess
import threading
from collections.abc import Iterator

from test_survival import addresses

from tests.manifests import claim, service, shell, valkey, workload
from tests.running_lab import Namespace, RunningLab


class Load:
    """What is asked of the cluster, and what it has said yes to."""

    def __init__(self, lab: RunningLab, chance: random.Random) -> None:
        self.space = Namespace(lab, "default")
        self._chance = chance
        self.number = 0
        self.made: dict[str, str] = {}  # ConfigMaps that were accepted -> uid
        self.removed: set[str] = set()
        self.saved: dict[str, int] = {}  # pod -> the number that its database said it had saved
        self.volumes: dict[str, str] = {}

    def begin(self) -> None:
        """Make the workloads."""
        self.space.apply(service("db", port=6379, clusterIP="None"), workload("StatefulSet", "db", 2, valkey()))
        self.space.apply(workload("Deployment", "web", 2, shell()), claim("kept"))

    @contextlib.contextmanager
    def changing(self) -> Iterator[threading.Event]:
        """Change things for the length of the block, or until the event is set."""
        stop = threading.Event()
        changes = threading.Thread(target=self.change, args=(stop,))
        changes.start()
        try:
            yield stop
        finally:
            stop.set()
            changes.join()

    def change(self, stop: threading.Event) -> None:
        """Change things until told to stop, or until nobody answers."""
        actions = [self.scale, self.roll, self.delete_pod, self.make, self.make, self.remove, self.save]
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired, KeyError):
            while not stop.is_set():
                self._chance.choice(actions)()

    def scale(self) -> None:
        """Give a workload another size."""
        name = self._chance.choice(["sts/db", "deploy/web"])
        self.space.kubectl("scale", name, f"--replicas={self._chance.randint(1, 4)}")

    def roll(self) -> None:
        """Begin a rollout."""
        self.number += 1
        self.space.kubectl("set", "env", self._chance.choice(["sts/db", "deploy/web"]), f"ROUND={self.number}")

    def delete_pod(self) -> None:
        """Delete one of the pods."""
        pods = self.space.kubectl("get", "pods", "-oname").split()
        if pods:
            self.space.kubectl("delete", self._chance.choice(pods), "--wait=false", "--ignore-not-found")

    def make(self) -> None:
        """Make a ConfigMap, and remember it."""
        self.number += 1
        name = f"map-{self.number}"
        self.space.kubectl("create", "configmap", name)
        self.made[name] = self.space.get(f"configmap/{name}")["metadata"]["uid"]

    def remove(self) -> None:
        """Delete one of the ConfigMaps."""
        if self.made:
            name = self._chance.choice(sorted(self.made))
            del self.made[name]  # whether or not the answer comes
            self.space.kubectl("delete", "configmap", name)
            self.removed.add(name)

    def save(self) -> None:
        """Write a number into a database, and have it saved."""
        self.number += 1
        pod = f"db-{self._chance.randint(0, 3)}"
        script = f"valkey-cli set number {self.number} && valkey-cli save"
        done = self.space.lab.run_kubectl("exec", pod, "--", "sh", "-c", script)
        if done.returncode == 0 and done.stdout.split() == ["OK", "OK"]:
            self.saved[pod] = self.number

    def check(self) -> None:
        """Wait until the cluster is as asked, then look at the invariants."""
        space = self.space
        wanted = 0
        for name in ("sts/db", "deploy/web"):
            space.kubectl("rollout", "status", name, "--timeout=60s")
            replicas = space.get(name)["spec"]["replicas"]
            space.wait(name, f"jsonpath={{.status.readyReplicas}}={replicas}", seconds=60)
            space.wait(name, f"jsonpath={{.status.replicas}}={replicas}", seconds=60)
            wanted += replicas
        space.kubectl("wait", "pod", "--all", "--for=condition=Ready", "--timeout=60s")
        pods = [p for p in space.get("pods")["items"] if "deletionTimestamp" not in p["metadata"]]
        assert len(pods) == wanted, f"{len(pods)} pods, {wanted} wanted"
        for field in ("name", "uid"):
            assert len({p["metadata"][field] for p in pods}) == wanted, f"two pods of the same {field}"
        found = addresses(space.lab)
        assert len(found) == len(set(found)), "two pods have the same address"
        self._check_data([p["metadata"]["name"] for p in pods])
        maps = {m["metadata"]["name"]: m["metadata"]["uid"] for m in space.get("configmaps")["items"]}
        assert self.made.items() <= maps.items(), "a ConfigMap that was accepted is not there"
        assert not self.removed & set(maps), "a ConfigMap that was deleted is back"

    def _check_data(self, pods: list[str]) -> None:
        claims = {c["metadata"]["name"]: c["spec"].get("volumeName", "") for c in self.space.get("pvc")["items"]}
        bound = {name: volume for name, volume in claims.items() if volume}
        assert self.volumes.items() <= bound.items(), "a claim has lost its volume"
        assert len(set(bound.values())) == len(bound), "two claims have the same volume"
        assert {f"data-{p}" for p in pods if p.startswith("db-")} <= set(bound)
        volumes = {v["metadata"]["name"] for v in self.space.get("pv")["items"]}
        assert volumes == set(bound.values()), "a volume without its claim, or a claim without its volume"
        self.volumes = bound
        for pod, number in self.saved.items():
            if pod in pods:
                told = self.space.sh(pod, "valkey-cli get number")
                assert int(told) >= number, f"{pod} has {told.strip()}, and had saved {number}"
