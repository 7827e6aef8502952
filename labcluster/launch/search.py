"""Find a lab's daemon whose record is lost: somebody has removed daemon.json, and the daemon runs on.

Without this it would be a stranger on the lab's own ports, which no command could end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def boot_id() -> str:
    """What tells this boot of the machine from all others."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def recover(record: Path) -> dict[str, Any]:
    """Write the record of this user's daemon for the directory anew. Raises LookupError when none runs, OSError."""
    for pid in _daemons(record.parent) if record.parent.is_dir() else ():
        found = {"pid": pid, "startTime": int(stat(pid)[19]), "boot": boot_id()}
        new = record.with_suffix(".json.new")
        new.write_text(json.dumps(found) + "\n")
        new.replace(record)
        return found
    raise LookupError(f"no daemon runs for {record.parent}")


def is_there(state_dir: Path) -> bool:
    """Whether a daemon runs for the directory, which may be gone itself."""
    return any(True for _ in _daemons(state_dir))


def _daemons(state_dir: Path) -> Iterator[int]:
    """The processes that were called as a daemon for that directory and are the first of a PID namespace."""
    if not Path("/proc/self").exists():  # not Linux
        return
    wanted = ["--state", str(state_dir.absolute()), "--sockets"]
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or entry.stat().st_uid != os.getuid():
                continue
            words = (entry / "cmdline").read_text().split("\0")
            if not any(words[at : at + 3] == wanted for at in range(len(words))):
                continue
            status = (entry / "status").read_text().splitlines()
        except (OSError, UnicodeDecodeError):  # it has ended meanwhile, or is not for us to look at
            continue
        ids = next((line.split()[1:] for line in status if line.startswith("NSpid:")), [])
        if len(ids) > 1 and ids[-1] == "1":
            yield int(entry.name)
