"""What a pod can run on every distribution, and that the course runs nothing else in pods."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml

from labcluster.node.images import image_table
from tests.manifests import pod
from tests.running_lab import Namespace

ROOT = Path(__file__).resolve().parents[2]
RUNS = {
    "awk": ("echo one two | awk '{print $2}'", "two"),
    "bash": ("bash -c 'a=(1 2); echo ${a[1]}'", "2"),
    "cat": ("echo x | cat", "x"),
    "date": ("date -u -d @0 +%Y-%m-%dT%H:%M:%S", "1970-01-01T00:00:00"),
    "getent": ("getent hosts kubernetes.default | awk '{print $1}'", "10.96.0.1"),
    "grep": ("echo ab | grep -oE 'b$'", "b"),
    "hostname": ("hostname", "one"),
    "sed": ("echo ab | sed s/b/c/", "ac"),
    "seq": ("echo $(seq 3)", "1 2 3"),
    "sh": ("sh -c 'echo $0' x", "x"),
    "sleep": ("sleep 0.01 && echo slept", "slept"),
    "sort": ("echo $(printf '10\\n9\\n' | sort -n)", "9 10"),
    "tar": ("echo x >/tmp/a && tar -C /tmp -cf - a | tar -xOf - a", "x"),
    "test": ("env test -e /tmp && echo there", "there"),
    "timeout": ("timeout 0.1 sleep 10; echo $?", "124"),
    "touch": ("touch /tmp/b && echo /tmp/b*", "/tmp/b"),
    "tr": ("echo a | tr a b", "b"),
}
IMAGES = {"busybox": "busybox:1.37", "valkey": "valkey/valkey:8.1.8", "nginx": "nginx:1.31.3"}
OWN = {"nginx", "redis-cli", "redis-server", "valkey-cli", "valkey-server"}  # the programs of the images themselves
BUILT_IN = """
    break case continue done echo esac eval exec exit export false fi for kill printf read return set shift trap true
    unset wait
"""


def test_every_program_runs_in_every_image(namespace: Namespace) -> None:
    containers = [{"name": n, "image": image, "command": ["sleep", "infinity"]} for n, image in IMAGES.items()]
    namespace.apply(pod("one", *containers))
    namespace.wait("pod/one", "condition=Ready")
    script = "\n".join(f"echo {name} $({script})" for name, (script, _) in RUNS.items())
    for container in IMAGES:
        printed = namespace.kubectl("exec", "one", "-c", container, "--", "sh", "-c", script)
        assert dict(line.split(" ", 1) for line in printed.splitlines()) == {n: said for n, (_, said) in RUNS.items()}


def test_the_list_is_said_where_it_is_looked_for() -> None:
    readme = (ROOT / "labcluster" / "README.md").read_text()
    (listed,) = re.findall(r"a pod can count on: ([^.]*)\.", readme)
    assert re.findall(r"`(\S+)`", listed) == sorted(image_table.PROGRAMS) == sorted(RUNS)


def called(script: str) -> set[str]:
    """The programs that a shell script calls, but for those that it has only within quotes."""
    script = re.sub(r"<<(\w+)\n.*?\n\s*\1\n", "\n", script, flags=re.DOTALL)
    script = re.sub(r"(^|\s)#.*", "", script.replace("\\\n", " "))
    script = re.sub(r"""'[^']*'|(?<=echo )"[^"$]*\"""", "Q", script)
    functions = set(re.findall(r"(\w+)\(\) *{", script))
    names = set()
    script = re.sub(r"\w+\(\) *{|\bfor \w+ in [\w ]+;", ";", script)
    for command in re.split(r"[;&|\n]+|\$\(+|\b(?:then|do|else|elif|if|in|while|until|exec)\s|[!{]\s", script):
        words = command.replace('"', " ").split()
        while words and (re.match(r"\w+=|[\d.]+$|[^(]*\)$", words[0]) or words[0] == "timeout"):
            names |= {words.pop(0)} & {"timeout"}  # what comes before a command: settings, a time, a case
        if words and re.fullmatch(r"[a-z][\w.-]*", words[0]):
            names.add(words[0])
    return names - functions - {*BUILT_IN.split()}


def scripts(value: Any) -> Iterator[str]:
    """The shell scripts in a manifest, and its commands as such."""
    if isinstance(value, list):
        for item in value:
            yield from scripts(item)
    elif isinstance(value, dict):
        yield "\n".join(text for name, text in value.items() if name.endswith(".sh"))  # they share their functions
        words = [*(value.get("command") or ()), *(value.get("args") or ())] if "command" in value else []
        if words:
            yield words[2] if words[1:2] == ["-c"] else shlex.join(words)
        for item in value.values():
            yield from scripts(item)


def in_manifests() -> Iterator[str]:
    for file in sorted((ROOT / "notebooks" / "manifests").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            yield from scripts(document)


def in_notebooks() -> Iterator[str]:
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(file, as_version=4).cells:
            for script in re.findall(r'lab\.run\([^\n]*?, \w?"([^"\n]*)"', cell.source):
                yield re.sub(r"{\w+}", "Q", script)


@pytest.mark.parametrize("found", [in_manifests, in_notebooks])
def test_the_course_calls_nothing_else_in_pods(found: Any) -> None:
    names = set().union(*(called(script) for script in found()))
    assert {"cat", "valkey-cli"} <= names <= {*image_table.PROGRAMS, *OWN}


def test_a_call_is_seen_wherever_it_stands() -> None:
    script = """
    # curl in a comment
    one() { ip route; }
    if ! ps -e | awk '{print nc}' > x; then wget "$(dig a)"; fi; A=1 timeout 3 curl -s x && one
    case $x in a*) nslookup x ;; esac
    cat <<END
    openssl
    END
    until lsof; do vi; done
    """
    assert " ".join(sorted(called(script))) == "awk cat curl dig ip lsof nslookup ps timeout vi wget"
