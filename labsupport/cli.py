"""The command `lab`: start, stop and examine the lab's cluster, and open the notebooks."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from labsupport import paths
from labsupport.backends import choice
from labsupport.backends.contract import CommandError

# JupyterLab's settings for the course: no questions about news and updates, which a workshop may not be able to reach.
_SETTINGS = Path(__file__).with_name("jupyter")
# What the file browser does not list: the exercises with their answers, and what Jupyter hides by itself.
_HIDDEN = ("exercises", "__pycache__", "*.pyc", "*.pyo", ".DS_Store", "*~")
_MARKS = {"ok": "ok  ", "note": "note", "fail": "FAIL"}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 refused with a reason, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        _require_checkout()
        code = int(options.run(options))
        sys.stdout.flush()
        return code
    except CommandError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `lab status | head`: nobody reads the rest
        _speak_to_nobody()
        return 1
    except KeyboardInterrupt:
        print("\nlab: stopped. Type the same command again: it goes on from here.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="The course's cluster.")
    parser.add_argument(
        "--cluster",
        default=os.environ.get("CLUSTER") or "auto",
        help=f"one of {', '.join(choice.CHOICES)} (default: $CLUSTER, else auto)",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, run, text in (
        ("up", _up, "start the cluster, or find it running"),
        ("open", _open, "open JupyterLab on the first notebook"),
        ("status", _status, "say what is running"),
        ("reset", _reset, "make the cluster as new"),
        ("down", _down, "remove the cluster without a trace"),
        ("preload", _preload, "load the course's images into the cluster, also for a time without network"),
        ("doctor", _doctor, "say whether this machine can run it, and what to mend"),
        ("dns-check", _dns_check, "hold the cluster's DNS to its specification, line by line"),
        ("kubeconfig", _kubeconfig, "print the path of the lab's kubeconfig"),
        ("test", _test, "run chapters as tests: each cell must say what is stored"),
        ("store", _store, "run chapters that were changed, and store what their cells say"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        if name == "status":
            command.add_argument("--json", action="store_true", help="as JSON, for programs")
        if name == "open":
            command.add_argument("notebook", nargs="?", default="00_start_here.ipynb", help="a file of notebooks/")
            command.add_argument("--no-browser", action="store_true", help="only print the address")
        if name in ("test", "store"):
            command.add_argument("chapter", nargs="*", help="a number, as in 05, or a notebook; without one, all")
        if name == "test":
            command.add_argument("--report", metavar="DIR", help="write DIR/notebooks.xml (JUnit) and DIR/index.html")
    return parser


def _require_checkout() -> None:
    """Raise CommandError where the package is installed without the course: what a wheel holds is only a part."""
    if not (paths.course_root() / "notebooks").is_dir():
        raise CommandError(
            f"this needs a checkout of the course, and {paths.course_root()} is none: it has no notebooks. "
            "Clone the repository, and type `make lab` there."
        )


def _speak_to_nobody() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _progress(text: str) -> None:
    """Tell how far it is. `lab up | head -1` starts the cluster all the same."""
    try:
        print(f"  {text}", flush=True)
    except BrokenPipeError:
        _speak_to_nobody()


def _up(options: argparse.Namespace) -> int:
    backend = choice.choose(options.cluster, _progress)
    started = time.monotonic()
    done = backend.up(_progress)
    print(f"{done} ({time.monotonic() - started:.1f} s)")
    print(f"Next: `lab open` for the notebooks, or `export KUBECONFIG={paths.kubeconfig_path()}` for kubectl.")
    return 0


def _down(options: argparse.Namespace) -> int:
    print(choice.choose(options.cluster).down(_progress))
    print("Next: `make lab` starts a new one.")
    return 0


def _reset(options: argparse.Namespace) -> int:
    print(choice.choose(options.cluster).reset(_progress))
    print("Next: run a notebook from its first cell.")
    return 0


def _preload(options: argparse.Namespace) -> int:
    print(choice.choose(options.cluster).preload(_progress))
    print("Next: `lab open` for the notebooks.")
    return 0


def _status(options: argparse.Namespace) -> int:
    status = choice.choose(options.cluster).status()
    if options.json:
        print(json.dumps({"cluster": status.cluster, "running": status.running, **status.details}, indent=2))
        return 0
    print(f"cluster     {status.cluster}, {'running' if status.running else 'not running'}")
    for key, value in status.details.items():
        print(f"{key:11} {_compact(value) if isinstance(value, dict) else value}")
    print("Next: " + ("`lab open` for the notebooks." if status.running else "`lab up` starts it."))
    return 0


def _compact(ports: dict[str, int]) -> str:
    """Ports that follow one another, and lead to ports that do, as one range: `30000-30029 -> 30100-30129`."""
    runs: list[tuple[list[int], int]] = []  # NodePorts, and how far away the ports are that lead to them
    for node_port, port in sorted((int(k), v) for k, v in ports.items()):
        if runs and runs[-1][0][-1] == node_port - 1 and runs[-1][1] == port - node_port:
            runs[-1][0].append(node_port)
        else:
            runs.append(([node_port], port - node_port))
    return ", ".join(f"{_range(run)} -> {_range(run, by)}" if by else _range(run) for run, by in runs)


def _range(run: list[int], by: int = 0) -> str:
    return f"{run[0] + by}-{run[-1] + by}" if len(run) > 1 else str(run[0] + by)


def _doctor(options: argparse.Namespace) -> int:
    backend = choice.choose(options.cluster)
    findings = backend.doctor()
    for finding in findings:
        print(f"{_MARKS[finding.level]}  {finding.subject}: {finding.detail}")
        if finding.remedy:
            print(f"      -> {finding.remedy}")
    failed = sum(f.level == "fail" for f in findings)
    if failed:
        print(f"{failed} to mend.")
    else:
        print(f"Nothing to mend. Next: `{'lab open' if backend.status().running else 'lab up'}`.")
    return 1 if failed else 0


def _kubeconfig(options: argparse.Namespace) -> int:
    path = paths.kubeconfig_path()
    if not path.exists():
        raise CommandError("there is no kubeconfig yet. `lab up` starts the cluster and writes it.")
    print(path)
    return 0


def _dns_check(options: argparse.Namespace) -> int:
    """Ask every question of the specification in a namespace that is made for it; 1 when an answer is wrong."""
    from labsupport.chapter import namespace
    from labsupport.cluster import scope, tables, verbs, waiting  # here: the client takes its time to load
    from labsupport.domain_names import specification
    from labsupport.errors import LabError

    try:
        namespace.begin("dns-check")
        try:
            verbs.apply(paths.course_root() / "notebooks" / "manifests" / "07_services.yaml")
            waiting.wait("statefulset/db", "Ready")
            rows = specification.check(scope.namespace())
        finally:
            namespace.end()
    except LabError as error:
        raise CommandError(str(error)) from error
    tables.facts(
        "result | section | the specification says | question | type | answer",
        [("pass" if r.ok else "FAIL", r.section, r.line, r.name, r.type, ", ".join(r.found)) for r in rows],
    )
    failed = sum(not row.ok for row in rows)
    print(f"{len(rows) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _test(options: argparse.Namespace) -> int:
    report = [f"--report={Path(options.report).absolute()}"] if options.report else []
    return _become("tools.run_chapters", [*report, *_chapters(options)], options.cluster)


def _store(options: argparse.Namespace) -> int:
    return _become("tools.store_outputs", _chapters(options), options.cluster)


def _chapters(options: argparse.Namespace) -> list[str]:
    """What was named, files by their full paths: the tools run in another directory."""
    return [str(Path(word).absolute()) if word.endswith(".ipynb") else word for word in options.chapter]


def _become(tool: str, words: list[str], cluster: str) -> int:
    """Become one of the checkout's tools for developers, so that Ctrl-C and its exit code are its own."""
    os.chdir(paths.course_root())
    os.execve(sys.executable, [sys.executable, "-m", tool, *words], {**os.environ, "CLUSTER": cluster})


