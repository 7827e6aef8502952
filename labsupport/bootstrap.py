"""Make the course's environment: `.venv` beside the Makefile, with what requirements/*.txt lock.

Runs under the system's Python before anything is installed, so it uses the standard library only.
`python3 labsupport/bootstrap.py [--test]`; a second run is quick: it compares a stamp.

The packages are installed by uv, in seconds, where its wheel runs, and by pip otherwise; both hold every file to the
hash that the lock has of it.
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
# What is locked, from the smallest to the largest; each has all of those before it.
PURPOSES = ("lab", "embedded", "test")


class BootstrapError(Exception):
    """The environment could not be made; the message says what to type next."""


def main(arguments: list[str]) -> int:
    """Make or refresh `.venv`; with --test also what the tests need. Returns the exit code."""
    try:
        ensure("test" if "--test" in arguments else purpose())
    except BootstrapError as error:
        print(f"\nThe environment was not made: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Type the same command again: it goes on from here.", file=sys.stderr)
        return 130
    return 0


def purpose() -> str:
    """What this lab needs: `lab`, or `embedded` where the cluster may be the embedded one, which needs Linux."""
    may_be_embedded = os.environ.get("CLUSTER", "auto") in ("", "auto", "embedded")
    return "embedded" if may_be_embedded and sys.platform == "linux" else "lab"


def ensure(wanted: str) -> None:
    """Bring `.venv` to what the lock has for one of PURPOSES. Raises BootstrapError."""
    if sys.version_info < OLDEST:
        raise BootstrapError(
            f"this is Python {sys.version.split()[0]}, the course needs 3.11 or newer. "
            "Install one and say `make lab PYTHON=python3.12`."
        )
    _tell_of_another_python()
    if not _is_enough(wanted):
        with _alone():
            if not _is_enough(wanted):  # another command may have done it meanwhile
                _install(wanted)


def _install(wanted: str) -> None:
    started = time.monotonic()
    if not _has_pip():
        print(f"Making {VENV.relative_to(ROOT)} with Python {sys.version.split()[0]} ...", flush=True)
        _make_venv()
    if _has_uv():
        print("Installing what the course needs (half a minute the first time) ...", flush=True)
        _uv("install", "--require-hashes", "--requirement", f"requirements/{wanted}.txt")
        _uv("install", "--no-deps", "--no-build-isolation", "--editable", ".")
    else:
        print("Installing what the course needs, by pip (two or three minutes the first time) ...", flush=True)
        locked = ["--no-deps", "--require-hashes", "--requirement", f"requirements/{wanted}.txt"]
        _pip("install", "--progress-bar", "off", *locked, narrate=True)
        _pip("install", "--no-deps", "--no-build-isolation", "--editable", ".")
    _compile()
    _stamp_of(wanted).write_text(_stamp(wanted))
    print(f"The environment is ready after {time.monotonic() - started:.0f} s.", flush=True)


def _compile() -> None:
    """Compile the course's modules now: the first start would take half as long again with it."""
    houses = [folder for folder in (ROOT / "labsupport", ROOT / "labcluster") if folder.is_dir()]
    subprocess.run([PYTHON, "-m", "compileall", "-q", *houses], check=False, stdout=subprocess.DEVNULL)


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


def _is_enough(wanted: str) -> bool:
    return any(_is_installed(larger) for larger in PURPOSES[PURPOSES.index(wanted) :])


def _is_installed(wanted: str) -> bool:
    stamp = _stamp_of(wanted)
    return stamp.exists() and stamp.read_text() == _stamp(wanted)


def _stamp_of(wanted: str) -> Path:
    return VENV / f".installed-{wanted}"


def _stamp(wanted: str) -> str:
    digest = hashlib.sha256()
    for file in (ROOT / "pyproject.toml", ROOT / "requirements" / f"{wanted}.txt"):
        digest.update(file.read_bytes())
    return f"{digest.hexdigest()} {wanted} {_version_of_venv()} {ROOT}\n"


def _has_uv() -> bool:
    """Have uv in the environment, in the version that is locked; False where there is none for this machine."""
    if _runs_uv():
        return True
    wheels_only = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", "requirements/uv.txt"]
    with contextlib.suppress(BootstrapError):  # no wheel; or no network, which pip will say when it is asked again
        _pip("install", *wheels_only)
    return _runs_uv()


def _runs_uv() -> bool:
    locked = next(
        line.split()[0] for line in (ROOT / "requirements/uv.txt").read_text().splitlines() if line.startswith("uv==")
    )
    try:
        said = subprocess.run([VENV / "bin" / "uv", "--version"], capture_output=True, text=True)
    except OSError:
        return False
    return said.stdout.split()[1:2] == [locked.partition("==")[2]]


def _uv(*arguments: str) -> None:
    """Run `uv pip`, which shows how far it is, with pip's settings (of the environment and of pip.conf)."""
    command: list[str | Path] = [VENV / "bin" / "uv", "pip", arguments[0], "--python", PYTHON, *arguments[1:]]
    if subprocess.run(command, cwd=ROOT, env={**_uv_settings(), **os.environ}).returncode != 0:
        raise BootstrapError("uv says above what is wrong. Mend that and type the same command again.")


def _uv_settings() -> dict[str, str]:
    """pip's index, certificate and proxy, as uv's environment variables: uv does not read them itself."""
    by_uv = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS"}
    by_uv |= {"cert": "SSL_CERT_FILE", "trusted-host": "UV_INSECURE_HOST", "proxy": "ALL_PROXY"}
    listed = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    # As with pip, the best of all indexes counts; the hashes of the lock say that it is the right file.
    settings = {"UV_INDEX_STRATEGY": "unsafe-best-match", **({} if sys.stderr.isatty() else {"UV_NO_PROGRESS": "1"})}
    if sys.dont_write_bytecode:  # else every process would compile what it imports, each time anew
        settings["UV_COMPILE_BYTECODE"] = "1"
    if not _shares_disk_with_home():
        settings["UV_LINK_MODE"] = "copy"  # or uv warns, three lines long, that it cannot link to its cache there
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):  # those count most
        key, _, value = line.partition("=")
        if name := by_uv.get(key.rpartition(".")[2]):
            settings[name] = " ".join(value.strip("'\"").replace("\\n", " ").split())
    return settings


def _shares_disk_with_home() -> bool:
    try:
        return os.stat(Path("~").expanduser()).st_dev == os.stat(ROOT).st_dev
    except (OSError, RuntimeError):  # no home
        return False


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
