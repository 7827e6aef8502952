"""/livez, /readyz and /healthz: whether the API server works, check by check.

Upstream: apiserver pkg/server/healthz/healthz.go. Upstream's checks that would have nothing to check here are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiohttp import web
from multidict import MultiMapping

from labcluster.http.call import Services, no_such_resource

Check = Callable[[], str]  # what is wrong, "" when nothing is

_ENDPOINTS = ("healthz", "livez", "readyz")

log = logging.getLogger(__name__)


def answer(services: Services, query: MultiMapping[str], endpoint: str, check: str) -> web.Response:
    """What an endpoint or one check of it says: 200, or 500 when something is wrong. Raises ApiError 404."""
    checks = _checks(services, endpoint)
    if not check:
        return _all(checks, query, endpoint)
    if check not in checks:
        raise no_such_resource()
    problem = checks[check]()
    return _text(f"internal server error: {problem}\n", 500) if problem else _text("ok")


def paths(services: Services) -> list[str]:
    """The paths at which answers are."""
    checks = [f"/{endpoint}/{name}" for endpoint in _ENDPOINTS for name in _checks(services, endpoint)]
    return [*(f"/{endpoint}" for endpoint in _ENDPOINTS), *checks]


def _checks(services: Services, endpoint: str) -> dict[str, Check]:
    checks: dict[str, Check] = {"ping": lambda: "", "etcd": services.registry.store_problem}
    if endpoint == "readyz":
        checks["poststarthook/start-nodes"] = lambda: "" if services.is_ready() else "not finished"
    return checks


def _all(checks: dict[str, Check], query: MultiMapping[str], endpoint: str) -> web.Response:
    excluded = [name for value in query.getall("exclude", []) for name in value.split(",") if name]
    lines, failed = [], False
    for name, check in checks.items():
        if name in excluded:
            lines.append(f"[+]{name} excluded: ok")
        elif problem := check():
            log.warning("%s: %s: %s", endpoint, name, problem)
            lines.append(f"[-]{name} failed: reason withheld")  # the endpoint is for everyone
            failed = True
        else:
            lines.append(f"[+]{name} ok")
    unknown = sorted({name for name in excluded if name not in checks})
    if unknown:
        quoted = ",".join(f'"{name}"' for name in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
    if failed:
        return _text("\n".join([*lines, f"{endpoint} check failed\n"]), 500)
    if "verbose" not in query:
        return _text("ok")
    return _text("\n".join([*lines, f"{endpoint} check passed\n"]))


def _text(text: str, code: int = 200) -> web.Response:
    return web.Response(text=text, status=code, headers={"X-Content-Type-Options": "nosniff"})
