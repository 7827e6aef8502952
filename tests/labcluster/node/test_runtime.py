"""The container runtime, for real: see runtime_scenarios.py, which is run once in namespaces of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labcluster.launch import control, namespaces
from tests.labcluster.node.runtime_scenarios import scenarios


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("runtime")
    script, told = Path(__file__).with_name("runtime_scenarios.py"), directory / "results"
    reader, writer = os.pipe()
    plan = {
        "command": [sys.executable, str(script), str(told)],
        "report": writer,
        "keep": [],
        "log": str(directory / "log"),
        "record": str(directory / control.RECORD),
    }
    command = [sys.executable, "-I", "-S", namespaces.__file__, json.dumps(plan)]
    subprocess.run(command, pass_fds=[writer], check=False)
    os.close(writer)
    refused = os.read(reader, 65536)  # ends with the process that holds the other end
    os.close(reader)
    assert not refused, refused
    done = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
    return {"log": (directory / "log").read_text(), **dict(done)}


@pytest.mark.parametrize("name", scenarios())
def test_runtime(results: dict[str, str], name: str) -> None:
    assert name in results, f"not reached; the log says:\n{results['log']}"
    assert not results[name], results[name]


def test_the_event_loop_had_nothing_to_complain_about(results: dict[str, str]) -> None:
    assert results["log"] == ""
