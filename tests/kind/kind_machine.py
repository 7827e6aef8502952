"""A machine with stand-ins for kind and docker, and nothing else on its PATH."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from labcluster.launch import host_ports
from labsupport import paths, settings
from labsupport.backends.kind.cluster import KindBackend
from tests.running_lab import ports_far_from_others

SCRIPT = Path(__file__).with_name("stand_in.py")
LAB = Path(sys.executable).parent / "lab"
START = 60  # seconds that a start may take to the moment at which a stand-in hangs


class Machine:
    """The stand-ins, what they were called with, and how they are to act."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = home / "state"
        self.config = home / "kind-config.yaml"
        self.said: list[str] = []
        (home / "bin").mkdir()
        for program in ("kind", "docker"):
            script = home / "bin" / program
            script.write_text(f"#!{sys.executable}\n{SCRIPT.read_text()}")
            script.chmod(0o755)
        self.act()
        self._write_config()

    @property
    def backend(self) -> KindBackend:
        return KindBackend(self.state, self.config)

    @property
    def calls(self) -> list[list[str]]:
        log = self.home / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    @property
    def providers(self) -> list[list[str]]:
        """The calls of kind that say with which engine: the word of the command, and the engine."""
        lines = (self.home / "providers").read_text().splitlines()
        return [line.split() for line in lines if len(line.split()) == 2]

    def called(self, *words: str) -> list[list[str]]:
        """The calls that begin with these words."""
        return [call for call in self.calls if call[: len(words)] == list(words)]

    def act(self, **acts: dict[str, Any]) -> None:
        """How to act from now on; `kind_create={"code": 1, "output": "..."}`."""
        (self.home / "act.json").write_text(json.dumps({k.replace("_", " "): v for k, v in acts.items()}))

    def without(self, program: str) -> None:
        (self.home / "bin" / program).unlink()

    def with_engine(self, program: str) -> None:
        """Another engine in docker's place."""
        (self.home / "bin" / "docker").rename(self.home / "bin" / program)

    def up(self) -> str:
        return self.backend.up(self.said.append)

    def down(self) -> str:
        return self.backend.down(self.said.append)

    @property
    def environment(self) -> dict[str, str]:
        """For the command `lab` on this machine."""
        return {**os.environ, "CLUSTER": "kind", "LAB_STATE": str(self.state), "LAB_KIND_CONFIG": str(self.config)}

    @contextmanager
    def hanging_start(self, moment: str) -> Iterator[subprocess.Popen[str]]:
        """`lab up`, at the moment at which the stand-in hangs in that call; it is ended behind the block."""
        for fifo in ("hanging", "never"):
            os.mkfifo(self.home / fifo)
        self.act(**{moment: {"hang": True}})
        hanging = os.open(self.home / "hanging", os.O_RDONLY | os.O_NONBLOCK)
        process = subprocess.Popen([LAB, "up"], env=self.environment, stderr=subprocess.PIPE, text=True)
        try:
            seen, _, _ = select.select([hanging], [], [], START)
            if not seen:
                process.kill()
                pytest.fail(f"`lab up` never came to {moment}: {process.communicate(timeout=10)[1]}")
            assert os.read(hanging, 10) == b"here\n"
            yield process
        finally:
            os.close(hanging)
            process.kill()
            process.wait()

    def _write_config(self) -> None:
        """The course's configuration with ports that are free, kept for the lab behind the stand-in."""
        chosen = ports_far_from_others()
        (self.home / host_ports.RECORD).write_text(json.dumps(chosen.to_json()))
        content = yaml.safe_load((paths.course_root() / "kind-config.yaml").read_text())
        content["networking"]["apiServerPort"] = chosen.api
        for mapping in content["nodes"][0]["extraPortMappings"]:
            port = mapping["containerPort"]
            mapping["hostPort"] = chosen.dns if port == settings.DNS_NODE_PORT else chosen.node_ports[port]
        self.config.write_text(yaml.safe_dump(content))


def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """The machine of one test; what runs on it ends behind the test."""
    made = Machine(tmp_path)
    monkeypatch.setenv("STAND_IN", str(tmp_path))
    monkeypatch.setenv("STAND_IN_PATH", os.environ["PATH"])
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("KIND_EXPERIMENTAL_PROVIDER", "KUBECONFIG", "CLUSTER", "LAB_STATE"):
        monkeypatch.delenv(name, raising=False)
    yield made
    if (made.home / "cluster" / "daemon.json").exists():
        made.act()
        subprocess.run([made.home / "bin" / "kind", "delete", "cluster"], check=True)
