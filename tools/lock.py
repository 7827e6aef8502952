"""Writes requirements/*.txt, the lock of all that is installed: `python -m tools.lock [--upgrade]`.

Each file has the packages of one purpose, with the hashes of their files, for Linux on x86-64 and arm64, macOS, and
CPython 3.11 to 3.13: `lab` what the course needs, `embedded` that and what only the embedded cluster needs, `test`
that and what only developers need. pyproject.toml pins what they begin with. With --upgrade its pins become the newest
versions first (environment.yml follows), and what has changed is told.

The resolver is uv (https://docs.astral.sh/uv/pip/compile/), itself pinned in requirements/uv.txt.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
EXTRAS = {"lab": (), "embedded": ("embedded",), "test": ("embedded", "test")}
OLDEST_PYTHON = "3.11"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
_HEADER = "# Written by `.venv/bin/python -m tools.lock` from {source}; not to be edited by hand.\n"


def main(arguments: list[str]) -> int:
    """Write the lock; returns uv's exit code where it finds no solution."""
    parser = argparse.ArgumentParser(prog="python -m tools.lock", description="Lock all packages.")
    parser.add_argument("--upgrade", action="store_true", help="to the newest versions, those of pyproject.toml too")
    upgrade = parser.parse_args(arguments).upgrade
    before = pins(FOLDER / "test.txt") | pins(FOLDER / "uv.txt")
    try:
        if upgrade:
            _write_pins(_newest())
        _lock("uv", _only_uv(upgrade), [], upgrade=upgrade)
        for name, extras in reversed(EXTRAS.items()):  # the largest first: the others keep its versions
            wanted = [word for extra in extras for word in ("--extra", extra)]
            within = [] if name == "test" else ["--constraint", str(FOLDER / "test.txt")]
            _lock(name, (ROOT / "pyproject.toml").read_text(), [*wanted, *within], upgrade=upgrade and name == "test")
    except subprocess.CalledProcessError as error:
        print(error.stderr, file=sys.stderr)
        return int(error.returncode)
    _tell(before, pins(FOLDER / "test.txt") | pins(FOLDER / "uv.txt"))
    return 0


def pins(file: Path) -> dict[str, str]:
    """The versions that a file of requirements pins, by package; none where there is no file."""
    return dict(_PIN.findall(file.read_text())) if file.exists() else {}


def _lock(name: str, source: str, options: list[str], *, upgrade: bool) -> None:
    """Resolve `source`, a pyproject.toml or a list of requirements, into requirements/NAME.txt."""
    print(f"locking {name} ...", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        kind = "requirements.in" if name == "uv" else "pyproject.toml"
        Path(scratch, kind).write_text(source)
        target = FOLDER / f"{name}.txt"
        result = Path(scratch, "result.txt")
        if target.exists():
            result.write_text(target.read_text())  # what is locked stays, unless it is to be upgraded
        command = [sys.executable, "-m", "uv", "pip", "compile", kind, "--output-file", str(result)]
        command += ["--universal", "--python-version", OLDEST_PYTHON, "--generate-hashes", "--no-header", "--quiet"]
        command += ["--no-annotate", *options, *(["--upgrade"] if upgrade else [])]
        subprocess.run(command, cwd=scratch, check=True, capture_output=True, text=True)
        header = _HEADER.format(source="the newest uv" if name == "uv" else "pyproject.toml")
        target.write_text(header + result.read_text())


def _only_uv(upgrade: bool) -> str:
    known = pins(FOLDER / "uv.txt").get("uv")
    return f"uv=={known}\n" if known and not upgrade else "uv\n"


def _newest() -> dict[str, str]:
    """The versions that the packages of pyproject.toml would have if it pinned none of them."""
    with tempfile.TemporaryDirectory() as scratch:
        loose = re.sub(r'(^\s+"[A-Za-z0-9._-]+)==[^";]+', r"\1", _pyproject(), flags=re.MULTILINE)
        Path(scratch, "pyproject.toml").write_text(loose)
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--all-extras", "--no-header"]
        command += ["--universal", "--python-version", OLDEST_PYTHON]
        done = subprocess.run(command, cwd=scratch, check=True, capture_output=True, text=True)
    return {_plain(package): version for package, version in _PIN.findall(done.stdout)}


def _write_pins(newest: dict[str, str]) -> None:
    """Bring the pins of pyproject.toml, and of environment.yml after it, to those versions."""
    project = tomllib.loads(_pyproject())["project"]
    pinned = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    for file in (ROOT / "pyproject.toml", ROOT / "environment.yml"):
        text = file.read_text()
        for requirement in pinned:
            package, _, version = requirement.partition(";")[0].strip().partition("==")
            text = text.replace(f"{package}=={version}", f"{package}=={newest[_plain(package)]}")
        file.write_text(text)


def _pyproject() -> str:
    return (ROOT / "pyproject.toml").read_text()


def _plain(package: str) -> str:
    """A package's name in its normal form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _tell(before: dict[str, str], after: dict[str, str]) -> None:
    changes = [
        f"  {package}: {before.get(package, 'new')} -> {after.get(package, 'gone')}"
        for package in sorted(before.keys() | after.keys())
        if before.get(package) != after.get(package)
    ]
    print("\n".join([f"{len(after)} packages are locked; {len(changes)} have changed.", *changes]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
