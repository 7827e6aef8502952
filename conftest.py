"""Makes `pytest --nbval` trustworthy: what nbval 0.11 lets pass by accident fails here, and nothing hangs.

- A cell whose request ends with an error fails, also when the error is only printed, as for an unknown magic.
- A `!command` that fails fails its cell, also where the output is ignored. The tag `command-fails` says that it must.
- A cell tagged raises-exception fails when nothing is raised, and one that asks the kernel to exit fails.
- A cell without stored outputs (a stripped notebook) fails instead of being compared with nothing.
- A figure is compared by what it draws, where the stored output says that (labsupport/figures/drawn.py).
- A dead kernel fails its cell at once; after a cell that ran out of time the notebook's other cells are skipped.
- What a subprocess writes to the inherited stdout is seen, and cells run with a history, as in JupyterLab.
- A sanitize file of which a rule would be ignored stops the run.

Cells are named by their id and as JupyterLab counts them, `drain [7]`; a failure says in words what was expected and
what was found. Without options `pytest --nbval` takes this environment's kernel, CELL_TIMEOUT and tests/sanitize.cfg.

tests/notebooks/test_nbval_traps.py has a notebook for each trap.
"""

from __future__ import annotations

import configparser
import os
import re
import signal
import threading
import time
from collections.abc import Generator, Iterator
from itertools import zip_longest
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

try:
    from nbval import plugin as nbval
    from nbval.kernel import RunningKernel
    from nbval.plugin import IPyNbCell, IPyNbFile
except ImportError:  # not installed: nothing to guard
    nbval = None
    RunningKernel = object
    IPyNbCell, IPyNbFile = pytest.Item, pytest.File

CELL_TIMEOUT = 180.0  # seconds that a cell may take
SANITIZERS = Path(__file__).resolve().parent / "tests" / "sanitize.cfg"
COMMAND_FAILS = "command-fails"  # tag of a cell in which a `!command` has to fail

_PULSE = 1.0  # seconds between two looks at whether the kernel lives
_UNDER_PYTEST = "PYTEST_CURRENT_TEST"  # where it is set, ipykernel leaves the output of subprocesses uncaught
_MOST_LINES = 40  # of an output that a failure shows in full
_DIFFER = "Cell outputs differ"  # nbval's words
_COLOUR_CODE = re.compile(r"\x1b\[[0-9;]*m")
# Evaluated by the kernel behind each cell: how its last `!command` ended.
_EXIT_CODE = {"exit code": "get_ipython().user_ns.pop('_exit_code', 0)"}


class KernelDied(Exception):
    """The kernel's process has ended while a cell ran."""


class WatchedKernel(RunningKernel):  # type: ignore[misc,valid-type]
    """nbval's kernel, with a history, an eye on its process, and the reply to the last cell kept."""

    reply: dict[str, Any]
    _commands_raise = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        hidden = os.environ.pop(_UNDER_PYTEST, None)
        self.reply = {}
        try:
            super().__init__(*args, **kwargs)
        finally:
            if hidden is not None:
                os.environ[_UNDER_PYTEST] = hidden

    def let_commands_raise(self, wanted: bool) -> None:
        """Have IPython raise CalledProcessError for a `!command` that fails, or go on, which is its default."""
        if wanted != self._commands_raise:
            self._commands_raise = wanted
            sent = self.kc.execute(f"get_ipython().system_raise_on_error = {wanted}", silent=True, store_history=False)
            self.await_reply(sent, timeout=CELL_TIMEOUT)

    def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> str:
        """Run a cell as JupyterLab does; returns the request's id."""
        self.reply = {}
        sent: str = self.kc.execute(
            cell_input, store_history=True, user_expressions=_EXIT_CODE, allow_stdin=allow_stdin, stop_on_error=False
        )
        return sent

    def await_reply(self, msg_id: str, timeout: float | None = None) -> None:
        """Wait for the reply, `timeout` seconds in all. Raises queue.Empty when time is up, KernelDied."""
        deadline = time.monotonic() + timeout if timeout is not None else None
        while True:
            left = _PULSE if deadline is None else min(_PULSE, deadline - time.monotonic())
            if left <= 0:
                raise Empty
            try:
                message = self.get_message(stream="shell", timeout=left)
            except Empty:
                if not self.is_alive():
                    raise KernelDied("the kernel died while this cell ran") from None
                continue
            if message["parent_header"].get("msg_id") == msg_id:
                self.reply = message["content"]
                return


