"""Starting and stopping the daemon, with a small stand-in for it."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from labcluster.launch import control, host_ports, search
from labcluster.launch.errors import LaunchError, namespaces_refused


def free_block() -> int:
    """The first of a hundred ports that no other lab of this machine uses now: tests may run beside each other."""
    while True:
        first = random.randrange(21000, 29000, 100)
        try:
            for port in (*range(first, first + 3), first + 99):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(socket.AF_INET, kind) as one:
                        one.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first


FIRST = free_block()
UNBUFFERED = {"PYTHONUNBUFFERED": "1"}
PORTS = {"node_ports": range(FIRST, FIRST + 3), "dns_node_port": FIRST + 99, "api_port": 0}

DAEMON = textwrap.dedent("""
    import os, signal, sys, json
    from labcluster.launch.inherited import from_sockets_argument
    args = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    got = from_sockets_argument(args["--sockets"])
    signal.signal(signal.SIGTERM, lambda *a: os._exit(0))
    got.report.progress("hello")
    child = os.fork()
    if not child:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True: signal.pause()
    got.report.ready(pid=os.getpid(), uid=os.getuid(), interfaces=os.listdir("/sys/class/net") and
                     [l.split(":")[0].strip() for l in open("/proc/net/dev").readlines()[2:]],
                     fds=sorted(int(f) for f in os.listdir("/proc/self/fd")), 
                     host_ports={port: tcp.getsockname()[1] for port, (tcp, _) in got.node_ports.items()})
    got.api.setblocking(True)
    while True:
        got.api.accept()[0].sendall(b"hello")
