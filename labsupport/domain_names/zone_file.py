"""A zone file to work on: a fresh copy of one of the course's, and small edits that show what they changed."""

from __future__ import annotations

import shutil
from pathlib import Path

from labsupport import paths
from labsupport.errors import LabError


class NoSuchText(LabError):
    """The text that should be replaced is not in the file."""


def zone_copy(file: str) -> Path:
    """A fresh copy of a zone file, in the lab's state directory: edit it as you like, the original stays.

    >>> zone_copy("zones/06_first.zone").name
    '06_first.zone'
    """
    folder = paths.state_dir() / "zones"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(shutil.copy(file, folder / Path(file).name))


def replace(file: Path, old: str, new: str) -> None:
    """Replace a text in a file, once, and show the lines before and after. Raises NoSuchText.

    >>> replace(zone, "192.0.2.10", "192.0.2.77")
    - @        IN  A     192.0.2.10
    + @        IN  A     192.0.2.77
    """
    before = file.read_text()
    if old not in before:
        raise NoSuchText(f"{file.name} does not hold {old!r}: make a fresh copy with zone_file.zone_copy(...)")
    after = before.replace(old, new, 1)
    file.write_text(after)
    for a, b in zip(before.splitlines(), after.splitlines(), strict=False):
        if a != b:
            print(f"- {_bare(a)}\n+ {_bare(b)}")
            return


def append(file: Path, *lines: str) -> None:
    """Add lines at the end of a file, and show them.

    >>> append(zone, "www IN A 192.0.2.11")
    + www IN A 192.0.2.11
    """
    with file.open("a") as opened:
        for line in lines:
            opened.write(line + "\n")
            print(f"+ {line}")


def remove(file: Path, line: str) -> None:
    """Take a line out of a file again. Raises NoSuchText.

    >>> remove(zone, "www IN A 192.0.2.11")
    - www IN A 192.0.2.11
    """
    lines = file.read_text().splitlines()
    if line not in lines:
        raise NoSuchText(f"{file.name} has no line {line!r}")
    lines.remove(line)
    file.write_text("\n".join(lines) + "\n")
    print(f"- {line}")


def _bare(line: str) -> str:
    return line.split(";", 1)[0].rstrip()
