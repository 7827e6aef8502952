"""The container engine and kind: found, asked, and run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labsupport.backends.contract import CommandError
from labsupport.backends.kind import troubles
from labsupport.backends.kind.troubles import Trouble, diagnose

ENGINES = ("docker", "podman", "nerdctl")
OLDEST_KIND = (0, 22)  # the first whose default node image is newer than Kubernetes 1.29.0
_ANSWER_SECONDS = 20.0

Line = Callable[[str], None]


class EngineError(CommandError):
    """No engine can be used; `trouble` says why."""

    def __init__(self, trouble: Trouble, detail: str = "") -> None:
        super().__init__(f"{trouble.what}{f' ({detail})' if detail else ''}. To mend it: {trouble.remedy}.")
        self.trouble = trouble
        self.detail = detail


class CommandFailed(CommandError):
    """A command of the engine or of kind failed; its output names a known trouble, or is shown as it is."""

    def __init__(self, command: list[str], output: str) -> None:
        trouble = diagnose(output)
        said = "\n".join(output.strip().splitlines()[-12:])
        meaning = f"{trouble.what}. To mend it: {trouble.remedy}.\n" if trouble else ""
        super().__init__(f"`{' '.join(command[:3])}` failed: {meaning}It said:\n{said}")
        self.trouble = trouble
        self.output = output


@dataclass(frozen=True)
class Engine:
    """A container engine that answers, and kind on top of it."""

    name: str
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def memory(self) -> int:
        """Bytes of memory that containers can have; 0 when the engine does not say."""
        return int(self.info.get("MemTotal") or self._host.get("memTotal") or 0)

    @property
    def cgroup_version(self) -> str:
        """ "1" or "2"; "" when the engine does not say."""
        return str(self.info.get("CgroupVersion") or self._host.get("cgroupVersion") or "").removeprefix("v")

    @property
    def rootless(self) -> bool:
        """Whether it runs without root."""
        options = self.info.get("SecurityOptions") or ()
        security = self._host.get("security") or {}
        return any("rootless" in str(option) for option in options) or bool(security.get("rootless"))

    @property
    def _host(self) -> dict[str, Any]:
        found = self.info.get("host")
        return found if isinstance(found, dict) else {}

    def run(self, *arguments: str, line: Line | None = None) -> str:
        """Run a command of the engine; its output. Raises CommandFailed."""
        return run([self.name, *arguments], line=line)

    def kind(self, *arguments: str, line: Line | None = None, log: Path | None = None) -> str:
        """Run kind with this engine; its output. Raises CommandFailed."""
        environment = {**os.environ, "KIND_EXPERIMENTAL_PROVIDER": self.name}
        return run(["kind", *arguments], line=line, log=log, environment=environment)

    def clusters(self) -> list[str]:
        """The names of kind's clusters. Raises CommandFailed."""
        found = self.kind("get", "clusters").splitlines()
        return [name.strip() for name in found if name.strip() and not name.startswith("No kind clusters")]


def run(
    command: list[str],
    *,
    line: Line | None = None,
    log: Path | None = None,
    environment: dict[str, str] | None = None,
) -> str:
    """Run a command to its end; every line of its output goes to `line`, all of it to `log`. Raises CommandFailed.

    An interrupt ends the command too, before it goes on to the caller.
    """
    said: list[str] = []
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
        )
    except OSError as error:
        raise CommandFailed(command, str(error)) from error
    with process:
        try:
            for text in process.stdout or ():
                said.append(text)
                if line:
                    line(text.rstrip())
        except BaseException:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
        finally:
            if log:
                with log.open("a") as file:
                    file.write(f"$ {' '.join(command)}\n{''.join(said)}")
    output = "".join(said)
    if process.returncode != 0:
        raise CommandFailed(command, output)
    return output


def find() -> Engine:
    """The engine to use: the one of KIND_EXPERIMENTAL_PROVIDER, else the first that answers. Raises EngineError."""
    wanted = os.environ.get("KIND_EXPERIMENTAL_PROVIDER")
    installed = [name for name in ENGINES if shutil.which(name) and wanted in (None, "", name)]
    if not installed:
        raise EngineError(troubles.NO_ENGINE)
    failures = []
    for name in installed:
        try:
            return Engine(name, _ask(name))
        except EngineError as error:
            failures.append(error)
    raise failures[0]


def _ask(name: str) -> dict[str, Any]:
    """What the engine tells of itself. Raises EngineError."""
    command = [name, "info", "--format", "json" if name == "podman" else "{{json .}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise EngineError(troubles.NOT_RUNNING, f"`{name} info` gave no answer in {_ANSWER_SECONDS:g} s") from error
    except OSError as error:
        raise EngineError(troubles.NO_ENGINE, f"{name}: {error.strerror}") from error
    try:
        info = json.loads(done.stdout)
    except ValueError:
        info = {}
    problems = "\n".join([done.stderr, *map(str, (info.get("ServerErrors") or ()) if isinstance(info, dict) else ())])
    if done.returncode != 0 or not isinstance(info, dict) or info.get("ServerErrors"):
        last = (problems.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise EngineError(diagnose(problems) or troubles.NOT_RUNNING, f"{name}: {last[:160]}")
    return info


def kind_version() -> tuple[int, ...]:
    """The version of kind. Raises EngineError when there is none, or an old one."""
    if not shutil.which("kind"):
        raise EngineError(troubles.NO_KIND)
    try:
        told = run(["kind", "version"])
    except CommandFailed as error:
        raise EngineError(troubles.NO_KIND, str(error)) from error
    found = re.search(r"v?(\d+)\.(\d+)(?:\.(\d+))?", told)
    version = tuple(int(n or 0) for n in found.groups()) if found else (0,)
    if version < OLDEST_KIND:
        raise EngineError(troubles.OLD_KIND, told.strip()[:60])
    return version


def answers() -> bool:
    """Whether kind is here, and an engine that answers."""
    try:
        kind_version()
        find()
    except EngineError:
        return False
    return True
