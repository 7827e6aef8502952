"""What test_runtime.py checks. Each scenario is an async function that gets a Lab and raises when something fails."""

import inspect
from collections.abc import Awaitable, Callable
from types import ModuleType

from tests.labcluster.node.runtime_scenarios import (
    attach,
    container_life,
    container_view,
    exec,
    images,
    leftovers,
    network,
    pid_namespaces,
)
from tests.labcluster.node.runtime_scenarios.lab import Lab

Scenario = Callable[[Lab], Awaitable[None]]


def _is_scenario(member: object, module: ModuleType) -> bool:
    return (
        inspect.iscoroutinefunction(member)
        and member.__module__ == module.__name__
        and list(inspect.signature(member).parameters) == ["lab"]
    )


_MODULES = (pid_namespaces, container_life, container_view, network, exec, attach, images, leftovers)
_FOUND = [(n, f) for module in _MODULES for n, f in vars(module).items() if _is_scenario(f, module)]
SCENARIOS: dict[str, Scenario] = dict(_FOUND)
assert len(SCENARIOS) == len(_FOUND), "two scenarios have the same name"
