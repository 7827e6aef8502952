"""What the measurements make of their answers. The scripts run in bash with a valkey-cli that is played."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from labsupport.cluster import pods
from labsupport.redis_cluster import round_trips


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the scripts in the pod print, one after the other; the scripts do not run."""
    outputs: list[str] = []
    monkeypatch.setattr(pods, "run", lambda pod, argv, timeout: outputs.pop(0))
    return outputs


class Pod:
    """A pod whose valkey-cli notes how it was called, and prints `reply` as often as it was told to ask."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.calls = directory / "calls"
        self.says("value")

    def says(self, reply: str) -> None:
        program = self.directory / "valkey-cli"
        program.write_text(
            f'#!/bin/sh\necho "$@" >>{self.calls}\n'
            f"for i in $(seq $6); do echo '{reply}'; done\n"  # -h <host> -p <port> -r <times>
        )
        program.chmod(0o755)

    def run(self, pod: str, argv: Sequence[str], timeout: float) -> str:
        bash, option, script = argv
        here = script.replace("/tmp/replies", str(self.directory / "replies"))
        path = f"{self.directory}:{os.environ['PATH']}"
        return subprocess.run(
            [bash, option, here],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PATH": path, "LC_ALL": "C"},
        ).stdout


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pod:
    pod = Pod(tmp_path)
    monkeypatch.setattr(pods, "run", pod.run)
    return pod


def test_a_batch_is_the_mean_of_its_round_trips_in_milliseconds(printed: list[str]) -> None:
    printed.append("20000 100\n45000 100\n")
    assert round_trips.from_pod("client", "10.0.0.1", 6379, "a") == pytest.approx([0.2, 0.45])


def test_a_get_without_a_value_is_an_error(printed: list[str]) -> None:
    printed.append("20000 100\n20000 97\n")
    with pytest.raises(ValueError, match=r"10\.0\.0\.1:6379 answered only 97 of 100 times GET a with a value"):
        round_trips.from_pod("client", "10.0.0.1", 6379, "a")


def test_the_script_asks_for_each_batch_over_one_connection(pod: Pod) -> None:
    means = round_trips.from_pod("client", "redis-0", 6379, "b", batches=3, size=5)
    assert len(means) == 3 and all(mean > 0 for mean in means)
    assert pod.calls.read_text() == "-h redis-0 -p 6379 -r 5 get b\n" * 3


@pytest.mark.parametrize("reply", ["MOVED 3300 10.0.0.2:6379", "NOAUTH Authentication required.", "ERR no", ""])
def test_the_script_counts_no_error_as_a_value(pod: Pod, reply: str) -> None:
    pod.says(reply)
    with pytest.raises(ValueError, match="answered only 0 of 5 times"):
        round_trips.from_pod("client", "redis-0", 6379, "b", batches=1, size=5)


def test_the_rate_is_that_of_all_clients_together(printed: list[str]) -> None:
    printed.append("500000\n")
    assert round_trips.per_second("client", "10.0.0.1", 6379, "a", clients=8, size=500) == pytest.approx(8000)


def test_the_script_starts_that_many_clients_and_waits_for_them(pod: Pod) -> None:
    assert round_trips.per_second("client", "redis-0", 6379, "b", clients=3, size=5) > 0
    assert pod.calls.read_text() == "-h redis-0 -p 6379 -r 5 get b\n" * 3


def test_calls_from_here_are_timed_one_by_one_after_ten_that_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(round_trips.time, "perf_counter", lambda: now[0])
    calls: list[float] = []

    def act() -> None:
        calls.append(now[0])
        now[0] += 0.001 * len(calls)

    assert round_trips.from_here(act, times=3) == pytest.approx([11, 12, 13])
    assert len(calls) == 13
