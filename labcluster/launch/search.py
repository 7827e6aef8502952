"""Finding a lab's daemon among the processes when its record is lost: daemon.json was removed, and it runs on.

Without this, no command could stop it, and it would keep the lab's ports.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def boot_id() -> str:
    """The id of this boot of the machine: PIDs and start times mean nothing in another one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def proc_stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def recover_record(record: Path) -> dict[str, Any]:
    """Write the record of this user's daemon again. Raises LookupError when none runs for the directory, OSError."""
    for pid in _daemons(record.parent) if record.parent.is_dir() else ():
        data = {"pid": pid, "startTime": int(proc_stat(pid)[19]), "boot": boot_id()}
        new = record.with_suffix(".json.new")
        new.write_text(json.dumps(data) + "\n")
        new.replace(record)
        return data
    raise LookupError(f"no daemon runs for {record.parent}")


def is_daemon_running(state_dir: Path) -> bool:
    """Whether a daemon runs for the directory, which itself may have been removed."""
    return any(True for _ in _daemons(state_dir))


def _daemons(state_dir: Path) -> Iterator[int]:
    """The processes with a daemon's command line for that directory that are PID 1 of a PID namespace."""
    if not Path("/proc/self").exists():  # not Linux
        return
    arguments = ["--state", str(state_dir.absolute()), "--sockets"]
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or entry.stat().st_uid != os.getuid():
                continue
            words = (entry / "cmdline").read_text().split("\0")
            if not any(words[at : at + 3] == arguments for at in range(len(words))):
                continue
            status = (entry / "status").read_text().splitlines()
        except (OSError, UnicodeDecodeError):  # it has ended meanwhile, or we may not read it
            continue
        ids = next((line.split()[1:] for line in status if line.startswith("NSpid:")), [])
        if len(ids) > 1 and ids[-1] == "1":
            yield int(entry.name)
