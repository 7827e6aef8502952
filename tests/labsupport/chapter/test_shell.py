"""The notebook's shell: `!kubectl` finds the lab and the chapter's namespace, and `%%apply` applies its cell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from labsupport.chapter import shell
from labsupport.cluster import verbs
from tests.labsupport.in_process_lab import InProcessLab

PROGRAMS = str(Path(sys.executable).parent)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the shell sets is undone."""
    monkeypatch.setenv("KUBECONFIG", "the user's own")
    monkeypatch.setenv("KUBECACHEDIR", "")
    monkeypatch.setenv("KUBERC", "off")
    monkeypatch.setenv("PATH", "/usr/bin")


@pytest.fixture
def ipython(monkeypatch: pytest.MonkeyPatch) -> InteractiveShell:
    """A notebook's shell, without a notebook."""
    import IPython

    made = InteractiveShell()
    monkeypatch.setattr(IPython, "get_ipython", lambda: made)
    return made


def test_kubectl_works_in_the_chapters_namespace(lab: InProcessLab, chapter: str) -> None:
    lab.pod(chapter, "web-0")
    shell.prepare(chapter)
    done = subprocess.run(["kubectl", "get", "pods", "-o", "name"], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("pod/web-0\n", "")
    assert Path(os.environ["KUBECACHEDIR"]).is_relative_to(lab.state)


def test_the_environment_holds_the_labs_files_and_none_of_the_users(lab: InProcessLab, chapter: str) -> None:
    shell.prepare(chapter)
    first, second = os.environ["KUBECONFIG"].split(os.pathsep)
    assert (first, second) == (str(lab.state / "contexts" / f"{chapter}.json"), str(lab.state / "kubeconfig"))
    shell.prepare(chapter)
    assert os.environ["PATH"] == f"{PROGRAMS}{os.pathsep}/usr/bin"  # once


def test_the_file_of_a_context_holds_no_keys(lab: InProcessLab, chapter: str) -> None:
    shell.prepare(chapter)
    file = lab.state / "contexts" / f"{chapter}.json"
    config = json.loads(file.read_text())
    assert set(config) == {"apiVersion", "kind", "contexts", "current-context"}
    (context,) = config["contexts"]
    assert (context["name"], context["context"]["namespace"], config["current-context"]) == (chapter,) * 3
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_apply_applies_what_its_cell_holds(
    lab: InProcessLab, chapter: str, ipython: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.prepare(chapter)
    cell = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n"
    ipython.run_cell_magic("apply", "", cell)
    assert capsys.readouterr().out == "configmap/settings created\n"
    assert verbs.obj("cm/settings").metadata.namespace == chapter


def test_apply_takes_nothing_but_its_cell(
    lab: InProcessLab, chapter: str, ipython: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.prepare(chapter)
    ipython.run_cell_magic("apply", " -f web.yaml", "kind: ConfigMap\n")
    assert capsys.readouterr().out == (
        "%%apply takes no words after it, found '-f web.yaml': put the manifest below it.\n"
    )
    assert verbs.objects("configmaps", "app=none") == []


def test_without_a_notebook_only_the_environment_is_prepared(lab: InProcessLab, chapter: str) -> None:
    shell.prepare(chapter)
    assert chapter in os.environ["KUBECONFIG"]
