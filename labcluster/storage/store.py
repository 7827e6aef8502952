"""The store: one append-only SQLite table of revisions, as k3s' kine keeps Kubernetes objects in SQL.

Every write appends a row; the row's number is the resourceVersion. The newest row of a key is the object's
state, a row without a value is its deletion. The database is written through (WAL, so that a killed process
loses nothing it has answered for) and read only at start: the registry keeps the state in memory.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import orjson

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON

HISTORY = 5000  # superseded revisions kept for watches that start in the past

_SCHEMA = """
CREATE TABLE IF NOT EXISTS revisions (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    value BLOB
);
CREATE INDEX IF NOT EXISTS revisions_of_key ON revisions (key, revision);
"""


@dataclass(frozen=True)
class Row:
    """One revision of one object; `value` is None for a deletion."""

    revision: int
    key: str
    value: JSON | None


class Store:
    """The revisions on disk. Not safe for two processes at once: the launcher's lock keeps it to one."""

    def __init__(self, path: Path | str) -> None:
        """Open or create the database. Raises sqlite3.Error when it cannot be read."""
        self.path = str(path)
        self._db = sqlite3.connect(self.path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        # NORMAL loses nothing when the process dies; a power cut may cost the last moments, never consistency.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        self._writes = 0
        # No watch reaches back before a start, so a history is not needed then, and short runs do not pile it up.
        self._compact_if_possible(self.newest())

    def rows(self, prefix: str = "") -> list[Row]:
        """All rows, or those whose key begins so, in the order of their revision."""
        cursor = self._db.execute(
            "SELECT revision, key, value FROM revisions WHERE substr(key, 1, ?) = ? ORDER BY revision",
            (len(prefix), prefix),
        )
        return [
            Row(revision, key, orjson.loads(value) if value is not None else None) for revision, key, value in cursor
        ]

    def append(self, revision: int, key: str, value: bytes | None) -> None:
        """Write one revision. Raises ApiError 500 when the disk does not take it (nothing has changed then)."""
        try:
            self._db.execute("INSERT INTO revisions VALUES (?, ?, ?)", (revision, key, value))
        except sqlite3.Error as error:
            message = f"the store {self.path} cannot be written: {error}; free some disk space and try again"
            raise ApiError(500, "InternalError", message) from error
        self._writes += 1
        if self._writes >= HISTORY:
            self._writes = 0
            self._compact_if_possible(revision - HISTORY)

    def newest(self) -> int:
        """The newest revision on disk, 0 without any. Raises sqlite3.Error when it cannot be read."""
        return int(self._db.execute("SELECT coalesce(max(revision), 0) FROM revisions").fetchone()[0])

    def _compact_if_possible(self, before: int) -> None:
        """Compact, or do so another time: a write that has succeeded must not fail for it, as on a full disk."""
        with contextlib.suppress(sqlite3.OperationalError):
            self.compact(before)

    def compact(self, before: int) -> None:
        """Drop rows older than `before` that a newer row of their key supersedes, and old deletions."""
        self._db.execute(
            "DELETE FROM revisions WHERE revision < :before AND ("
            " value IS NULL OR EXISTS (SELECT 1 FROM revisions newer"
            " WHERE newer.key = revisions.key AND newer.revision > revisions.revision))",
            {"before": before},
        )

    def close(self) -> None:
        """Close the database."""
        self._db.close()
