"""Which programs outside of the environment the tests start, held to a short list.

Seen is what a test's own process starts. What shells and the cluster start in turn is not: for the cluster see
`labcluster.launch.control.TOOLS` and `labcluster.node.images.image_table.PROGRAMS`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

# All of these are in a minimal Debian.
NEEDED = {"bash", "flock", "setsid", "sh", "sleep", "unshare"}
# dnspython asks what dig and nslookup would show. matplotlib looks for fonts by fc-list, and brings some itself.
OPTIONAL = {"dig", "nslookup", "fc-list"}

_started: set[str] = set()


def record() -> None:
    """Take down all programs that this process starts from now on."""
    sys.addaudithook(_take_down)


def _take_down(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("subprocess.Popen", "os.posix_spawn", "os.exec"):
        environment = arguments[-1] or os.environ
        if program := shutil.which(os.fsdecode(arguments[0]), path=environment.get("PATH")):
            _started.add(program)


def outside(made: Path) -> set[str]:
    """The names of those that were started and are not of the environment, nor made by the tests, in `made`."""
    ours = (sys.prefix, tempfile.gettempdir(), str(made))
    return {Path(program).name for program in _started if not program.startswith(ours)}
