"""The query parameters of requests, checked (upstream: apimachinery pkg/apis/meta/{internalversion,v1}/validation)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multidict import MultiMapping

from labcluster.api import field
from labcluster.api.errors import ApiError, bad_request
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.selectors import FieldSelector, LabelSelector
from labcluster.storage.registry import DeleteOptions

EXACT = "Exact"
NOT_OLDER_THAN = "NotOlderThan"

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")  # what fits into an int64
_LONGEST_GRACE = 2**31 - 1  # seconds: the end must still be a date
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False", "")


@dataclass(frozen=True)
class ListOptions:
    """metav1.ListOptions of a list or watch."""

    labels: LabelSelector
    fields: FieldSelector
    limit: int
    continue_token: str
    resource_version: str
    resource_version_match: str
    send_initial_events: bool | None
    allow_bookmarks: bool
    timeout_seconds: int | None

    @classmethod
    def parse(cls, query: Mapping[str, str], *, watching: bool) -> ListOptions:
        """Read and check the parameters. Raises ApiError 400 and 422."""
        initial = query.get("sendInitialEvents")
        timeout = query.get("timeoutSeconds")
        options = cls(
            labels=LabelSelector.parse(query.get("labelSelector", "")),
            fields=FieldSelector.parse(query.get("fieldSelector", "")),
            limit=integer(query, "limit") or 0,
            continue_token=query.get("continue", ""),
            resource_version=query.get("resourceVersion", ""),
            resource_version_match=query.get("resourceVersionMatch", ""),
            send_initial_events=None if initial is None else boolean(query, "sendInitialEvents"),
            allow_bookmarks=boolean(query, "allowWatchBookmarks"),
            timeout_seconds=None if timeout is None else integer(query, "timeoutSeconds"),
        )
        problems = _watch_problems(options) if watching else _list_problems(options)
        if problems:
            raise invalid_options("ListOptions", problems)
        return options

    @property
    def revision(self) -> int:
        """The resourceVersion as a number; "" is 0. Raises ApiError 400."""
        return revision_of(self.resource_version)


def revision_of(text: str) -> int:
    """A resourceVersion as a number; "" is 0. Raises ApiError 400."""
    if not text:
        return 0
    if not _WHOLE_NUMBER.fullmatch(text) or text.startswith("-"):
        raise invalid_options("ListOptions", [field.invalid("resourceVersion", text, "must be a whole number")])
    return int(text)


def _list_problems(options: ListOptions) -> list[FieldError]:
    path, match = "resourceVersionMatch", options.resource_version_match
    problems = []
    if match:
        if not options.resource_version:
            problems.append(field.forbidden(path, f"{path} is forbidden unless resourceVersion is provided"))
        if options.continue_token:
            problems.append(field.forbidden(path, f"{path} is forbidden when continue is provided"))
        if match not in (EXACT, NOT_OLDER_THAN):
            problems.append(field.not_supported(path, match, [EXACT, NOT_OLDER_THAN, ""]))
        if match == EXACT and options.resource_version == "0":
            problems.append(field.forbidden(path, f'{path} "exact" is forbidden for resourceVersion "0"'))
    if options.send_initial_events is not None:
        problems.append(field.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return problems


def _watch_problems(options: ListOptions) -> list[FieldError]:
    path, match = "resourceVersionMatch", options.resource_version_match
    problems = []
    if options.send_initial_events is not None and match != NOT_OLDER_THAN:
        problems.append(field.forbidden(path, f"sendInitialEvents requires setting {path} to {NOT_OLDER_THAN}"))
    if match:
        if options.send_initial_events is None:
            problems.append(
                field.forbidden(path, f"{path} is forbidden for watch unless sendInitialEvents is provided")
            )
        if match != NOT_OLDER_THAN:
            problems.append(field.not_supported(path, match, [NOT_OLDER_THAN]))
        if options.continue_token:
            problems.append(field.forbidden(path, f"{path} is forbidden when continue is provided"))
    return problems


@dataclass(frozen=True)
class WriteOptions:
    """What metav1.CreateOptions, UpdateOptions and PatchOptions have in common."""

    dry_run: bool = False
    field_validation: str = "Warn"

    @classmethod
    def parse(cls, query: MultiMapping[str], type_name: str) -> WriteOptions:
        """Read and check the parameters; `type_name` is CreateOptions, UpdateOptions or PatchOptions."""
        problems = dry_run_problems(query.getall("dryRun", []))
        validation = query.get("fieldValidation") or "Warn"
        if validation not in ("Ignore", "Strict", "Warn"):
            supported = ["Ignore", "Strict", "Warn"]
            problems.append(field.not_supported("fieldValidation", validation, supported))
        if problems:
            raise invalid_options(type_name, problems)
        return cls(bool(query.get("dryRun")), validation)


def dry_run_problems(values: list[Any]) -> list[FieldError]:
    """What is wrong with the dryRun values of a request."""
    wrong = [v for v in values if v not in ("All", "")]
    return [field.not_supported("dryRun", wrong, ["All"])] if wrong else []


def delete_options(query: MultiMapping[str], body: JSON | None) -> DeleteOptions:
    """metav1.DeleteOptions from the body, or else from the query. Raises ApiError 400 and 422."""
    given: JSON = body if body is not None else _from_query(query)
    dry_run = given.get("dryRun") or []
    if not isinstance(dry_run, list):
        raise bad_request("json: cannot unmarshal DeleteOptions.dryRun: it must be an array of strings")
    grace = given.get("gracePeriodSeconds")
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise bad_request("json: cannot unmarshal DeleteOptions.gracePeriodSeconds: it must be an integer")
    preconditions = given.get("preconditions") or {}
    if not isinstance(preconditions, dict):
        raise bad_request("json: cannot unmarshal DeleteOptions.preconditions: it must be an object")
    propagation, orphan = given.get("propagationPolicy"), given.get("orphanDependents")
    problems = dry_run_problems(dry_run)
    if propagation is not None and orphan is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        problems.append(field.invalid("propagationPolicy", propagation, why))
    elif propagation not in (None, "Background", "Foreground", "Orphan"):
        problems.append(
            field.not_supported("propagationPolicy", propagation, ["Background", "Foreground", "Orphan", "nil"])
        )
    if problems:
        raise invalid_options("DeleteOptions", problems)
    if orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    return DeleteOptions(
        grace_seconds=None if grace is None else (min(grace, _LONGEST_GRACE) if grace >= 0 else 1),  # as upstream: 1
        propagation=propagation,
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run=bool(dry_run),
    )


def _from_query(query: MultiMapping[str]) -> JSON:
    given: JSON = {"dryRun": [v for v in query.getall("dryRun", []) if v]}
    if query.get("gracePeriodSeconds"):
        given["gracePeriodSeconds"] = integer(query, "gracePeriodSeconds")
    if query.get("propagationPolicy"):
        given["propagationPolicy"] = query["propagationPolicy"]
    if query.get("orphanDependents"):
        given["orphanDependents"] = boolean(query, "orphanDependents")
    return given


def boolean(query: Mapping[str, str], name: str) -> bool:
    """A parameter that is true or false; absent is false. Raises ApiError 400."""
    value = query.get(name, "")
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise bad_request(f'invalid value "{value}" of the parameter {name}: expected true or false')


def integer(query: Mapping[str, str], name: str) -> int | None:
    """A parameter that is a whole number; absent is None. Raises ApiError 400."""
    value = query.get(name, "")
    if not value:
        return None
    if not _WHOLE_NUMBER.fullmatch(value):
        raise bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax (the parameter {name})')
    return int(value)


def invalid_options(type_name: str, problems: list[FieldError]) -> ApiError:
    """422: the parameters contradict one another or have unsupported values."""
    texts = [str(p) for p in problems]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    causes = [{"reason": p.reason, "message": p.text, "field": p.path} for p in problems]
    return ApiError(
        422,
        "Invalid",
        f'{type_name}.meta.k8s.io "" is invalid: {joined}',
        {"group": "meta.k8s.io", "kind": type_name, "causes": causes},
    )
