"""Errors as a learner should meet them: one sentence, without a traceback through three libraries."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError


class LabError(Exception):
    """The base of the notebooks' errors. In a notebook only the message is shown."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class Refused(LabError):
    """The cluster refused a request; the message is the server's own. `status` is the HTTP status code."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{reason} ({status}): {message}" if reason else f"({status}) {message}")
        self.status = status
        self.reason = reason
        self.message = message


class NotConnected(LabError):
    """There is no cluster to talk to; the message says how to get one."""


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Turn the client's ApiException inside the block into Refused, and a broken connection into NotConnected."""
    try:
        yield
    except ApiException as error:
        raise refused(error) from error
    except HTTPError as error:
        raise NotConnected(
            f"the connection to the cluster broke ({type(error).__name__}). Run this cell again; "
            "if nobody answers, type `make lab` in a terminal."
        ) from error


def refused(error: ApiException) -> Refused:
    """The Refused for a client's exception: what the Status in its body says."""
    body = error.body.decode() if isinstance(error.body, bytes) else str(error.body or "")
    try:
        status = json.loads(body)
    except ValueError:
        status = {}
    message = str(status.get("message") or body or error.reason)
    if error.status == 404:
        message += ". Was a cell before this one left out? The chapter's first cell starts it afresh."
    return Refused(int(error.status or 0), str(status.get("reason", "")), message)
