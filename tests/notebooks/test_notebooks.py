"""The notebooks as files: whole, tidy, readable, and in step with the exercises and manifests. Nothing is run here."""

from __future__ import annotations

import ast
import itertools
import math
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from labsupport import settings
from labsupport.chapter.checks import exercises

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
FILES = sorted(FOLDER.glob("*.ipynb"))
NAMES = [file.name for file in FILES]
MANIFESTS = sorted((FOLDER / "manifests").glob("*"))

IGNORED, VARIES, COMMAND_FAILS = "nbval-ignore-output", "figure-varies", "command-fails"
TAGS = {IGNORED, VARIES, COMMAND_FAILS, "raises-exception"}
MAGICS = {"apply"}
PROGRAMS = {"kubectl", "diff"}
MAGIC_CALL = re.compile(r"get_ipython\(\)\.(run_line_magic|run_cell_magic|system|getoutput)\('([^']*)'")
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
PRINTS = re.compile(r"^(?:print|lab\.(?:begin|end|get|facts|check|apply|manifest))\(|^!|^%%apply", re.MULTILINE)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
CHECK = re.compile(r"""lab\.check\("([\d.]+)", (?:answer|\w+\.\w+\(answer\))\)""")
CODE_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)

MEDIAN_LINES, MOST_LINES = 4, 12  # of a code cell; nine out of ten keep to the second
WIDEST = 105  # characters that a window 1300 pixels wide shows beside the list of files


