"""What is loaded, and what is not: by modules, since seconds depend on the machine."""

from __future__ import annotations

import subprocess
import sys

import pytest


def loaded(code: str) -> set[str]:
    """The modules that a new Python has loaded after running `code`; what `code` itself prints is dropped."""
    script = (
        f"import contextlib, io, sys\nwith contextlib.redirect_stdout(io.StringIO()):\n    {code}\n"
        "print(*(name for name, module in sys.modules.items() if module is not None))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_client_comes_without_its_validator() -> None:
    modules = loaded("import labsupport as lab; lab.core")
    assert "kubernetes.dynamic.client" in modules
    assert not {"kubernetes_validate", "jsonschema", "lark"} & modules


def test_the_embedded_cluster_finds_the_schemas_all_the_same() -> None:
    loaded("import labsupport; from labcluster.schema.definitions import definitions; assert definitions()")


@pytest.mark.parametrize("command", ["status", "kubeconfig", "doctor", "down"])
def test_a_command_that_needs_no_api_does_not_load_its_client(command: str, tmp_path: object) -> None:
    code = f"import os; os.environ |= dict(LAB_STATE={str(tmp_path)!r}, CLUSTER='embedded')"
    modules = loaded(f"{code}; from labsupport import cli; cli.main([{command!r}])")
    assert "labsupport.backends.choice" in modules
    assert not {"kubernetes", "matplotlib", "redis"} & modules


def test_a_verb_loads_no_figures() -> None:
    assert not {"matplotlib", "redis", "dns"} & loaded("import labsupport as lab; lab.apply, lab.wait, lab.begin")
