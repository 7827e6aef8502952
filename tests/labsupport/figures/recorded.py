"""Made-up recordings: what happened to pods and claims, as a Recording would tell it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from labsupport.cluster.recording import Moment, Recording

Happened = tuple[float, str]


def pod(name: str, uid: str, *happened: Happened, owner: str, **more: Any) -> list[Moment]:
    return [Moment(seconds, what, "Pod", name, uid, owner, **more) for seconds, what in happened]


def claim(name: str, uid: str, begin: float, end: float | None = None) -> list[Moment]:
    happened = [(begin, "created")] if end is None else [(begin, "created"), (end, "deleted")]
    return [Moment(seconds, what, "PersistentVolumeClaim", name, uid, "") for seconds, what in happened]


def mark(seconds: float, text: str) -> list[Moment]:
    return [Moment(seconds, "mark", "", text, "", "")]


def recording(*parts: list[Moment]) -> Recording:
    moments = sorted((moment for part in parts for moment in part), key=lambda moment: moment.seconds)
    return cast(Recording, SimpleNamespace(moments=moments))