class WatchedNotebook(IPyNbFile):  # type: ignore[misc,valid-type]
    """nbval's notebook, with cells that are named as a reader finds them: by id, and as JupyterLab counts them."""

    def collect(self) -> Iterator[WatchedCell]:
        """The code cells."""
        for item in super().collect():
            name = f"{item.cell.get('id', 'cell')} [{item.cell_num + 1}]"
            yield WatchedCell.from_parent(self, name=name, cell_num=item.cell_num, cell=item.cell, options=item.options)


class WatchedCell(IPyNbCell):  # type: ignore[misc,valid-type]
    """nbval's cell, with a verdict on how it ended, told in words."""

    expected: list[str]
    found: list[str]

    def setup(self) -> None:
        """Fail for a cell that was stored without having run; skip those behind a cell that never ended."""
        if self.parent.timed_out:
            pytest.skip("a cell before this one ran out of time")
        if self.cell.execution_count is None and self.cell.source.strip():
            pytest.fail(f"nothing is stored for this cell: `lab store {self.path.name[:2]}` stores it", False)

    def runtest(self) -> None:
        """Let nbval run and compare the cell, then look at how the kernel said that it ended."""
        kernel = self.parent.kernel
        has_to_fail = COMMAND_FAILS in self.cell.metadata.get("tags", ())
        if not self.options["skip"] and kernel.is_alive():
            kernel.let_commands_raise(not has_to_fail)
        super().runtest()
        reply, may_raise = kernel.reply, self.options["check_exception"]
        failed = reply.get("status") == "error"
        if failed and not may_raise:
            self.raise_cell_error(f"the cell ended with {reply.get('ename')}: {reply.get('evalue')}")
        if may_raise and not failed:
            self.raise_cell_error("the cell is tagged raises-exception, but nothing was raised")
        if has_to_fail and _exit_code(reply) == 0:
            self.raise_cell_error(f"the cell is tagged {COMMAND_FAILS}, but its last command succeeded")
        if any(payload.get("source") == "ask_exit" for payload in reply.get("payload", ())):
            self.raise_cell_error("the cell ends the kernel, so no other can be run after it")

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the cell is and how it is named, for the report's headings."""
        return self.path, 0, f"{self.path.name} {self.name}"

    def compare_outputs(self, test: list[Any], ref: list[Any], skip_compare: Any = None) -> bool:
        """Whether the outputs equal the stored ones, and the figures, where it is stored, draw the same."""
        equal: bool = super().compare_outputs(test, ref, skip_compare)
        stored, drawn = _drawn(ref), _drawn(test)
        self.expected, self.found = self._lines(ref), self._lines(test)
        if equal and stored and stored != drawn:
            self.expected, self.found, equal = stored, drawn, False
        return equal

    def _lines(self, outputs: list[Any]) -> list[str]:
        """What the outputs say, line by line, after sanitizing."""
        lines = []
        for output in outputs:
            texts = dict(output.get("data", {}))
            if output.output_type == "stream":
                texts = {output.name: output.text}
            elif output.output_type == "error":
                texts = {"error": f"{output.ename}: {output.evalue}"}
            for kind, text in sorted(texts.items()):
                if kind not in self.parent.skip_compare:
                    said = str(self.sanitize(text)).split("\n")
                    lines += said if kind in ("stdout", "text/plain") else [f"({kind}) {line}" for line in said]
        return lines

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:  # type: ignore[override]
        """The failure in words: which cell, what was expected, what was found. No colour codes."""
        error = excinfo.value
        told = [f"{self.path.name}, cell {self.name}: {error}"]
        if isinstance(error, nbval.NbCellError) and str(error) == _DIFFER:
            told += _difference(self.expected, self.found)
        elif isinstance(error, nbval.NbCellError):
            told += ["the cell:", *_indented(error.source.splitlines())]
            told += _indented((error.inner_traceback or "").splitlines())
        return _COLOUR_CODE.sub("", "\n".join(told))


