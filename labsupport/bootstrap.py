"""Make the course's environment: `.venv` beside the Makefile, with what pyproject.toml pins.

Runs under the system's Python before anything is installed, so it uses the standard library only.
`python3 labsupport/bootstrap.py [--test]`; a second run is quick: it compares a stamp.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)


class BootstrapError(Exception):
    """The environment could not be made; the message says what to type next."""


def main(arguments: list[str]) -> int:
    """Make or refresh `.venv`; with --test also what the tests need. Returns the exit code."""
    extra = "test" if "--test" in arguments else ""
    try:
        ensure(extra)
    except BootstrapError as error:
        print(f"\nThe environment was not made: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Type the same command again: it goes on from here.", file=sys.stderr)
        return 130
    return 0


def ensure(extra: str = "") -> None:
    """Bring `.venv` to what pyproject.toml says. Raises BootstrapError."""
    if sys.version_info < OLDEST:
        raise BootstrapError(
            f"this is Python {sys.version.split()[0]}, the course needs 3.11 or newer. "
            "Install one and say `make lab PYTHON=python3.12`."
        )
    _tell_of_another_python()
    if not _is_enough(extra):
        with _alone():
            if not _is_enough(extra):  # another command may have done it meanwhile
                _install(extra)


def _install(extra: str) -> None:
    started = time.monotonic()
    if not _has_pip():
        print(f"Making {VENV.relative_to(ROOT)} with Python {sys.version.split()[0]} ...", flush=True)
        _make_venv()
    target = f".[{extra}]" if extra else "."
    print("Installing what pyproject.toml pins (a minute or two the first time) ...", flush=True)
    _pip("install", "--progress-bar", "off", "--editable", target, narrate=True)
    _compile()
    _stamp_of(extra).write_text(_stamp(extra))
    print(f"The environment is ready after {time.monotonic() - started:.0f} s.", flush=True)


def _compile() -> None:
    """Compile the course's modules now: the first start would take half as long again with it."""
    subprocess.run([PYTHON, "-m", "compileall", "-q", ROOT / "labsupport"], check=False, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold a lock on pyproject.toml: two commands at once would run pip side by side, into one environment."""
    with (ROOT / "pyproject.toml").open("r+") as pins:  # writable, since a lock on a network disk wants that
        try:
            fcntl.flock(pins, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another command is making the environment; waiting for it (Ctrl-C: no longer) ...", flush=True)
            fcntl.flock(pins, fcntl.LOCK_EX)
        yield


def _tell_of_another_python() -> None:
    """Say that the environment stays with the Python that it was made with, where that is not the one asked for."""
    made, wanted = _version_of_venv(), "{}.{}".format(*sys.version_info)
    if made not in ("", wanted):
        print(
            f"The environment has Python {made}, and keeps it; this is Python {wanted}. To have that one instead: "
            f"`rm -r {VENV.relative_to(ROOT)} && make lab PYTHON={sys.executable}`.",
            flush=True,
        )


def _version_of_venv() -> str:
    """The Python of `.venv`, as "3.12"; "" when there is none that can be gone on with."""
    try:
        lines = (VENV / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return ""
    settings = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    return ".".join(settings.get("version", "").split(".")[:2]) if PYTHON.exists() else ""


def _is_enough(extra: str) -> bool:
    return any(_is_installed(has) for has in {extra, "test"})  # what the tests need has all of the lab in it


def _is_installed(extra: str) -> bool:
    stamp = _stamp_of(extra)
    return stamp.exists() and stamp.read_text() == _stamp(extra)


def _stamp_of(extra: str) -> Path:
    return VENV / f".installed-{extra or 'lab'}"


def _stamp(extra: str) -> str:
    pins = (ROOT / "pyproject.toml").read_bytes()
    return f"{hashlib.sha256(pins).hexdigest()} {extra} {_version_of_venv()} {ROOT}\n"


def _has_pip() -> bool:
    """Whether there is an environment to go on with: an interrupted start may have left one without pip, and an
    upgrade of the system one whose Python is gone."""
    try:
        return subprocess.run([PYTHON, "-c", "import pip"], capture_output=True).returncode == 0
    except OSError:
        return False


def _make_venv() -> None:
    """Make the environment with pip in it, also where the distribution left ensurepip out (Debian without -venv)."""
    try:
        venv.create(VENV, with_pip=False, clear=True)
    except OSError as error:
        raise BootstrapError(
            f"{VENV} cannot be made: {error}. Check the free space and the folder's rights."
        ) from error
    bundled = subprocess.run([PYTHON, "-m", "ensurepip", "--default-pip"], capture_output=True, text=True)
    if bundled.returncode != 0:
        print("This Python has no ensurepip; bringing pip in by other means ...", flush=True)
        _pip_without_ensurepip()


def _pip_without_ensurepip() -> None:
    """Let the system's pip install pip; where there is none, take it from the index that PIP_INDEX_URL names."""
    by_system: list[str | Path] = [sys.executable, "-m", "pip", "--python", PYTHON, "install", "--quiet", "pip"]
    if subprocess.run(by_system, capture_output=True).returncode == 0:
        return
    index = os.environ.get("PIP_INDEX_URL", "").rstrip("/")
    if not index:
        raise BootstrapError(
            "this Python has neither ensurepip nor pip. Install one, e.g. with `sudo apt install python3-venv`; or, "
            "without root, name your package index: `make lab PIP_INDEX_URL=https://...`."
        )
    _pip_from_index(index)


def _pip_from_index(index: str) -> None:
    """Install pip into the environment from its own wheel, which can run as it is."""
    request = urllib.request.Request(f"{index}/pip/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    wheel = VENV / "pip.whl"
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            files = json.load(reply)["files"]
        newest = [f for f in files if f["filename"].endswith("-py3-none-any.whl") and not f.get("yanked")][-1]
        with urllib.request.urlopen(newest["url"], timeout=120) as reply:
            content = reply.read()
        if hashlib.sha256(content).hexdigest() != newest["hashes"]["sha256"]:
            raise ValueError("the download does not have the checksum that the index names")
        wheel = VENV / newest["filename"]
        wheel.write_bytes(content)
        runnable = wheel / "pip"
        subprocess.run([PYTHON, runnable, "install", "--quiet", "--no-index", wheel], check=True)
    except (OSError, ValueError, KeyError, IndexError, subprocess.CalledProcessError) as error:
        raise BootstrapError(
            f"pip is not part of this Python and could not be fetched ({error}). "
            "Install it, e.g. with `sudo apt install python3-venv`, and try again."
        ) from error
    finally:
        wheel.unlink(missing_ok=True)


def _pip(*arguments: str, narrate: bool = False) -> None:
    """Run the environment's pip; with `narrate` show a counter of the packages it collects."""
    command: list[str | Path] = [PYTHON, "-m", "pip", "--disable-pip-version-check", *arguments]
    tail: list[str] = []
    shown = sys.stdout.isatty()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        collected = 0
        for line in process.stdout:
            tail = [*tail[-25:], line]
            if narrate and line.startswith("Collecting "):
                collected += 1
                if shown:
                    print(f"\r  {collected:3} packages: {line.split()[1][:50]:50}", end="", flush=True)
            elif narrate and line.startswith("Installing collected packages"):
                print(f"\r  {collected} packages fetched, installing them ...{' ' * 40}", flush=True)
    if process.returncode != 0:
        raise BootstrapError("pip said:\n" + "".join(tail) + "\nMend that and type the same command again.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
