"""Transcripts of kubectl: what is typed, and the shape of what it prints.

    $ kubectl get pods -o wide
    NAME   READY   STATUS    RESTARTS   AGE     IP     NODE     NOMINATED NODE   READINESS GATES
    web    1/1     Running   0          <age>   <ip>   <node>   <none>           <none>
    $ kubectl exec web -- sh -c 'exit 3'
    command terminated with exit code 3
    [exit 3]

What is above the first command is a remark. A line with `$` is typed, with `>` it goes on. Below is what is printed:
standard output, then standard error. Columns may be of any width. A line `...` stands for any lines, the WORDS below
for what differs from run to run. $NAMESPACE is the namespace's name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path

from tests.running_lab import BIN, SECONDS, Namespace

WORDS = {
    "<age>": r"\d+[smhd]\w*( ago)?",
    "<ip>": r"\d{1,3}(\.\d{1,3}){3}",
    "<port>": r"\d{2,5}",
    "<node>": r"lab-(control-plane|worker2?)",
    "<hash>": r"[a-z0-9]{8,10}",
    "<id>": r"[a-z0-9]{5}",
    "<uid>": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "<time>": r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?|\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4})",
    "<number>": r"\d+",
    "<version>": r"v\d+\.\d+\.\d+",
    "<any>": r".+",
    "<namespace>": r"test-\d+",
}
_MORE = "..."


@dataclass
class Step:
    """A command, what it has to print, and the exit code that it has to end with."""

    command: str
    printed: list[str] = field(default_factory=list)
    exit: int = 0


def steps(text: str) -> Iterator[Step]:
    """The steps of a transcript."""
    step = Step("")
    for line in text.splitlines():
        if line.startswith("$ "):
            if step.command:
                yield step
            step = Step(line[2:])
        elif line.startswith("> ") or line == ">":
            step.command += "\n" + line[2:]
        elif not step.command:
            continue
        elif ended := re.fullmatch(r"\[exit (\d+)\]", line):
            step.exit = int(ended[1])
        else:
            step.printed.append(line)
    yield step


def play(text: str, space: Namespace, directory: Path) -> None:
    """Type a transcript in a shell whose namespace is `space`. Raises AssertionError where the shape is another."""
    environment = prepared(space, directory)
    for step in steps(text):
        done = subprocess.run(
            ["sh", "-c", step.command],
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * SECONDS,
        )
        printed = (done.stdout + done.stderr).splitlines()
        if done.returncode != step.exit or not fits(step.printed, printed):
            shown = "\n".join(unified_diff(step.printed, printed, "expected", "printed", lineterm="", n=99))
            raise AssertionError(f"$ {step.command}\n[exit {done.returncode}], expected {step.exit}\n{shown}")


def prepared(space: Namespace, directory: Path) -> dict[str, str]:
    """The environment of a learner's shell: kubectl on the PATH, and a kubeconfig whose namespace is this one."""
    kubeconfig = directory / "kubeconfig"
    shutil.copy(space.lab.kubeconfig, kubeconfig)
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    own = {"KUBECONFIG": str(kubeconfig), "PATH": path, "TMPDIR": str(directory), "NAMESPACE": space.name}
    environment = {**space.lab.environment, **own}
    change = [BIN / "kubectl", "config", "set-context", "--current", f"--namespace={space.name}"]
    subprocess.run(change, env=environment, check=True, capture_output=True)
    return environment


def fits(expected: list[str], printed: list[str]) -> bool:
    """Whether the lines have the shape."""
    if not expected:
        return not printed
    if expected[0] == _MORE:
        return any(fits(expected[1:], printed[n:]) for n in range(len(printed) + 1))
    return (
        bool(printed) and bool(_pattern(expected[0]).fullmatch(_plain(printed[0]))) and fits(expected[1:], printed[1:])
    )


def _pattern(line: str) -> re.Pattern[str]:
    words = re.split(f"({'|'.join(map(re.escape, WORDS))})", _plain(line))
    return re.compile("".join(WORDS.get(word, re.escape(word)) for word in words))


def _plain(line: str) -> str:
    """A line with its columns two spaces apart; its indentation stays."""
    body = line.strip()
    return line[: len(line) - len(line.lstrip())] + re.sub(r"\s{2,}", "  ", body)
