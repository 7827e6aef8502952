"""The forms an object or list is shown in: as it is, as a Table, or as its metadata only.

Upstream: apiserver pkg/endpoints/handlers/response.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from labcluster.api.errors import bad_request
from labcluster.api.objects import JSON
from labcluster.http.messages import negotiation
from labcluster.http.messages.negotiation import Form
from labcluster.kinds.kind import Kind

_NOT_IN_ITEMS = ("apiVersion", "kind")


def include_object_of(value: str | None) -> str:
    """What a Table's rows carry beside their cells: None, Metadata (the default) or Object."""
    include = value or "Metadata"
    if include not in ("None", "Metadata", "Object"):
        raise bad_request(f'unrecognized includeObject value: "{include}"')
    return include


def show(obj: JSON, kind: Kind, form: Form, include: str) -> JSON:
    """One object in the negotiated form."""
    if form.shown_as == negotiation.TABLE:
        return table([obj], kind, {"resourceVersion": obj["metadata"].get("resourceVersion", "")}, form, include)
    if form.shown_as == negotiation.PARTIAL:
        return partial(obj, form)
    return obj


def show_list(items: list[JSON], kind: Kind, metadata: JSON, form: Form, include: str) -> JSON:
    """A list in the negotiated form. `metadata` is the ListMeta."""
    if form.shown_as == negotiation.TABLE:
        return table(items, kind, metadata, form, include)
    if form.shown_as == negotiation.PARTIAL_LIST:
        return {
            "kind": negotiation.PARTIAL_LIST,
            "apiVersion": f"meta.k8s.io/{form.version}",
            "metadata": metadata,
            "items": [partial(item, form) for item in items],
        }
    resource = kind.resource
    return {
        "kind": resource.list_kind,
        "apiVersion": resource.api_version,
        "metadata": metadata,
        # As upstream writes typed lists: the items' kind is the list's. Untyped objects carry their own.
        "items": items
        if resource.custom
        else [{k: v for k, v in item.items() if k not in _NOT_IN_ITEMS} for item in items],
    }


def partial(obj: JSON, form: Form) -> JSON:
    """Only the metadata of an object."""
    return {
        "kind": negotiation.PARTIAL,
        "apiVersion": f"meta.k8s.io/{form.version or 'v1'}",
        "metadata": obj["metadata"],
    }


def table(
    items: Iterable[JSON], kind: Kind, metadata: JSON, form: Form, include: str, *, with_columns: bool = True
) -> JSON:
    """A metav1.Table of the kind's columns and cells."""
    columns = [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in kind.columns
    ]
    return {
        "kind": negotiation.TABLE,
        "apiVersion": f"meta.k8s.io/{form.version}",
        "metadata": metadata,
        "columnDefinitions": columns if with_columns else None,
        "rows": [{"cells": kind.cells(item), "object": _row_object(item, form, include)} for item in items],
    }


def _row_object(obj: JSON, form: Form, include: str) -> Any:
    if include == "Object":
        return obj
    return partial(obj, form) if include == "Metadata" else None
