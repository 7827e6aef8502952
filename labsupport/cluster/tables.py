"""Tables as kubectl prints them, made by the server; and plain ones for facts that a cell compares."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from labsupport import errors
from labsupport.cluster import api, scope

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def get(word: str, columns: str = "", *, selector: str = "", wide: bool = False) -> None:
    """Print the chapter's objects of a kind in the server's own table, as `kubectl get` does.

    `columns` picks some by name, for a cell whose output must be the same on every run.

    >>> get("pods", "NAME READY STATUS")
    NAME    READY   STATUS
    web-0   1/1     Running
    """
    resource = api.resource(word)
    path = resource.path(namespace=scope.of(resource))
    query = {"labelSelector": selector} if selector else {}
    with errors.readable():
        reply = json.loads(api.raw_get(api.api_client(), path, query, accept=_TABLE).data)
    definitions: list[dict[str, Any]] = reply["columnDefinitions"]
    wanted = columns.split()
    chosen = [
        index
        for index, column in enumerate(definitions)
        if (_heading(column) in wanted if wanted else wide or not column.get("priority"))
    ]
    rows = [[_cell(row["cells"][i]) for i in chosen] for row in reply.get("rows") or ()]
    if not rows:
        print(f"No resources found in {scope.namespace()} namespace." if resource.namespaced else "No resources found")
        return
    print(render([_heading(definitions[i]) for i in chosen], rows))


def facts(headings: str, rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings (words separated by two spaces or more, or by |), in kubectl's style.

    >>> facts("pod | same name", [("web-0", True)])
    POD     SAME NAME
    web-0   yes
    """
    titles = [h.strip().upper() for h in headings.split("|")]
    print(render(titles, [[_cell(value) for value in row] for row in rows]))


def render(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table in columns, three spaces apart, without trailing spaces."""
    table = [list(headings), *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(headings))]
    return "\n".join("   ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table)


def _heading(column: dict[str, Any]) -> str:
    return str(column["name"]).upper().replace(" ", "-")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "<none>" if value is None or value == "" else str(value)
