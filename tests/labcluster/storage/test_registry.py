"""The rules that hold for objects of every kind."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from labcluster.api.errors import ApiError
from labcluster.api.json_values import clone, sharing
from labcluster.api.objects import JSON
from labcluster.api.resources import CONFIG_MAPS, NAMESPACES, REPLICA_SETS
from labcluster.api.selectors import LabelSelector
from labcluster.storage import store as store_module
from labcluster.storage.registry import Change, DeleteOptions, Registry
from labcluster.storage.store import Store


def config_map(name: str = "settings", **metadata: object) -> JSON:
    return {"metadata": {"name": name, "namespace": "default", **metadata}, "data": {"a": "1"}}


@pytest.fixture
def registry() -> Registry:
    registry = Registry(Store(":memory:"))
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    return registry


def refusal(call: object, *args: object, **kwargs: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    return caught.value


def test_a_created_object_has_uid_time_and_version(registry: Registry) -> None:
    made = registry.create(CONFIG_MAPS, config_map())
    assert made["metadata"]["uid"] and made["metadata"]["creationTimestamp"].endswith("Z")
    assert made["metadata"]["resourceVersion"] == str(registry.revision)
    assert (made["apiVersion"], made["kind"]) == ("v1", "ConfigMap")


def test_a_name_can_be_taken_once(registry: Registry) -> None:
    registry.create(CONFIG_MAPS, config_map())
    error = refusal(registry.create, CONFIG_MAPS, config_map())
    assert (error.code, error.message) == (409, 'configmaps "settings" already exists')


def test_generate_name_appends_five_characters(registry: Registry) -> None:
    made = registry.create(CONFIG_MAPS, {"metadata": {"generateName": "web-", "namespace": "default"}})
    assert made["metadata"]["name"].startswith("web-") and len(made["metadata"]["name"]) == 9


def test_a_namespaced_object_needs_its_namespace(registry: Registry) -> None:
    error = refusal(registry.create, CONFIG_MAPS, {"metadata": {"name": "x", "namespace": "nowhere"}})
    assert (error.code, error.message) == (404, 'namespaces "nowhere" not found')


def test_a_terminating_namespace_takes_nothing_new(registry: Registry) -> None:
    registry.create(NAMESPACES, {"metadata": {"name": "going", "finalizers": ["example.com/hold"]}})
    registry.delete(NAMESPACES, "", "going")
    error = refusal(registry.create, CONFIG_MAPS, config_map(namespace="going"))
    assert error.code == 403
    assert error.message == (
        'configmaps "settings" is forbidden: unable to create new content in namespace going '
        "because it is being terminated"
    )
    assert error.details["causes"][0]["reason"] == "NamespaceTerminating"


def test_an_update_with_an_old_version_conflicts(registry: Registry) -> None:
    first = registry.create(CONFIG_MAPS, config_map())
    registry.modify(CONFIG_MAPS, "default", "settings", lambda o: o["data"].update(a="2"))
    stale = clone(first)
    stale["data"]["a"] = "3"
    error = refusal(registry.update, CONFIG_MAPS, stale)
    assert (error.code, error.reason) == (409, "Conflict")
    assert registry.get(CONFIG_MAPS, "default", "settings")["data"] == {"a": "2"}


def test_an_update_that_changes_nothing_writes_nothing(registry: Registry) -> None:
    made = registry.create(CONFIG_MAPS, config_map())
    before = registry.revision
    assert registry.update(CONFIG_MAPS, clone(made)) is made
    assert registry.revision == before


def test_a_dry_run_changes_nothing(registry: Registry) -> None:
    before = registry.revision
    registry.create(CONFIG_MAPS, config_map(), dry_run=True)
    assert registry.find(CONFIG_MAPS, "default", "settings") is None
    made = registry.create(CONFIG_MAPS, config_map())
    changed = clone(made)
    changed["data"]["a"] = "2"
    registry.update(CONFIG_MAPS, changed, dry_run=True)
    registry.delete(CONFIG_MAPS, "default", "settings", DeleteOptions(dry_run=True))
    assert registry.get(CONFIG_MAPS, "default", "settings") == made
    assert registry.revision == before + 1


def test_finalizers_hold_an_object_until_the_last_is_gone(registry: Registry) -> None:
    registry.create(CONFIG_MAPS, config_map(finalizers=["example.com/hold"]))
    marked = registry.delete(CONFIG_MAPS, "default", "settings")
    assert marked["metadata"]["deletionTimestamp"]
    registry.modify(CONFIG_MAPS, "default", "settings", lambda o: o["metadata"].pop("finalizers"))
    assert registry.find(CONFIG_MAPS, "default", "settings") is None


def test_foreground_and_orphan_deletion_leave_their_finalizer(registry: Registry) -> None:
    for propagation, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        registry.create(CONFIG_MAPS, config_map(propagation.lower()))
        registry.delete(CONFIG_MAPS, "default", propagation.lower(), DeleteOptions(propagation=propagation))
        held = registry.get(CONFIG_MAPS, "default", propagation.lower())
        assert held["metadata"]["finalizers"] == [finalizer]


def test_preconditions_of_a_delete_are_checked(registry: Registry) -> None:
    registry.create(CONFIG_MAPS, config_map())
    error = refusal(registry.delete, CONFIG_MAPS, "default", "settings", DeleteOptions(uid="another"))
    assert error.code == 409 and "UID in precondition: another" in error.message


def test_dependents_are_found_by_the_owner_s_uid(registry: Registry) -> None:
    owner = registry.create(CONFIG_MAPS, config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    owned = registry.create(CONFIG_MAPS, config_map("owned", ownerReferences=[reference]))
    assert registry.dependents(owner["metadata"]["uid"]) == [(CONFIG_MAPS, owned)]
    registry.modify(CONFIG_MAPS, "default", "owned", lambda o: o["metadata"].pop("ownerReferences"))
    assert registry.dependents(owner["metadata"]["uid"]) == []


def test_subscribers_see_what_exists_and_then_each_write(registry: Registry) -> None:
    registry.create(CONFIG_MAPS, config_map("first"))
    seen: list[Change] = []
    cancel = registry.subscribe(CONFIG_MAPS, seen.append)
    registry.create(CONFIG_MAPS, config_map("second"))
    registry.modify(CONFIG_MAPS, "default", "second", lambda o: o["data"].update(a="2"))
    registry.delete(CONFIG_MAPS, "default", "second")
    cancel()
    registry.delete(CONFIG_MAPS, "default", "first")
    names = [(c.type, c.object["metadata"]["name"]) for c in seen]
    assert names == [("ADDED", "first"), ("ADDED", "second"), ("MODIFIED", "second"), ("DELETED", "second")]
    assert int(seen[-1].object["metadata"]["resourceVersion"]) == seen[-1].revision


def test_a_list_can_be_read_as_of_an_earlier_revision(registry: Registry) -> None:
    registry.create(CONFIG_MAPS, config_map("a"))
    then = registry.revision
    registry.modify(CONFIG_MAPS, "default", "a", lambda o: o["data"].update(a="2"))
    registry.create(CONFIG_MAPS, config_map("b"))
    found = registry.list_at(CONFIG_MAPS, "default", then)
    assert [(o["metadata"]["name"], o["data"]) for o in found] == [("a", {"a": "1"})]


def test_a_new_state_shares_with_the_one_before_what_did_not_change(registry: Registry) -> None:
    before = registry.create(CONFIG_MAPS, config_map(labels={"app": "a", "tier": "b"}))
    snapshot = clone(before)
    after = registry.modify(CONFIG_MAPS, "default", "settings", lambda o: o["metadata"].update(annotations={"x": "1"}))
    assert after["metadata"]["labels"] is before["metadata"]["labels"]
    assert after["metadata"]["annotations"] == {"x": "1"}
    assert before == snapshot, "the state before is as it was"


@pytest.mark.parametrize(
    "old, new",
    [
        ({"a": [1, {"b": 2}], "c": {}}, {"a": [1, {"b": 2}], "c": {}}),
        ({"a": [1, 2, 3]}, {"a": [1, 3]}),
        ({"a": [1]}, {"a": [1, {"b": None}]}),
        ({"a": 1, "b": 0}, {"a": True, "b": 0.0}),
        ({"a": {"b": 1}}, {"a": ["b"]}),
        ([], [1]),
        ({"a": 1, "b": 2}, {"b": 2}),
    ],
)
def test_what_is_shared_keeps_its_value_and_type(old: object, new: object) -> None:
    wanted, before = repr(new), repr(old)
    assert repr(sharing(new, old)) == wanted
    assert repr(old) == before


def test_the_future_and_the_forgotten_past_are_refused(registry: Registry) -> None:
    assert refusal(registry.changes_since, registry.revision + 1).reason == "Timeout"
    for number in range(5002):
        registry.modify(NAMESPACES, "", "default", lambda o, n=number: o["metadata"].update(annotations={"n": str(n)}))
    assert refusal(registry.changes_since, 1).reason == "Expired"
    assert registry.changes_since(registry.revision - 10)[0].revision == registry.revision - 9


def test_generation_follows_the_spec_only(registry: Registry) -> None:
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "nginx"}]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    made = registry.create(REPLICA_SETS, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
    assert made["metadata"]["generation"] == 1
    relabelled = registry.modify(
        REPLICA_SETS, "default", "web", lambda o: o["metadata"].setdefault("labels", {}).update(x="y")
    )
    assert relabelled["metadata"]["generation"] == 1
    counted = registry.modify(
        REPLICA_SETS, "default", "web", lambda o: o["status"].update(replicas=1), subresource="status"
    )
    assert (counted["metadata"]["generation"], counted["status"]["replicas"]) == (1, 1)
    scaled = registry.modify(REPLICA_SETS, "default", "web", lambda o: o["spec"].update(replicas=2))
    assert scaled["metadata"]["generation"] == 2
    kept = registry.modify(REPLICA_SETS, "default", "web", lambda o: o["status"].update(replicas=7))
    assert kept["status"]["replicas"] == 1, "an update of the object must not touch its status"


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Registry(Store(tmp_path / "store.db"))
    first.create(NAMESPACES, {"metadata": {"name": "default"}})
    kept = first.create(CONFIG_MAPS, config_map("kept"))
    first.create(CONFIG_MAPS, config_map("gone"))
    first.delete(CONFIG_MAPS, "default", "gone")
    second = Registry(Store(tmp_path / "store.db"))
    assert second.list(CONFIG_MAPS) == [kept]
    assert second.revision == first.revision
    assert int(second.create(CONFIG_MAPS, config_map("new"))["metadata"]["resourceVersion"]) == first.revision + 1


def test_compaction_keeps_the_newest_state(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    registry = Registry(store)
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    registry.create(CONFIG_MAPS, config_map("kept"))
    registry.create(CONFIG_MAPS, config_map("gone"))
    registry.delete(CONFIG_MAPS, "default", "gone")
    for number in range(5):
        registry.modify(CONFIG_MAPS, "default", "kept", lambda o, n=number: o["data"].update(a=str(n)))
    store.compact(registry.revision)
    again = Registry(Store(tmp_path / "store.db"))
    assert [o["data"]["a"] for o in again.list(CONFIG_MAPS)] == ["4"]
    assert len(store.rows()) == 2


def test_a_start_drops_what_only_a_watch_would_have_needed(tmp_path: Path) -> None:
    registry = Registry(Store(tmp_path / "store.db"))
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    registry.create(CONFIG_MAPS, config_map())
    for number in range(5):
        registry.modify(CONFIG_MAPS, "default", "settings", lambda o, n=number: o["data"].update(a=str(n)))
    store = Store(tmp_path / "store.db")
    assert len(store.rows()) == 2
    assert Registry(store).revision == registry.revision


def test_a_write_stands_when_there_is_no_room_for_the_compaction_after_it(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(before: int) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store_module, "HISTORY", 1)
    monkeypatch.setattr(registry._store, "compact", full)
    for name in ("one", "two"):
        registry.create(CONFIG_MAPS, config_map(name))
    assert [o["metadata"]["name"] for o in registry.list(CONFIG_MAPS)] == ["one", "two"]


def test_a_full_disk_is_said_and_changes_nothing(registry: Registry) -> None:
    registry._store._db.execute(
        f"PRAGMA max_page_count={registry._store._db.execute('PRAGMA page_count').fetchone()[0]}"
    )
    error = None
    for number in range(200):
        before = registry.revision
        try:
            registry.create(CONFIG_MAPS, config_map(f"big-{number}") | {"data": {"a": "x" * 4000}})
        except ApiError as caught:
            error = caught
            break
    assert error is not None and error.code == 500
    assert "free some disk space" in error.message
    assert registry.revision == before and registry.find(CONFIG_MAPS, "default", f"big-{number}") is None


@pytest.mark.parametrize(
    ("text", "labels", "holds"),
    [
        ("a=b", {"a": "b"}, True),
        ("a==b,c!=d", {"a": "b"}, True),
        ("a in (x, y)", {"a": "y"}, True),
        ("a notin (x,y)", {}, True),
        ("a", {}, False),
        ("!a", {}, True),
        ("n > 3", {"n": "4"}, True),
        ("app.kubernetes.io/name=web,!x", {"app.kubernetes.io/name": "web", "x": ""}, False),
        ("", {"a": "b"}, True),
    ],
)
def test_label_selectors(text: str, labels: dict[str, str], holds: bool) -> None:
    assert LabelSelector.parse(text).matches(labels) is holds


@pytest.mark.parametrize("text", ["a=b=c", "a in b", "=x", "a,,b", "(a)"])
def test_broken_label_selectors_are_refused(text: str) -> None:
    assert refusal(LabelSelector.parse, text).code == 400


def test_a_subscriber_that_fails_neither_fails_the_write_nor_keeps_it_from_others(registry: Registry) -> None:
    seen: list[Change] = []

    def failing(change: Change) -> None:
        raise OSError("disk full")

    registry.follow(CONFIG_MAPS, failing)
    registry.follow(CONFIG_MAPS, seen.append)
    made = registry.create(CONFIG_MAPS, config_map())
    assert registry.get(CONFIG_MAPS, "default", "settings") == made
    assert [change.type for change in seen] == ["ADDED"]
