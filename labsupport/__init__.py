"""What the notebooks of the course may import: `import labsupport as lab`.

The verbs are kubectl's. They work in the namespace of the chapter that `begin` has started. Each one is loaded
when it is first used: the command line and the embedded cluster live in this package too, and start quickly.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labsupport.chapter.checks import check, hint
    from labsupport.chapter.namespace import begin, end
    from labsupport.cluster.api import NotConnected, apps, core
    from labsupport.cluster.events import NoSuchEvent, event
    from labsupport.cluster.nodes import cordon, uncordon
    from labsupport.cluster.pods import CommandFailed, address, fetch, logs, reachable, run
    from labsupport.cluster.recording import Moment, Recording
    from labsupport.cluster.scope import namespace
    from labsupport.cluster.tables import facts, get
    from labsupport.cluster.verbs import apply, delete, evict, manifest, obj, objects, patch, scale
    from labsupport.cluster.waiting import WaitFailed, wait
    from labsupport.domain_names.balancer import Balancer
    from labsupport.domain_names.lookup import Answer, lookup, wait_for_name
    from labsupport.domain_names.resolver import Resolver
    from labsupport.domain_names.zone import Zone, ZoneError
    from labsupport.domain_names.zone_file import zone_copy
    from labsupport.domain_names.zone_server import ZoneServer
    from labsupport.errors import LabError, Refused
    from labsupport.redis_cluster.connections import Connections
    from labsupport.redis_cluster.traffic import Traffic

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
    "logs",
    "lookup",
    "manifest",
    "namespace",
    "obj",
    "objects",
    "patch",
    "reachable",
    "run",
    "scale",
    "uncordon",
    "wait",
    "wait_for_name",
    "zone_copy",
]

_HOME = {
    "chapter.namespace": "begin end",
    "chapter.checks": "check hint",
    "redis_cluster.connections": "Connections",
    "errors": "LabError Refused",
    "cluster.events": "NoSuchEvent event",
    "domain_names.balancer": "Balancer",
    "cluster.api": "NotConnected apps core",
    "domain_names.lookup": "Answer lookup wait_for_name",
    "cluster.nodes": "cordon uncordon",
    "cluster.verbs": "apply delete evict manifest obj objects patch scale",
    "cluster.pods": "CommandFailed address fetch logs reachable run",
    "cluster.recording": "Moment Recording",
    "domain_names.resolver": "Resolver",
    "cluster.scope": "namespace",
    "cluster.tables": "facts get",
    "redis_cluster.traffic": "Traffic",
    "cluster.waiting": "WaitFailed wait",
    "domain_names.zone": "Zone ZoneError",
    "domain_names.zone_file": "zone_copy",
    "domain_names.zone_server": "ZoneServer",
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