@pytest.fixture(params=FILES, ids=NAMES)
def file(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def notebook(file: Path) -> NotebookNode:
    return nbformat.read(file, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def as_python(cell: NotebookNode) -> str:
    """The cell as IPython runs it: magics and !commands have become calls."""
    code: str = TransformerManager().transform_cell(cell.source)
    return code


def prose(notebook: NotebookNode) -> str:
    return "\n\n".join(CODE_FENCE.sub("", cell.source) for cell in notebook.cells if cell.cell_type == "markdown")


def tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def number(file: Path) -> str:
    return file.name[:2]


def test_there_are_notebooks_numbered_without_gaps_or_doubles() -> None:
    numbers = [number(file) for file in FILES]
    assert numbers and numbers == sorted(set(numbers))
    assert all(re.fullmatch(r"\d\d_[a-z][a-z0-9_]*\.ipynb", name) for name in NAMES), NAMES


def test_it_is_valid_and_has_the_fixed_metadata_and_nothing_else(notebook: NotebookNode) -> None:
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata == {"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "jupyter"}, f"{cell.id}: {dict(cell.metadata)}"


def test_stored_outputs_are_folded_so_that_nobody_reads_them_before_predicting(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        folded = cell.metadata.get("jupyter")
        assert folded == ({"outputs_hidden": True} if cell.get("outputs") else None), cell.id


def test_a_hint_stands_with_its_own_exercise(notebook: NotebookNode) -> None:
    for cell, after in itertools.pairwise(notebook.cells):
        if "<summary>A hint</summary>" in cell.source:
            assert cell.source.endswith("</details>") and "**Exercise" in cell.source, cell.id
            assert CHECK.search(after.source), f"{cell.id}: the next cell is not the exercise's own"


def test_cell_ids_are_unique_and_speak(notebook: NotebookNode) -> None:
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell_id in ids:
        assert re.fullmatch(r"[a-z][a-z0-9-]*", cell_id), cell_id
        assert not re.fullmatch(r"[0-9a-f]{8}(-.*)?", cell_id), f"{cell_id} is one that JupyterLab made up"


def test_nothing_is_stripped_and_the_execution_counts_have_no_gaps(notebook: NotebookNode) -> None:
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    silent = [cell.id for cell in cells if PRINTS.search(cell.source) and not cell.outputs]
    assert not silent, f"these cells print, but nothing is stored: {silent}"
    assert all(cell.source.strip() for cell in notebook.cells), "an empty cell"


def test_an_error_is_stored_only_where_the_cell_says_so(notebook: NotebookNode) -> None:
    for cell in code_cells(notebook):
        raised = any(output.output_type == "error" for output in cell.outputs)
        assert raised == ("raises-exception" in tags(cell)), cell.id


def test_no_output_warns_or_tells_where_it_was_made(notebook: NotebookNode) -> None:
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.get("name") != "stderr", f"{cell.id}: {output.get('text')}"
            assert str(ROOT) not in str(output) and str(Path.home()) + "/" not in str(output), cell.id
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {}), cell.id


def test_only_known_tags(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        assert tags(cell) <= TAGS, f"{cell.id}: {tags(cell) - TAGS}"
        assert not (cell.cell_type == "markdown" and tags(cell)), f"{cell.id}: tags on prose do nothing"


def test_only_known_magics_and_programs(notebook: NotebookNode) -> None:
    for cell in code_cells(notebook):
        calls = MAGIC_CALL.findall(as_python(cell))
        magics = {name for kind, name in calls if kind != "system"}
        assert magics <= MAGICS, f"{cell.id}: {magics - MAGICS}"
        programs = {command.split()[0] for kind, command in calls if kind == "system"}
        assert programs <= PROGRAMS, f"{cell.id}: {programs - PROGRAMS}"


def test_a_command_that_fails_cannot_hide_in_a_pipeline(notebook: NotebookNode) -> None:
    """A pipeline ends as its last program does, and grep fails where it finds nothing."""
    for cell in code_cells(notebook):
        for line in cell.source.splitlines():
            *before, last = line.split(" | ") if line.startswith("!") else [line]
            assert not before or last.split()[0] == "grep", f"{cell.id}: {line}"


def test_the_tag_of_a_failing_command_stands_where_there_is_a_command(notebook: NotebookNode) -> None:
    for cell in code_cells(notebook):
        assert COMMAND_FAILS not in tags(cell) or cell.source.splitlines()[-1].startswith("!"), cell.id


def test_no_stored_output_is_of_a_learner_on_a_shared_cluster(notebook: NotebookNode) -> None:
    """The sanitizer takes the learner's word from what a run says, so it must not be in what is stored."""
    for cell in code_cells(notebook):
        assert not (word := re.search(r"\b[a-z][a-z0-9-]*-chapter-\d\d", str(cell.outputs))), f"{cell.id}: {word}"


def test_what_a_figure_draws_is_stored_where_it_is_certain(notebook: NotebookNode) -> None:
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.get("data", {}).get("text/plain", "").startswith("figure: "):
                certain = not {IGNORED, VARIES} & tags(cell)
                assert bool(output.metadata.get("drawn")) == certain, f"{cell.id}: `lab store` stores it"


def test_what_kubectl_prints_is_compared_only_without_ages_and_names(notebook: NotebookNode) -> None:
    for cell in code_cells(notebook):
        tables = [line for line in cell.source.splitlines() if re.match(r"!kubectl (get|describe|logs|top)", line)]
        assert not tables or IGNORED in tags(cell), cell.id


def test_no_cell_ends_with_a_semicolon(notebook: NotebookNode) -> None:
    ends = [cell.id for cell in code_cells(notebook) if cell.source.rstrip().endswith(";")]
    assert not ends


def test_code_is_python_in_short_cells(notebook: NotebookNode, file: Path) -> None:
    lengths = []
    for cell in code_cells(notebook):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        lengths.append(len(lines))
        assert max(map(len, lines)) <= WIDEST, f"{cell.id}: a line of more than {WIDEST} characters"
        ast.parse(as_python(cell))
    median, longest = statistics.median(lengths), max(lengths)
    print(f"{file.name}: {len(lengths)} code cells, median {median:g} lines, longest {longest}")
    assert median <= MEDIAN_LINES
    assert sum(length > MOST_LINES for length in lengths) <= math.ceil(0.1 * len(lengths)), sorted(lengths)


def test_a_manifest_that_is_shown_fits_the_page(notebook: NotebookNode) -> None:
    for cell in code_cells(notebook):
        for output in cell.outputs:
            for line in output.get("data", {}).get("text/markdown", "").splitlines():
                breakable = len(line.split()) > 2  # a key and one long value have to stand as they are
                assert len(line) <= WIDEST or not breakable, f"{cell.id}: {line}"


def test_one_title_at_the_top(notebook: NotebookNode, file: Path) -> None:
    titles = re.findall(r"^# .*", prose(notebook), re.MULTILINE)
    assert len(titles) == 1 and notebook.cells[0].source.startswith(f"# {number(file)} · "), titles


class _Images(HTMLParser):
    """The attributes of each <img> of a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.found.append(dict(attrs))


def test_every_figure_has_an_alt_text(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            assert not any(kind.startswith("image/") for kind in data), f"{cell.id}: a picture without alt text"
            for image in _Images(data.get("text/html", "")).found:
                assert len(image.get("alt") or "") > 20, cell.id
        if cell.cell_type == "markdown":
            assert all(text for mark, text, _ in LINK.findall(cell.source) if mark), cell.id
            assert all(image.get("alt") for image in _Images(cell.source).found), cell.id


def test_it_begins_clean_and_cleans_up(notebook: NotebookNode, file: Path) -> None:
    first, *_, last = code_cells(notebook)
    assert first.source.split() == ["import", "labsupport", "as", "lab", f'lab.begin("{number(file)}")']
    assert last.source.splitlines()[-1] == "lab.end()"


def test_its_exercises_are_those_of_the_table_and_untouched(notebook: NotebookNode, file: Path) -> None:
    chapter = str(int(number(file)))
    asked = [match for cell in code_cells(notebook) for match in CHECK.findall(cell.source)]
    assert asked == [n for n in exercises() if n.partition(".")[0] == chapter]
    assert 2 <= len(asked) <= 4
    for cell in code_cells(notebook):
        if found := CHECK.findall(cell.source):
            assert cell.source.startswith("answer = ...\n"), cell.id
            assert [output.text.split()[:2] for output in cell.outputs] == [[found[0], "TODO:"]], cell.id
    text = prose(notebook)
    assert all(f"**Exercise {n}**" in text for n in asked), "an exercise without its question in the prose"
    assert text.count("<details>") == text.count("</details>")


def test_every_exercise_belongs_to_a_notebook() -> None:
    chapters = {str(int(number(file))) for file in FILES}
    assert {n.partition(".")[0] for n in exercises()} <= chapters


def test_every_manifest_is_used_and_every_used_one_is_there() -> None:
    for manifest in MANIFESTS:
        users = [file for file in FILES if number(file) == manifest.name[:2]]
        assert users, f"{manifest.name} belongs to no notebook"
        source = "\n".join(cell.source for cell in code_cells(nbformat.read(users[0], as_version=4)))
        assert f"manifests/{manifest.name}" in source, f"{manifest.name} is not used by {users[0].name}"
    for file in FILES:
        used = set(re.findall(r"manifests/([\w.-]+)", file.read_text()))
        assert used <= {manifest.name for manifest in MANIFESTS}, file.name


def test_each_chapter_has_node_ports_of_its_own() -> None:
    users: dict[int, set[str]] = {}
    for manifest in MANIFESTS:
        for document in yaml.safe_load_all(manifest.read_text()):
            for port in ((document or {}).get("spec") or {}).get("ports") or ():
                if "nodePort" in port:
                    users.setdefault(port["nodePort"], set()).add(manifest.name[:2])
    assert all(port in settings.NODE_PORTS for port in users), sorted(users)
    assert all(len(chapters) == 1 for chapters in users.values()), users
