"""One HTML page of how the cells of notebooks ended: a table for each chapter, with the text of each failure."""

from __future__ import annotations

from html import escape
from string import Template

from tools.cell_results import CellResult, by_notebook, summary

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>The chapters, tested</title>
<style>
body { font: 1rem/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .1rem .6rem; border-bottom: 1px solid #ddd; }
td.seconds { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.failed td { background: #fdecea; }
tr.skipped td { color: #666; }
pre { margin: .3rem 0; overflow-x: auto; white-space: pre-wrap; }
</style>
</head>
<body>
<h1>The chapters, tested</h1>
<p>$summary</p>
$chapters
</body>
</html>
""")
_CHAPTER = Template("""<section>
<h2>$notebook</h2>
<p>$summary</p>
<table>
<tr><th scope="col">cell</th><th scope="col">state</th><th scope="col">seconds</th></tr>
$rows
</table>
</section>
""")


def page(results: list[CellResult]) -> str:
    """The page, in HTML."""
    chapters = [
        _CHAPTER.substitute(
            notebook=escape(notebook), summary=escape(summary(cells)), rows="\n".join(_row(cell) for cell in cells)
        )
        for notebook, cells in by_notebook(results).items()
    ]
    return _PAGE.substitute(summary=escape(summary(results)), chapters="\n".join(chapters))


def _row(cell: CellResult) -> str:
    told = f"<pre>{escape(cell.text)}</pre>" if cell.text else ""
    return (
        f'<tr class="{cell.state}"><td>{escape(cell.name)}{told}</td><td>{cell.state}</td>'
        f'<td class="seconds">{cell.seconds:.2f}</td></tr>'
    )
