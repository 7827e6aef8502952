"""`kubectl run -i`, `run -it` and `attach`, and the Python client's attach: the streams of a container itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest
from kubernetes.stream import stream
from kubernetes.stream.ws_client import WSClient

from tests.manifests import pod, shell
from tests.running_lab import BIN, SECONDS, Namespace

IMAGE = "busybox:1.37"


class Typist:
    """A kubectl command at a terminal of its own: what it shows is read, and keys are pressed."""

    def __init__(self, space: Namespace, *arguments: str, columns: int = 97, rows: int = 31) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", str(BIN / "kubectl"), "-n", space.name, *arguments],
            env=space.lab.environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def until(self, text: str) -> str:
        """Read until a text has been shown; all that was shown since the last time."""
        shown, deadline = "", time.monotonic() + SECONDS
        while text not in shown:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self._master], [], [], left)[0], f"no {text!r} in {shown!r}"
            try:
                shown += os.read(self._master, 4096).decode()
            except OSError as error:  # EIO: kubectl has ended
                raise AssertionError(f"ended without {text!r}: {shown!r}") from error
        return shown

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(SECONDS)
        os.close(self._master)


@contextlib.contextmanager
def typing(space: Namespace, *arguments: str) -> Iterator[Typist]:
    typist = Typist(space, *arguments)
    try:
        yield typist
    finally:
        typist.close()


@contextlib.contextmanager
def attached(space: Namespace, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`kubectl attach` with pipes."""
    pipe = subprocess.PIPE
    command = [BIN / "kubectl", "-n", space.name, "attach", "--quiet", *arguments]
    with subprocess.Popen(command, env=space.lab.environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def line_with(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdout
    return next(line for line in process.stdout if word in line)


def run_attached(space: Namespace, script: str, *options: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`kubectl run --rm -i` of a shell script, once."""
    how = ("--image", IMAGE, "--restart=Never", "--rm", "-i", *options)
    return space.lab.run_kubectl("-n", space.name, "run", "once", *how, "--", "sh", "-c", script, stdin=stdin)


def test_a_command_run_once_reads_what_is_piped_and_returns_its_exit_code(namespace: Namespace) -> None:
    lines = "".join(f"line {n}\n" for n in range(20_000))
    done = run_attached(namespace, "sleep 1; wc -l; echo problem >&2; exit 3", stdin=lines)
    assert done.returncode == 3
    assert done.stdout.splitlines() == ["20000", f'pod "once" deleted from {namespace.name} namespace']
    assert "problem\n" in done.stderr and "pod test" in done.stderr.replace(namespace.name, "test")
    assert "falling back" not in done.stderr
    assert namespace.kubectl("get", "pods", "-o", "name") == ""


@pytest.mark.parametrize("policy", ["--restart=Never", "--restart=OnFailure"])
def test_a_quick_command_prints_once(namespace: Namespace, policy: str) -> None:
    done = run_attached(namespace, "echo hello", policy)
    assert (done.returncode, done.stdout.splitlines()[0], done.stdout.count("hello")) == (0, "hello", 1)
    assert "falling back" not in done.stderr


def test_a_debugger_is_talked_to_at_a_terminal(namespace: Namespace) -> None:
    namespace.apply(pod("one", shell("echo mark > /tmp/mark; sleep infinity")))
    namespace.wait("pod/one", "condition=Ready")
    with typing(namespace, "debug", "-it", "one", f"--image={IMAGE}", "--target=main") as keys:
        keys.until("try pressing enter.")
        keys.type("\r")
        keys.until("# ")
        keys.type("tty; cat /proc/1/root/tmp/m*; exit 4\r")
        shown = keys.until("mark\r\n")
        assert "/dev/pts/0" in shown
        assert keys.process.wait(SECONDS) == 0
    (entry,) = namespace.get("pod/one")["status"]["ephemeralContainerStatuses"]
    assert entry["state"]["terminated"]["exitCode"] == 4
    assert namespace.get("pod/one")["status"]["phase"] == "Running"


def test_a_shell_is_talked_to_at_a_terminal(namespace: Namespace) -> None:
    with typing(namespace, "run", "shell", f"--image={IMAGE}", "--restart=Never", "--rm", "-it", "--", "sh") as keys:
        keys.until("try pressing enter.")
        keys.type("\r")
        keys.until("# ")
        keys.type("echo $((6*7)) on $HOSTNAME; tty; stty size\r")
        shown = keys.until("31 97\r\n")
        assert "42 on shell\r\n" in shown and "/dev/pts/0\r\n" in shown
        keys.type("sh -c 'echo a''sleep; exec sleep 100'\r")
        keys.until("asleep\r\n")
        keys.type("\x03")  # for the program in the container, not for kubectl
        keys.until("# ")
        keys.type("sh -c 'trap \"stty size; exit\" WINCH; echo w''aiting; while :; do sleep 0.1; done'\r")
        keys.until("waiting\r\n")
        keys.resize(80, 24)
        keys.until("24 80\r\n")
        keys.type("exit 5\r")
        assert 'pod "shell" deleted' in keys.until("namespace\r\n")
        assert keys.process.wait(SECONDS) == 5


def test_the_output_of_a_running_pod_goes_to_all_that_are_attached(namespace: Namespace) -> None:
    namespace.apply(pod("one", shell("while :; do echo tick >&2; sleep 0.2; done")))
    namespace.wait("pod/one", "condition=Ready")
    options = {"stdout": True, "stderr": True, "_preload_content": False}
    python: WSClient = stream(namespace.lab.core.connect_get_namespaced_pod_attach, "one", namespace.name, **options)
    python.update(timeout=SECONDS)
    errors = subprocess.Popen(
        [BIN / "kubectl", "-n", namespace.name, "attach", "one"],
        env=namespace.lab.environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with errors:
        assert errors.stderr
        assert next(line for line in errors.stderr if "tick" in line) == "tick\n"
        errors.terminate()  # detaches
    while not (said := python.read_stderr(timeout=SECONDS)):
        assert python.is_open()
    assert "tick\n" in said
    python.close()
    (status,) = namespace.get("pod/one")["status"]["containerStatuses"]
    assert (status["restartCount"], list(status["state"])) == (0, ["running"])
    assert namespace.kubectl("logs", "one", "--tail=1") == "tick\n"


def test_input_goes_on_with_the_next_who_attaches(namespace: Namespace) -> None:
    reader = {**shell("while read line; do echo got $line; done"), "stdin": True}
    namespace.apply(pod("one", reader, restartPolicy="Never"))
    namespace.wait("pod/one", "condition=Ready")
    with attached(namespace, "one") as watching:
        for word in ("first", "second"):
            with attached(namespace, "-i", "one") as writing:
                assert writing.stdin
                writing.stdin.write(f"{word}\n")
                writing.stdin.flush()
                assert line_with(writing, word) == f"got {word}\n"
                writing.stdin.close()
                assert writing.wait(SECONDS) == 0
        assert line_with(watching, "second") == "got second\n"
        assert namespace.get("pod/one")["status"]["phase"] == "Running"
        namespace.kubectl("delete", "pod", "one", "--now")
        assert watching.wait(SECONDS) == 0


def test_a_terminal_is_left_and_attached_to_again(namespace: Namespace) -> None:
    with typing(namespace, "run", "shell", f"--image={IMAGE}", "--restart=Never", "-it", "--", "sh") as keys:
        keys.until("try pressing enter.")
        keys.type("left='still here'\r")
        keys.until("# ")
    assert namespace.get("pod/shell")["status"]["phase"] == "Running"
    with typing(namespace, "attach", "-it", "shell") as keys:
        keys.type("echo $left\r")
        keys.until("still here\r\n")
        keys.type("exit\r")
        assert keys.process.wait(SECONDS) == 0
    namespace.wait("pod/shell", "jsonpath={.status.phase}=Succeeded")
    assert "cannot attach a container in a completed pod; current phase is Succeeded" in namespace.refused(
        "attach", "shell"
    )


def to(space: Namespace, name: str, **options: bool) -> WSClient:
    """The Python client attached to a pod."""
    wanted = {"stdin": True, "stdout": True, "stderr": True, **options}
    session: WSClient = stream(
        space.lab.core.connect_get_namespaced_pod_attach, name, space.name, **wanted, _preload_content=False
    )
    return session


def test_the_python_client_writes_reads_and_ends_the_input(namespace: Namespace) -> None:
    once = {**shell("read a; echo got $a; cat >&2; exit 4"), "stdin": True, "stdinOnce": True}
    namespace.apply(pod("one", once, restartPolicy="Never"))
    namespace.wait("pod/one", "condition=Ready")
    session = to(namespace, "one")
    session.write_stdin("first\n")
    assert session.readline_stdout(timeout=SECONDS) == "got first"
    session.write_stdin("the rest")
    session.close_channel(0)
    session.run_forever(timeout=SECONDS)
    assert (session.read_stderr(), session.is_open(), session.returncode) == ("the rest", False, 0)
    namespace.wait("pod/one", "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}=4")
    late = to(namespace, "one")
    late.run_forever(timeout=SECONDS)
    assert f"container main not found in pod one_{namespace.name}" in late.read_channel(3)


def test_a_terminal_has_no_stream_for_errors(namespace: Namespace) -> None:
    namespace.apply(pod("one", {**shell("sleep 100"), "stdin": True, "tty": True}))
    namespace.wait("pod/one", "condition=Ready")
    session = to(namespace, "one")
    session.run_forever(timeout=SECONDS)
    assert "tty and stderr cannot both be true" in session.read_channel(3)
    session = to(namespace, "one", stderr=False, tty=True)
    session.write_stdin("typed\n")
    assert session.readline_stdout(timeout=SECONDS) == "typed\r"  # the terminal's echo
    session.close()
