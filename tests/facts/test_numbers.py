"""Every fact has its test, and every test says which fact."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FACTS = range(1, 40)
HERE = Path(__file__).parent


def fact_tests() -> dict[str, str]:
    """The tests of the facts by name, with their docstrings."""
    found = {}
    for module in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_fact_"):
                assert node.name not in found, f"{node.name} is there twice"
                found[node.name] = ast.get_docstring(node) or ""
    return found


def test_every_number_has_a_test() -> None:
    tested = {int(name.split("_")[2]) for name in fact_tests()}
    assert tested == set(FACTS), f"without a test: {sorted(set(FACTS) - tested)}"


def test_every_test_says_what_holds_in_one_line() -> None:
    assert not [name for name, text in fact_tests().items() if not re.fullmatch(r"\S[^\n]*\.", text)]
