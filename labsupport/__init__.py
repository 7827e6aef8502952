"""What the notebooks of the course may import: `import labsupport as lab`.

The verbs are kubectl's. They work in the namespace of the chapter that `begin` has started. Each one is loaded
when it is first used: the command line and the embedded cluster live in this package too, and start quickly.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labsupport.chain_figure import chain
    from labsupport.chapter import begin, end
    from labsupport.checks import check, hint
    from labsupport.connections import Connections
    from labsupport.errors import LabError, Refused
    from labsupport.event_log import NoSuchEvent, event
    from labsupport.gslb import Balancer
    from labsupport.kube import NotConnected, apps, core
    from labsupport.lifetime_figure import lifetimes
    from labsupport.map_figure import lab_map
    from labsupport.name_lookup import Answer, lookup, wait_for_name
    from labsupport.nodes import cordon, uncordon
    from labsupport.object_figure import object_map
    from labsupport.pod_timeline import timeline
    from labsupport.pods import CommandFailed, address, fetch, logs, reachable, run
    from labsupport.recording import Moment, Recording
    from labsupport.resolver import Resolver
    from labsupport.revision_figure import revisions
    from labsupport.scope import namespace
    from labsupport.tables import facts, get
    from labsupport.traffic import Traffic
    from labsupport.verbs import apply, delete, evict, manifest, obj, objects, patch, scale
    from labsupport.waiting import WaitFailed, wait
    from labsupport.zone import Zone, ZoneError
    from labsupport.zone_file import zone_copy
    from labsupport.zone_server import ZoneServer

__all__ = [
    "Answer",
    "Balancer",
    "CommandFailed",
    "Connections",
    "LabError",
    "Moment",
    "NoSuchEvent",
    "NotConnected",
    "Recording",
    "Refused",
    "Resolver",
    "Traffic",
    "WaitFailed",
    "Zone",
    "ZoneError",
    "ZoneServer",
    "address",
    "apply",
    "apps",
    "begin",
    "chain",
    "check",
    "cordon",
    "core",
    "delete",
    "end",
    "event",
    "evict",
    "facts",
    "fetch",
    "get",
    "hint",
    "lab_map",
    "lifetimes",
    "logs",
    "lookup",
    "manifest",
    "namespace",
    "obj",
    "object_map",
    "objects",
    "patch",
    "reachable",
    "revisions",
    "run",
    "scale",
    "timeline",
    "uncordon",
    "wait",
    "wait_for_name",
    "zone_copy",
]

_HOME = {
    "chain_figure": "chain",
    "chapter": "begin end",
    "checks": "check hint",
    "connections": "Connections",
    "errors": "LabError Refused",
    "event_log": "NoSuchEvent event",
    "gslb": "Balancer",
    "kube": "NotConnected apps core",
    "lifetime_figure": "lifetimes",
    "map_figure": "lab_map",
    "name_lookup": "Answer lookup wait_for_name",
    "nodes": "cordon uncordon",
    "object_figure": "object_map",
    "verbs": "apply delete evict manifest obj objects patch scale",
    "pods": "CommandFailed address fetch logs reachable run",
    "recording": "Moment Recording",
    "revision_figure": "revisions",
    "resolver": "Resolver",
    "scope": "namespace",
    "tables": "facts get",
    "pod_timeline": "timeline",
    "traffic": "Traffic",
    "waiting": "WaitFailed wait",
    "zone": "Zone ZoneError",
    "zone_file": "zone_copy",
    "zone_server": "ZoneServer",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Load a verb from its module at first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"labsupport has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"labsupport.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The verbs, for completion."""
    return __all__
