"""The container runtime, for real: the runtime_scenarios, which are run once in namespaces of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labcluster.launch import control, linux_namespaces
from tests.labcluster.node.runtime_scenarios import SCENARIOS


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("runtime")
    output = directory / "results"
    reader, writer = os.pipe()
    plan = {
        "command": [sys.executable, "-m", "tests.labcluster.node.runtime_scenarios", str(output)],
        "report": writer,
        "keep": [],
        "log": str(directory / "log"),
        "record": str(directory / control.RECORD),
    }
    command = [sys.executable, "-I", "-S", linux_namespaces.__file__, json.dumps(plan)]
    subprocess.run(command, pass_fds=[writer], check=False, cwd=Path(__file__).parents[3])
    os.close(writer)
    refused = os.read(reader, 65536)  # ends with the process that holds the other end
    os.close(reader)
    assert not refused, refused
    done = [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []
    return {"log": (directory / "log").read_text(), **dict(done)}


@pytest.mark.parametrize("name", SCENARIOS)
def test_runtime(results: dict[str, str], name: str) -> None:
    assert name in results, f"not reached; the log says:\n{results['log']}"
    assert not results[name], results[name]


def test_the_event_loop_had_nothing_to_complain_about(results: dict[str, str]) -> None:
    assert results["log"] == ""
