"""The one tool that stores the notebooks' outputs: `lab store 05`, or `python -m tools.store_outputs [05 ...]`.

It runs each notebook on the lab's cluster (`lab up` first) and writes what came out, in a form that does not
change without a reason: fixed kernelspec, no timings, no widget state, execution counts from 1. Outputs that
equal the stored ones after sanitizing, and those of cells tagged nbval-ignore-output whose source is as in the
last commit, stay as they are, so a second run gives the same file. A failing cell stores nothing, and neither does a
failing `!command` in one that is not tagged command-fails, or a learner's own word in front of a namespace. What a
figure draws is stored with it, except where that is different each time (tags figure-varies, nbval-ignore-output).
Outputs are stored folded: in JupyterLab a cell that runs shows its own, and ours only to who clicks on the three dots.
"""

from __future__ import annotations

import configparser
import copy
import json
import os
import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from tools.chapters import ROOT, NoSuchChapter, files

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
CELL_TIMEOUT = 180  # seconds
LEARNER = re.compile(r"\b[a-z][a-z0-9-]*-chapter-\d\d")  # a namespace on a shared cluster begins with a learner's word


def main(arguments: list[str]) -> int:
    """Store the outputs of the named notebooks, or of all; returns 0 when every cell ran."""
    os.environ["PYTHONHASHSEED"] = "0"
    try:
        chosen = files(arguments)
    except NoSuchChapter as error:
        print(error, file=sys.stderr)
        return 1
    failed = [file for file in chosen if not store(file)]
    return 1 if failed else 0


def store(file: Path) -> bool:
    """Run one notebook and write its outputs. Returns False, having written nothing, when a cell fails."""
    before = nbformat.read(file, as_version=4)
    after = copy.deepcopy(before)
    for cell in after.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        after, timeout=CELL_TIMEOUT, kernel_name="python3", resources={"metadata": {"path": str(file.parent)}}
    )
    client.on_cell_start = partial(let_commands_raise, client)
    started = time.monotonic()
    try:
        client.execute()
    except CellExecutionError as error:
        print(f"{file.name}: a cell failed, nothing is stored: {error.ename}: {error.evalue}", file=sys.stderr)
        return False
    tidy(after)
    changed = keep_equal(after, before, committed(file))
    if word := LEARNER.search(json.dumps([cell.get("outputs") for cell in after.cells])):
        print(f"{file.name}: nothing is stored: the outputs hold {word[0]}, of a shared cluster", file=sys.stderr)
        return False
    fold(after)
    nbformat.validate(after)
    text = nbformat.writes(after) + "\n"
    if text != file.read_text():
        file.write_text(text)
    print(f"{file.name}: {time.monotonic() - started:.1f} s, {changed} cells with new outputs")
    return True


def let_commands_raise(client: NotebookClient, cell: NotebookNode, cell_index: int) -> None:
    """Before a cell: have the kernel raise for a `!command` that fails, unless the cell's tag says that it has to."""
    wanted = "command-fails" not in cell.metadata.get("tags", [])
    client.kc.execute(f"get_ipython().system_raise_on_error = {wanted}", silent=True, store_history=False)


def tidy(notebook: NotebookNode) -> None:
    """Take out what differs from run to run or from machine to machine."""
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(KERNELSPEC), language_info=NotebookNode(name="python"))
    notebook.nbformat_minor = 5
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = merged(cell.outputs)
            for output in cell.outputs:
                if {"figure-varies", "nbval-ignore-output"} & set(cell.metadata.get("tags", [])):
                    output.get("metadata", {}).pop("drawn", None)


def fold(notebook: NotebookNode) -> None:
    """Fold the outputs: nobody should read an outcome before having predicted it."""
    for cell in notebook.cells:
        cell.metadata.pop("jupyter", None)
        if cell.get("outputs"):
            cell.metadata["jupyter"] = NotebookNode(outputs_hidden=True)


def merged(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Neighbouring pieces of one stream as one: how they were cut is chance."""
    result: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream" and result and result[-1].get("name") == output.name:
            result[-1].text += output.text
        else:
            result.append(output)
    return result


def keep_equal(after: NotebookNode, before: NotebookNode, head: dict[str, Any]) -> int:
    """Put the stored outputs back where the new ones say the same; returns how many cells changed."""
    rules = sanitizers()
    stored = {cell.id: cell for cell in before.cells}
    changed = 0
    for cell in after.cells:
        if cell.cell_type != "code":
            continue
        old = stored.get(cell.id)
        ignored = "nbval-ignore-output" in cell.metadata.get("tags", [])
        if old is not None and (
            sanitized(old.get("outputs", []), rules) == sanitized(cell.outputs, rules)
            or (ignored and old.get("outputs") and head.get(cell.id) == cell.source)
        ):
            cell.outputs = old.get("outputs", [])
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = cell.execution_count
            continue
        changed += 1
    return changed


def sanitizers() -> list[tuple[re.Pattern[str], str]]:
    """The rules of sanitize.cfg, which nbval uses too."""
    rules = configparser.RawConfigParser(delimiters=(":",))
    rules.read(ROOT / "tests" / "sanitize.cfg")
    return [(re.compile(rules[s]["regex"]), rules[s]["replace"]) for s in rules.sections()]


def sanitized(outputs: list[NotebookNode], rules: list[tuple[re.Pattern[str], str]]) -> str:
    """The outputs as one text to compare, execution counts left out."""
    plain = [{k: v for k, v in output.items() if k != "execution_count"} for output in outputs]
    text = json.dumps(plain, sort_keys=True)
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def committed(file: Path) -> dict[str, str]:
    """The sources by cell id in the last commit; empty for a new notebook."""
    if not file.resolve().is_relative_to(ROOT):
        return {}
    name = file.resolve().relative_to(ROOT)
    shown = subprocess.run(["git", "show", f"HEAD:{name}"], cwd=ROOT, capture_output=True, text=True)
    if shown.returncode != 0:
        return {}
    return {cell.id: cell.source for cell in nbformat.reads(shown.stdout, as_version=4).cells}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
