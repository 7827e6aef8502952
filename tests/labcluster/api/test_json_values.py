"""The depth of JSON values."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from labcluster.api.errors import ApiError
from labcluster.api.json_values import LEVELS_ABOVE, MOST_LEVELS, check_depth, is_too_deep


def nested(levels: int, *, by_lists: bool = False) -> Any:
    value: Any = [] if by_lists else {}
    for _ in range(levels - 1):
        value = [0, value] if by_lists else {"b": 0, "a": value}
    return value


@pytest.mark.parametrize("by_lists", [False, True])
@pytest.mark.parametrize("more", [0, 1, 20, 1000, 100_000])
def test_a_value_of_more_levels_is_too_deep(by_lists: bool, more: int) -> None:
    assert is_too_deep(nested(MOST_LEVELS + more, by_lists=by_lists)) == (more > 0)


def test_values_without_levels_are_not_too_deep() -> None:
    for value in ("x", 1, None, [], {}, [1] * 1000, {str(n): [n] for n in range(1000)}):
        check_depth(value)
    with pytest.raises(ApiError) as refused:
        check_depth({"a": 1, "b": [nested(MOST_LEVELS)]})
    assert (refused.value.code, refused.value.message) == (400, "the object provided is nested too deeply")


def test_what_is_not_too_deep_is_written_and_read_within_lists() -> None:
    value = nested(MOST_LEVELS)
    for _ in range(LEVELS_ABOVE):
        value = [value]
    assert orjson.loads(orjson.dumps(value)) == value
