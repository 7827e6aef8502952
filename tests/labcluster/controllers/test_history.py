"""ControllerRevisions: the names that a real cluster gives, rollback, collisions and the limit."""

from __future__ import annotations

import pytest

from labcluster.api.objects import JSON, name_of
from labcluster.api.resources import CONTROLLER_REVISIONS, NAMESPACES, STATEFUL_SETS
from labcluster.api.selectors import LabelSelector
from labcluster.controllers import history
from labcluster.storage.registry import Registry
from labcluster.storage.store import Store
from tests.labcluster.workload_objects import redis_template, stateful_set

SELECTOR = LabelSelector.parse("app=redis")


@pytest.fixture
def registry() -> Registry:
    registry = Registry(Store(":memory:"))
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    return registry


def owner(**metadata: object) -> JSON:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "redis", "namespace": "default", "uid": "u1", **metadata},
        "spec": {"selector": {"matchLabels": {"app": "redis"}}},
    }


def store(registry: Registry, template: JSON, collisions: int = 0) -> tuple[JSON, int]:
    parent = owner()
    revisions = history.list_revisions(registry, parent, SELECTOR)
    number = revisions[-1]["revision"] + 1 if revisions else 1
    candidate = history.new_revision(parent, template, number, collisions)
    return history.store_revision(registry, parent, revisions, candidate, collisions)


def test_hash_and_name_are_those_of_a_real_cluster() -> None:
    assert name_of(history.new_revision(owner(), redis_template(), 1, 0)) == "redis-7645ccb8f4"
    assert name_of(history.new_revision(owner(), redis_template("redis:7.2"), 2, 0)) == "redis-666f667466"


def test_json_is_escaped_as_go_escapes_it() -> None:
    assert (
        history.canonical_json({"b": "<&>", "a": "é\u2028"}) == '{"a":"é\\u2028","b":"\\u003c\\u0026\\u003e"}'.encode()
    )


def test_a_revision_carries_the_labels_of_the_template_and_the_annotations_of_the_set() -> None:
    made = history.new_revision(owner(annotations={"a": "b"}), redis_template(), 1, 0)
    assert made["metadata"]["labels"] == {"app": "redis", "controller.kubernetes.io/hash": "7645ccb8f4"}
    assert made["metadata"]["annotations"] == {"a": "b"}
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u1"
    assert made["data"]["spec"]["template"]["$patch"] == "replace"
    assert history.template_of(made) == redis_template()


def test_an_equal_newest_revision_is_used_as_it_is(registry: Registry) -> None:
    first, _ = store(registry, redis_template())
    again, _ = store(registry, redis_template())
    assert again is first and again["revision"] == 1


def test_reverting_reuses_the_old_revision_with_the_next_number(registry: Registry) -> None:
    store(registry, redis_template())
    store(registry, redis_template("redis:7.2"))
    reverted, _ = store(registry, redis_template())
    assert (name_of(reverted), reverted["revision"]) == ("redis-7645ccb8f4", 3)
    assert len(registry.list(CONTROLLER_REVISIONS)) == 2


def test_a_taken_name_raises_the_collision_count(registry: Registry) -> None:
    squatter = history.new_revision(owner(uid="u2"), redis_template(), 1, 0)
    squatter["data"] = {"other": True}
    registry.create(CONTROLLER_REVISIONS, squatter)
    made, collisions = store(registry, redis_template())
    assert collisions == 1
    assert name_of(made) == "redis-" + history.revision_hash(made["data"], 1) != name_of(squatter)


def test_truncate_keeps_the_limit_beyond_those_in_use(registry: Registry) -> None:
    made = [name_of(store(registry, redis_template(f"redis:{n}"))[0]) for n in range(6)]
    revisions = history.list_revisions(registry, owner(), SELECTOR)
    history.truncate(registry, revisions, {made[0], made[5]}, 2)
    kept = [name_of(r) for r in history.list_revisions(registry, owner(), SELECTOR)]
    assert kept == [made[0], made[3], made[4], made[5]]


def test_orphans_that_match_are_adopted(registry: Registry) -> None:
    orphan = history.new_revision(owner(), redis_template(), 1, 0)
    del orphan["metadata"]["ownerReferences"]
    registry.create(CONTROLLER_REVISIONS, orphan)
    live = registry.create(STATEFUL_SETS, stateful_set())
    history.adopt_orphans(registry, STATEFUL_SETS, live, SELECTOR)
    (adopted,) = registry.list(CONTROLLER_REVISIONS)
    assert adopted["metadata"]["ownerReferences"][0]["uid"] == live["metadata"]["uid"]


def test_equal_templates_have_the_same_template_hash_and_a_collision_changes_it() -> None:
    digest = history.template_hash(redis_template(), None)
    assert digest == history.template_hash(dict(reversed(redis_template().items())), None)
    assert digest != history.template_hash(redis_template(), 0)
    assert set(digest) <= set("bcdfghjklmnpqrstvwxz2456789") and 8 <= len(digest) <= 10