def _exit_code(reply: dict[str, Any]) -> int:
    """How the cell's last `!command` ended; 0 where it had none, or did not get as far."""
    told = reply.get("user_expressions", {}).get("exit code", {}).get("data", {}).get("text/plain", "0")
    return int(told) if told.lstrip("-").isdigit() else 0


def _drawn(outputs: list[Any]) -> list[str]:
    """What the figures among the outputs draw, as far as that is told."""
    return [line for output in outputs for line in output.get("metadata", {}).get("drawn", ())]


def _difference(expected: list[str], found: list[str]) -> list[str]:
    """Both in full, or, of long ones, the lines from shortly before the first difference on."""
    first = next((n for n, (a, b) in enumerate(zip_longest(expected, found)) if a != b), 0)
    begin = 0 if max(len(expected), len(found)) <= _MOST_LINES else max(0, first - 3)
    told = []
    for title, lines in (("expected, as it is stored", expected), ("found now", found)):
        shown = lines[begin : begin + _MOST_LINES]
        told.append(f"{title}{f', from line {begin + 1} on' if begin else ''}:")
        told += _indented(shown) if shown else ["    (nothing)"]
    sides = [repr(lines[first]) if first < len(lines) else "nothing more" for lines in (expected, found)]
    return [*told, f"The first difference is in line {first + 1}: expected {sides[0]}, found {sides[1]}."]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}".rstrip() for line in lines]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put the watched kernel in nbval's place, with the course's options where none are given.

    And let SIGTERM end a run as Ctrl-C does, so that labs and kernels are taken down. (A shell has its background jobs
    ignore Ctrl-C, and their children inherit that.)
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if nbval is None or not config.getoption("nbval", False):
        return
    nbval.RunningKernel = WatchedKernel
    os.environ["PYTHONHASHSEED"] = "0"  # of the kernels: the order in which a set is printed
    option = config.option
    if option.nbval_kernel_name is None:
        option.nbval_current_env = True
    if option.nbval_cell_timeout == 2000:  # nbval's default
        option.nbval_cell_timeout = CELL_TIMEOUT
    if option.nbval_sanitize_with is None and SANITIZERS.exists():
        option.nbval_sanitize_with = str(SANITIZERS)
    if option.nbval_sanitize_with:
        _check_sanitizers(Path(option.nbval_sanitize_with).read_text(), option.nbval_sanitize_with)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(parent: pytest.Collector) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Put the watched notebook in the place of each that nbval collects."""
    collected = yield
    watch = nbval is not None and parent.config.getoption("nbval", False)
    return [
        WatchedNotebook.from_parent(parent, path=file.path) if watch and isinstance(file, IPyNbFile) else file
        for file in collected
    ]


def _check_sanitizers(text: str, file: str) -> None:
    rules = configparser.RawConfigParser(delimiters=(":",))
    rules.read_string(text)
    wanted = {rules[s].get("regex"): rules[s].get("replace") for s in rules.sections()}
    if dict(nbval.get_sanitize_patterns(text)) != wanted:
        raise pytest.UsageError(
            f"{file}: nbval reads {len(nbval.get_sanitize_patterns(text))} of its {len(rules.sections())} rules. Each "
            "needs a line `regex: ...` and right below it a line `replace: ...`, with the space after the colon."
        )
