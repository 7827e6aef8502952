"""A cluster to measure: plain requests over the official client's connection, to measure little of the client."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes
from urllib3 import BaseHTTPResponse

from tests.running_lab import BIN, RunningLab, kubectl_environment

JSON = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"

_numbers = itertools.count(1)


class Cluster:
    """One cluster by its kubeconfig; `lab` is set when it is an embedded one of the benchmark's own."""

    def __init__(self, kubeconfig: Path, lab: RunningLab | None = None) -> None:
        self.kubeconfig = kubeconfig
        self.lab = lab
        self._cache = tempfile.TemporaryDirectory(prefix="bench-kubectl-")
        client = kubernetes.config.new_client_from_config(config_file=str(kubeconfig))
        self._host = client.configuration.host
        self._pool = client.rest_client.pool_manager
        self._headers: dict[str, str] = {}
        client.update_params_for_auth(self._headers, [], ["BearerToken"], "", "GET", None)

    def request(self, method: str, path: str, body: JSON | None = None, *, content_type: str = "") -> JSON:
        """One request; returns the object in the answer. Raises RuntimeError with what the server said."""
        told: JSON = json.loads(self.read(method, path, body, content_type=content_type))
        return told

    def read(self, method: str, path: str, body: JSON | None = None, *, content_type: str = "") -> bytes:
        """One request; returns the answer as it came. Raises RuntimeError with what the server said."""
        headers = {**self._headers, "Content-Type": content_type or "application/json"}
        data = json.dumps(body) if body is not None else None
        answer = self._pool.request(method, self._host + path, body=data, headers=headers, timeout=120)
        self._check(answer, method, path)
        return bytes(answer.data)

    def watch(self, path: str, since: str, seconds: float) -> Iterator[JSON]:
        """The watch events of a collection after the resourceVersion `since`, for that many seconds at most."""
        url = f"{self._host}{path}?watch=1&resourceVersion={since}&timeoutSeconds={math.ceil(seconds)}"
        answer = self._pool.request("GET", url, headers=self._headers, preload_content=False, timeout=seconds + 5)
        try:
            self._check(answer, "GET", path)
            for line in answer:
                yield json.loads(line)
        finally:
            answer.close()

    def until(self, path: str, reached: Callable[[list[JSON]], bool], what: str, *, seconds: float = 300) -> None:
        """Follow a collection until `reached` holds for its objects. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        listed = self.request("GET", path)
        objects = {item["metadata"]["uid"]: item for item in listed["items"]}
        if reached(list(objects.values())):
            return
        for event in self.watch(path, listed["metadata"]["resourceVersion"], deadline - time.monotonic()):
            found = event["object"]
            if event["type"] == "ERROR":
                raise RuntimeError(f"the watch of {path} ended: {found.get('message')}")
            if event["type"] == "DELETED":
                objects.pop(found["metadata"]["uid"], None)
            elif event["type"] != "BOOKMARK":
                objects[found["metadata"]["uid"]] = found
            if reached(list(objects.values())):
                return
        raise TimeoutError(f"not {what} within {seconds:.0f} s: {path}")

    @contextlib.contextmanager
    def namespace(self) -> Iterator[str]:
        """A namespace of its own, removed behind the measurement; after an error its removal is only asked for."""
        name = f"bench-{os.getpid()}-{next(_numbers)}"
        self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        try:
            accounts = f"/api/v1/namespaces/{name}/serviceaccounts"  # pods are refused until there is the default one
            self.until(accounts, lambda found: any(a["metadata"]["name"] == "default" for a in found), "there")
            yield name
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                self.request("DELETE", f"/api/v1/namespaces/{name}")
            raise
        self.request("DELETE", f"/api/v1/namespaces/{name}")
        self.until("/api/v1/namespaces", lambda found: all(n["metadata"]["name"] != name for n in found), "removed")

    def sh(self, namespace: str, pod: str, script: str) -> str:
        """What a shell script prints in a pod. Raises RuntimeError when it fails."""
        command = [str(BIN / "kubectl"), "-n", namespace, "exec", pod, "--", "sh", "-c", script]
        environment = kubectl_environment(self.kubeconfig, self._cache.name)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise RuntimeError(f"in {pod}: {done.stderr.strip()}")
        return str(done.stdout)

    @staticmethod
    def _check(answer: BaseHTTPResponse, method: str, path: str) -> None:
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path} was answered with {answer.status}: {answer.data.decode()[:300]}")
