"""What `import labsupport as lab` offers: one table, loaded name by name, which a type checker reads too."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import jedi
import pytest
from IPython.core.inputtransformer2 import TransformerManager

import labsupport as lab
from labsupport import paths

NOTEBOOKS = sorted((paths.course_root() / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("name", lab.__all__)
def test_every_name_is_what_its_room_has_under_that_name(name: str) -> None:
    value = getattr(lab, name)
    assert value is getattr(importlib.import_module(lab._MODULE_OF[name]), name)
    assert value.__module__ == lab._MODULE_OF[name] and value.__doc__


def test_completion_shows_the_table() -> None:
    assert dir(lab) == lab.__all__ == sorted(lab.__all__)
    assert {"wait", "Recording", "LabError"} <= set(lab.__all__)


def test_a_name_that_is_not_there_is_said_with_those_that_are() -> None:
    with pytest.raises(AttributeError, match=r"labsupport has no 'weit'; it has .*, wait, "):
        _ = lab.weit


def test_nothing_is_loaded_before_it_is_used() -> None:
    code = "import sys, labsupport; print(sorted({m.partition('.')[0] for m in sys.modules} & {'kubernetes', 'dns'}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_an_editor_knows_the_names_without_running_anything() -> None:
    script = jedi.Script("import labsupport as lab\nlab.wa\nlab.wait(", project=jedi.Project(paths.course_root()))
    assert [each.name for each in script.complete(2, 6)] == ["wait", "wait_for_name", "WaitFailed"]
    (signature,) = script.get_signatures(3, 9)
    assert [parameter.name for parameter in signature.params] == ["reference", "state", "timeout", "quiet"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_the_notebooks_use_only_what_is_there(file: Path) -> None:
    cells = [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]
    python = TransformerManager().transform_cell  # magics and `!` become calls
    nodes = [node for cell in cells for node in ast.walk(ast.parse(python("".join(cell["source"]))))]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    used = {node.attr for node in attributes if node.value.id == "lab"}  # type: ignore[attr-defined]
    assert used and used <= set(lab.__all__), used - set(lab.__all__)
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("labsupport."):
            module = importlib.import_module(str(node.module))
            for entry in node.names:  # a name of the module, or a module of the room
                assert hasattr(module, entry.name) or importlib.import_module(f"{node.module}.{entry.name}")
