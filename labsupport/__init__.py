# ruff: noqa: F401
# mypy: implicit-reexport
"""What the notebooks of the course may import: `import labsupport as lab`.

The table below is the public surface: the verbs that chapters use again and again, which are kubectl's and work in the
namespace of the chapter that `begin` has started, and the errors that they raise. Whatever else a chapter needs it
imports from its room, as in `from labsupport.domain_names import zone_server`.

Editors and type checkers read the table as imports. At run time it is looked up, and each name is loaded when it is
first used: the command line lives in this package too, and starts quickly.
"""

import ast
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labsupport.chapter.checks import check, hint
    from labsupport.chapter.namespace import begin, end
    from labsupport.cluster.api import apps, core
    from labsupport.cluster.events import NoSuchEvent, event
    from labsupport.cluster.nodes import cordon, uncordon
    from labsupport.cluster.pods import CommandFailed, address, fetch, logs, reachable, run
    from labsupport.cluster.recording import Recording
    from labsupport.cluster.scope import namespace
    from labsupport.cluster.tables import facts, get
    from labsupport.cluster.verbs import apply, delete, evict, manifest, obj, objects, patch, scale
    from labsupport.cluster.waiting import WaitFailed, wait
    from labsupport.domain_names.lookup import lookup, wait_for_name
    from labsupport.errors import LabError, NotConnected, Refused

# The official client imports this package where it is installed, for a check of manifests that nothing here asks for.
# Keeping it out makes `import kubernetes` several times quicker, in every kernel and command.
sys.modules.setdefault("kubernetes_validate", None)  # type: ignore[arg-type]

_TABLE = next(node for node in ast.parse(Path(__file__).read_text()).body if isinstance(node, ast.If))
_IMPORTS = [line for line in _TABLE.body if isinstance(line, ast.ImportFrom)]
_MODULE_OF = {entry.name: str(line.module) for line in _IMPORTS for entry in line.names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """Load a verb from its module at first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"labsupport has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The verbs, for completion."""
    return __all__
