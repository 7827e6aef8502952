"""The API server: how soon a write is seen, and how many requests one client gets answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from tools.bench.cluster import MERGE_PATCH, Cluster
from tools.bench.figures import Figure

OBJECTS = 1000
_WRITES_SEEN = 100
_SECONDS = 1.0  # how long each rate is measured


def measure(cluster: Cluster, runs: int) -> Iterator[Figure]:
    """Watch latency, then the rates with 1,000 ConfigMaps in one namespace. One client, one request at a time."""
    with cluster.namespace() as namespace:
        yield watch_latency(cluster, namespace, runs * _WRITES_SEEN)
    with cluster.namespace() as namespace:
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        created = []
        for part in range(runs):
            names = range(part * OBJECTS // runs, (part + 1) * OBJECTS // runs)
            started = time.perf_counter()
            for number in names:
                cluster.request("POST", path, _config_map(number))
            created.append(len(names) / (time.perf_counter() - started))
        yield Figure("creates, while 1,000 objects are made", "1/s", created)

        def update(number: int) -> None:
            body = {"data": {"count": str(number)}}
            cluster.request("PATCH", f"{path}/object-{number % OBJECTS}", body, content_type=MERGE_PATCH)

        yield Figure("updates at 1,000 objects", "1/s", [_rate(update) for _ in range(runs)])
        reads = [_rate(lambda n: cluster.request("GET", f"{path}/object-{n % OBJECTS}")) for _ in range(runs)]
        yield Figure("reads at 1,000 objects", "1/s", reads)
        lists = [_rate(lambda n: cluster.read("GET", path)) for _ in range(runs)]
        yield Figure("lists of 1,000 objects", "1/s", lists)


def watch_latency(cluster: Cluster, namespace: str, writes: int) -> Figure:
    """From the moment a write is sent until its watch event is read, in milliseconds."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    first = cluster.request("POST", path, _config_map(0))
    since = first["metadata"]["resourceVersion"]
    arrivals: dict[str, float] = {}
    watching, seen = threading.Event(), threading.Event()

    def read() -> None:
        for event in cluster.watch(path, since, 300):
            now = time.perf_counter()
            arrivals[event["object"]["data"]["count"]] = now
            watching.set()
            seen.set()
            if event["object"]["data"]["count"] == str(writes):
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    # The first event shows that the watch stands.
    cluster.request("PATCH", f"{path}/object-0", {"data": {"count": "0"}}, content_type=MERGE_PATCH)
    if not watching.wait(30):
        raise TimeoutError("no watch event within 30 s")
    samples = []
    for number in range(1, writes + 1):
        seen.clear()
        started = time.perf_counter()
        cluster.request("PATCH", f"{path}/object-0", {"data": {"count": str(number)}}, content_type=MERGE_PATCH)
        if not seen.wait(30):
            raise TimeoutError("no watch event within 30 s")
        samples.append((arrivals[str(number)] - started) * 1000)
    reader.join(30)
    return Figure("watch latency, write sent → event read", "ms", samples, at_most=3)


def _rate(act: Callable[[int], object]) -> float:
    """How often in a second `act` is done, one after another."""
    started = time.perf_counter()
    count = 0
    while time.perf_counter() - started < _SECONDS:
        act(count)
        count += 1
    return count / (time.perf_counter() - started)


def _config_map(number: int) -> dict[str, object]:
    return {"metadata": {"name": f"object-{number}", "labels": {"app": "bench"}}, "data": {"count": "none"}}