""")


def command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.fixture
def state(tmp_path: Path):
    directory = tmp_path / "state"
    yield directory
    control.stop(directory, timeout=1)


@pytest.fixture
def running(state: Path):
    said: list[str] = []
    launched = control.start(state, command=command(DAEMON), progress=said.append, **PORTS)
    assert said == ["hello"]
    return launched


def children_of(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_daemon_is_pid_1_and_root_in_namespaces_of_its_own(running: control.Launched) -> None:
    assert running.facts["pid"] == 1
    assert running.facts["uid"] == 0
    assert running.facts["interfaces"] == ["lo"]


def test_the_api_socket_answers_on_the_hosts_loopback(running: control.Launched) -> None:
    with socket.create_connection(("127.0.0.1", running.ports.api), 5) as one:
        assert one.recv(5) == b"hello"


def test_a_node_port_refuses_connections_until_somebody_listens(running: control.Launched) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.ports.node_ports[FIRST]), 5)


def test_the_host_ports_equal_the_node_ports_when_they_are_free(running: control.Launched) -> None:
    assert running.facts["host_ports"] == {str(p): p for p in PORTS["node_ports"]}


def test_no_stray_descriptors_reach_the_daemon(state: Path) -> None:
    with open("/etc/passwd") as stray:
        os.set_inheritable(stray.fileno(), True)
        launched = control.start(state, command=command(DAEMON), **PORTS)
    # 3 standard ones, API, DNS (2), 3 NodePorts (2 each), the report, the lock and the listing itself
    assert len(launched.facts["fds"]) == 3 + 1 + 2 + 6 + 1 + 1 + 1


SLOW = DAEMON.replace("got.report.ready", "sys.stdin = open(os.path.join(args['--state'], 'go')); got.report.ready")
STARTER = "import sys; from pathlib import Path; from labcluster.launch import control; "


def test_a_start_waits_for_one_whose_command_was_killed(state: Path) -> None:
    state.mkdir()
    os.mkfifo(state / "go")  # the daemon reads from it before it is ready
    ports = f"node_ports=range({FIRST}, {FIRST + 3}), dns_node_port={FIRST + 99}, api_port=0"
    start = f"control.start(Path({str(state)!r}), command=[sys.executable, '-c', {SLOW!r}], progress=print, {ports})"
    killed = subprocess.Popen([*command(STARTER + start)], stdout=subprocess.PIPE, env={**os.environ, **UNBUFFERED})
    assert killed.stdout and killed.stdout.readline() == b"hello\n"
    killed.kill()
    killed.communicate()
    with subprocess.Popen(command(STARTER + f"print({start}.already)"), stdout=subprocess.PIPE) as second:
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(0.5)  # it does not take the half made cluster for one that is up
        (state / "go").write_text("")
        assert second.communicate(timeout=20)[0] == b"True\n"


def test_a_second_start_does_nothing(state: Path, running: control.Launched) -> None:
    again = control.start(state, command=command(DAEMON), **PORTS)
    assert again.already
    assert again.pid == running.pid
    assert again.ports == running.ports


@pytest.mark.parametrize("damage", ["", "{", "removed"])
def test_a_daemon_whose_record_is_lost_is_found_again(state: Path, running: control.Launched, damage: str) -> None:
    record = state / control.RECORD
    before = record.read_text()
    record.unlink() if damage == "removed" else record.write_text(damage)
    again = control.start(state, command=command(DAEMON), **PORTS)
    assert (again.already, again.pid) == (True, running.pid)
    assert json.loads(record.read_text()) == json.loads(before)
    record.unlink()
    assert control.stop(state)
    assert not control.is_running(state)


def test_the_daemon_of_another_lab_is_not_taken_for_a_lost_one(tmp_path: Path, running: control.Launched) -> None:
    other = tmp_path / "state2"
    other.mkdir()
    assert not control.is_running(other)
    assert not control.stop(other)


def test_stop_ends_the_daemon_and_all_that_it_started(state: Path, running: control.Launched) -> None:
    (child,) = children_of(running.pid)
    descriptor = os.pidfd_open(child)
    assert control.stop(state)
    assert not control.is_running(state)
    with pytest.raises(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, 0)
    os.close(descriptor)
    assert not control.stop(state)


def test_a_daemon_that_ignores_sigterm_is_killed(state: Path) -> None:
    deaf = DAEMON.replace("lambda *a: os._exit(0)", "signal.SIG_IGN")
    control.start(state, command=command(deaf), **PORTS)
    assert control.stop(state, timeout=0.2)
    assert not control.is_running(state)


def test_the_ports_stay_the_same_over_a_kill_and_a_new_start(state: Path, running: control.Launched) -> None:
    with socket.create_connection(("127.0.0.1", running.ports.api), 5) as one:
        one.recv(5)
        descriptor = os.pidfd_open(running.pid)
        os.kill(running.pid, signal.SIGKILL)
        control._ends_within(control._Process(running.pid, descriptor), 5)
        os.close(descriptor)
    assert not control.is_running(state)
    again = control.start(state, command=command(DAEMON), **PORTS)
    assert not again.already
    assert again.ports == running.ports


def test_a_second_lab_takes_another_block_of_ports(tmp_path: Path, running: control.Launched) -> None:
    other = tmp_path / "other"
    try:
        second = control.start(other, command=command(DAEMON), **{**PORTS, "api_port": running.ports.api})
        assert second.ports.api != running.ports.api
        offset = second.ports.dns - running.ports.dns
        assert offset != 0
        assert second.ports.node_ports == {p: p + offset for p in PORTS["node_ports"]}
    finally:
        control.stop(other, timeout=1)


def test_a_recorded_port_that_is_taken_by_a_stranger_is_named(state: Path, running: control.Launched) -> None:
    control.stop(state, timeout=1)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", running.ports.node_ports[FIRST + 1]))
        stranger.listen()
        with pytest.raises(LaunchError, match=rf"{FIRST + 1}.*taken[\s\S]*rm .*ports.json"):
            control.start(state, command=command(DAEMON), **PORTS)


def test_stop_does_not_touch_a_process_that_only_has_the_recorded_pid(state: Path) -> None:
    state.mkdir()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        record = {"pid": stranger.pid, "startTime": 1, "boot": search.boot_id()}
        (state / control.RECORD).write_text(json.dumps(record))
        assert not control.is_running(state)
        assert not control.stop(state)
        assert stranger.poll() is None
        stranger.kill()


def test_a_daemon_that_fails_is_told_with_its_remedy_and_nothing_stays(state: Path) -> None:
    failing = DAEMON.replace('got.report.progress("hello")', 'got.report.failed("no luck", "try again")')
    with pytest.raises(LaunchError, match="no luck\ntry again"):
        control.start(state, command=command(failing), **PORTS)
    assert not control.is_running(state)


def test_a_daemon_that_crashes_is_told_with_its_last_words(state: Path) -> None:
    with pytest.raises(LaunchError, match=r"ended before it was ready[\s\S]*ValueError: oops"):
        control.start(state, command=command("raise ValueError('oops')"), **PORTS)


def test_a_daemon_that_hangs_is_given_up(state: Path) -> None:
    hanging = DAEMON.replace('got.report.progress("hello")', 'got.report.progress("hello"); signal.pause()')
    with pytest.raises(LaunchError, match="not ready within 1 seconds; the last it did: hello"):
        control.start(state, command=command(hanging), timeout=1, **PORTS)
    assert not control.is_running(state)


def test_two_starts_at_once_make_one_daemon(state: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from labcluster.launch import control
r = control.start(Path({str(state)!r}), command=[sys.executable, "-c", {DAEMON!r}],
                 node_ports=range(30500, 30503), dns_node_port=30599, api_port=0)
print(r.pid, r.already)
"""
    starters = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [s.communicate()[0].split() for s in starters]
    assert told[0][0] == told[1][0]
    assert {t[1] for t in told} == {"True", "False"}


def test_the_namespaces_that_are_needed_are_there() -> None:
    control.check_namespaces()


def test_a_refused_proc_mount_names_the_engines_option() -> None:
    assert "systempaths=unconfined" in namespaces_refused("mount /proc", 1, "Operation not permitted").remedy


def test_the_record_of_ports_is_read_back(tmp_path: Path) -> None:
    ports = host_ports.Ports(1, 2, {3: 4})
    (tmp_path / host_ports.RECORD).write_text(json.dumps(ports.to_json()))
    assert host_ports.read_ports(tmp_path) == ports
    (tmp_path / host_ports.RECORD).write_text("{")
    assert host_ports.read_ports(tmp_path) is None