def _open(options: argparse.Namespace) -> int:
    """Become JupyterLab, on loopback and with its token; Ctrl-C ends it and leaves the cluster running."""
    notebook = paths.course_root() / "notebooks" / options.notebook
    if not notebook.exists():
        known = ", ".join(sorted(p.name for p in notebook.parent.glob("*.ipynb")))
        raise CommandError(f"there is no notebook {options.notebook}. There are: {known}.")
    environment = dict(os.environ)
    environment["KUBECONFIG"] = str(paths.kubeconfig_path())
    environment["KUBECACHEDIR"] = str(paths.kubectl_cache())
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", f"--notebook-dir={notebook.parent}"]
    command.append(f"--LabApp.default_url=/lab/tree/{notebook.name}")  # so that the printed address leads there too
    command.append(f"--LabApp.app_settings_dir={_SETTINGS}")
    tornado = json.dumps({"static_custom_path": [str(_SETTINGS / "custom")]})  # Jupyter has no option for it
    command += ["--LabApp.custom_css=True", f"--ServerApp.tornado_settings={tornado}"]
    command += [f"--ContentsManager.hide_globs={name}" for name in _HIDDEN]
    if os.geteuid() == 0:
        command.append("--allow-root")  # Jupyter warns of it by refusing; here it listens on loopback, with a token
    if options.no_browser or not _has_browser():
        command.append("--no-browser")
    print("Opening JupyterLab. Ctrl-C here, twice, ends it; the cluster stays until `make down`.", flush=True)
    os.chdir(paths.course_root() / "notebooks")
    os.execve(sys.executable, command, environment)


def _has_browser() -> bool:
    """Whether a browser could open: none over ssh or in a container without a display."""
    import webbrowser

    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    sys.exit(main())
