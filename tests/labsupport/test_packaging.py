"""What the repository says of itself in several places is the same everywhere."""

from __future__ import annotations

import tomllib

import yaml

from labsupport.paths import course_root

PROJECT = tomllib.loads((course_root() / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((course_root() / "environment.yml").read_text())["dependencies"]


def test_environment_yml_has_the_pins_of_pyproject() -> None:
    (by_pip,) = [entry["pip"] for entry in CONDA if isinstance(entry, dict)]
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    assert sorted(p for p in by_pip if not p.startswith("--editable")) == sorted(wanted)


def test_environment_yml_asks_for_the_same_python() -> None:
    assert any(isinstance(e, str) and e.startswith(f"python {PROJECT['requires-python']}") for e in CONDA)


def test_every_dependency_is_pinned_exactly() -> None:
    for requirement in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]:
        assert "==" in requirement.split(";")[0], f"{requirement} is not pinned"


def test_every_module_of_the_notebooks_is_held_to_the_import_layers() -> None:
    contracts = tomllib.loads((course_root() / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    held = set(contracts[0]["source_modules"])
    modules = {f"labsupport.{path.stem}" for path in (course_root() / "labsupport").glob("[!_]*.py")}
    assert modules - held == {"labsupport.backend", "labsupport.backends", "labsupport.bootstrap", "labsupport.cli"}
