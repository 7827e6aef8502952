"""Makes `pytest --nbval` trustworthy: what nbval 0.11 lets pass by accident fails here, and nothing hangs.

- A cell whose request ends with an error fails, also when the error is only printed, as for an unknown magic.
- A cell tagged raises-exception fails when nothing is raised.
- A cell without stored outputs (a stripped notebook) fails instead of being compared with nothing.
- A dead kernel fails its cell at once; after a cell that ran out of time the notebook's other cells are skipped.
- What a subprocess writes to the inherited stdout is seen, and cells run with a history, as in JupyterLab.
- A sanitize file of which a rule would be ignored stops the run.

tests/notebooks/test_nbval_traps.py has a notebook for each trap.
"""

from __future__ import annotations

import configparser
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

try:
    from nbval import plugin as nbval
    from nbval.kernel import RunningKernel
except ImportError:  # not installed: nothing to guard
    nbval = None
    RunningKernel = object

_PULSE = 1.0  # seconds between two looks at whether the kernel lives
_UNDER_PYTEST = "PYTEST_CURRENT_TEST"  # where it is set, ipykernel leaves the output of subprocesses uncaught


class KernelDied(Exception):
    """The kernel's process has ended while a cell ran."""


class WatchedKernel(RunningKernel):  # type: ignore[misc,valid-type]
    """nbval's kernel, with a history, an eye on its process, and the reply to the last cell kept."""

    reply: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        hidden = os.environ.pop(_UNDER_PYTEST, None)
        self.reply = {}
        try:
            super().__init__(*args, **kwargs)
        finally:
            if hidden is not None:
                os.environ[_UNDER_PYTEST] = hidden

    def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> str:
        """Run a cell as JupyterLab does; returns the request's id."""
        self.reply = {}
        sent: str = self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)
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


def pytest_configure(config: pytest.Config) -> None:
    """Put the watched kernel in nbval's place, and read the sanitize file once, to know that all of it counts.

    And let SIGTERM end a run as Ctrl-C does, so that labs and kernels are taken down. (A shell has its background jobs
    ignore Ctrl-C, and their children inherit that.)
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if nbval is None or not config.getoption("nbval", False):
        return
    nbval.RunningKernel = WatchedKernel
    file = config.getoption("nbval_sanitize_with")
    if file:
        _check_sanitizers(Path(file).read_text(), file)


def _check_sanitizers(text: str, file: str) -> None:
    rules = configparser.RawConfigParser(delimiters=(":",))
    rules.read_string(text)
    wanted = {rules[s].get("regex"): rules[s].get("replace") for s in rules.sections()}
    if dict(nbval.get_sanitize_patterns(text)) != wanted:
        raise pytest.UsageError(
            f"{file}: nbval reads {len(nbval.get_sanitize_patterns(text))} of its {len(rules.sections())} rules. Each "
            "needs a line `regex: ...` and right below it a line `replace: ...`, with the space after the colon."
        )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail for a cell that was stored without having run; skip those behind a cell that never ended."""
    if nbval is None or not isinstance(item, nbval.IPyNbCell):
        return
    if item.parent.timed_out:
        pytest.skip("a cell before this one ran out of time")
    if item.cell.execution_count is None and item.cell.source.strip():
        pytest.fail("nothing is stored for this cell: run `python tools/store_outputs.py` for the notebook", False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Let nbval run and compare the cell, then look at how the kernel said that it ended."""
    yield
    if nbval is None or not isinstance(item, nbval.IPyNbCell) or item.options["skip"]:
        return
    reply, may_raise = item.parent.kernel.reply, item.options["check_exception"]
    failed = reply.get("status") == "error"
    if failed and not may_raise:
        pytest.fail(f"the cell ended with {reply.get('ename')}: {reply.get('evalue')}", False)
    if may_raise and not failed:
        pytest.fail("the cell is tagged raises-exception, but nothing was raised", False)
