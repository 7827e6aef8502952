"""Kubernetes objects as plain JSON dictionaries, and the few questions every part asks of them."""

from __future__ import annotations

from typing import Any

JSON = dict[str, Any]


def name_of(obj: JSON) -> str:
    """metadata.name, or "" before generateName was resolved."""
    return str(obj["metadata"].get("name", ""))


def namespace_of(obj: JSON) -> str:
    """metadata.namespace, or "" for a cluster-scoped object."""
    return str(obj["metadata"].get("namespace", ""))


def key_of(obj: JSON) -> str:
    """`namespace/name`, or `name` for a cluster-scoped object: the key of informers and work queues."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def split_key(key: str) -> tuple[str, str]:
    """The inverse of key_of: (namespace, name), the namespace "" for a cluster-scoped object."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def uid_of(obj: JSON) -> str:
    """metadata.uid."""
    return str(obj["metadata"].get("uid", ""))


def labels_of(obj: JSON) -> dict[str, str]:
    """metadata.labels, never None."""
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: JSON) -> dict[str, str]:
    """metadata.annotations, never None."""
    return obj["metadata"].get("annotations") or {}


def is_terminating(obj: JSON) -> bool:
    """Whether deletion was asked for (deletionTimestamp is set)."""
    return bool(obj["metadata"].get("deletionTimestamp"))
