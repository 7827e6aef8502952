"""The development container names things that are there."""

from __future__ import annotations

import json
import os

from labsupport import paths
from labsupport.backends.choice import CHOICES

FOLDER = paths.course_root() / ".devcontainer"
CONTENT = json.loads((FOLDER / "devcontainer.json").read_text())


def test_what_it_runs_is_there() -> None:
    makefile = (paths.course_root() / "Makefile").read_text()
    command = CONTENT["postCreateCommand"].split()
    assert command[0] == "make"
    assert f"\n{command[1]}:" in makefile
    assert os.access(paths.course_root() / CONTENT["postAttachCommand"], os.X_OK)


def test_it_brings_an_engine_and_kind_and_lets_the_lab_choose() -> None:
    assert {name.rpartition("/")[2].partition(":")[0] for name in CONTENT["features"]} == {"docker-in-docker", "kind"}
    assert CONTENT["containerEnv"]["CLUSTER"] in CHOICES


def test_the_files_that_it_opens_are_there() -> None:
    for name in CONTENT["customizations"]["codespaces"]["openFiles"]:
        assert (paths.course_root() / name).exists()
