"""Field sets, and the walks over typed objects that server-side apply is made of."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON
from labcluster.api.resources import CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICES
from labcluster.schema.managedfields import sets, values
from labcluster.schema.managedfields.apply import apply
from labcluster.schema.managedfields.managers import Manager, Managers, after_update, decode, encode, root

KIND = root(DEPLOYMENTS)
ME = Manager("me", "Apply", "apps/v1")
YOU = Manager("you", "Apply", "apps/v1")
EDITOR = Manager("editor", "Update", "apps/v1")


def deployment(replicas: int | None = None, *containers: JSON, **labels: str) -> JSON:
    spec: JSON = {} if replicas is None else {"replicas": replicas}
    if containers:
        spec["template"] = {"spec": {"containers": list(containers)}}
    metadata: JSON = {"name": "web", **({"labels": labels} if labels else {})}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def container(name: str, image: str = "nginx", **more: Any) -> JSON:
    return {"name": name, "image": image, **more}


def run(live: JSON | None, config: JSON, known: Managers, who: Manager = ME, **options: Any) -> tuple[JSON, Managers]:
    return apply(live, config, known, who, DEPLOYMENTS, force=options.get("force", False))


def texts(managers: Managers, who: Manager) -> list[str]:
    return sorted(sets.text(path) for path in managers[who].fields)


def test_an_applied_set_has_leaves_items_and_map_entries() -> None:
    ports = [{"containerPort": 80}]
    config = deployment(1, container("a", ports=ports, args=["x"]), app="web")
    assert sets.encode(values.field_set(config, KIND)) == {
        "f:apiVersion": {},
        "f:kind": {},
        "f:metadata": {"f:labels": {"f:app": {}}, "f:name": {}},
        "f:spec": {
            "f:replicas": {},
            "f:template": {
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"a"}': {
                            ".": {},
                            "f:args": {},
                            "f:image": {},
                            "f:name": {},
                            "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
                        }
                    }
                }
            },
        },
    }


def test_what_an_update_owns_says_which_maps_it_made() -> None:
    managers = after_update({}, {}, deployment(1, container("a", resources={}), app="web"), EDITOR, DEPLOYMENTS)
    (entry,) = encode(managers)
    assert entry["fieldsV1"]["f:metadata"] == {"f:labels": {".": {}, "f:app": {}}}
    item = entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert item == {'k:{"name":"a"}': {".": {}, "f:image": {}, "f:name": {}, "f:resources": {}}}
    assert {k: v for k, v in entry.items() if k not in ("fieldsV1", "time")} == {
        "manager": "editor",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
    }


def test_what_the_schema_calls_atomic_is_one_leaf() -> None:
    spec = {"selector": {"a": "b"}, "ports": [{"port": 80, "protocol": "TCP"}]}
    found = {sets.text(path) for path in values.field_set({"spec": spec}, root(SERVICES))}
    assert ".spec.selector" in found and '.spec.ports[port=80,protocol="TCP"].port' in found
    pod = {"metadata": {"finalizers": ["a/b"]}, "spec": {"nodeSelector": {"x": "y"}, "tolerations": [{}]}}
    found = {sets.text(path) for path in values.field_set(pod, root(PODS))}
    assert found == {'.metadata.finalizers[="a/b"]', ".spec.nodeSelector", ".spec.tolerations"}


def test_field_sets_survive_their_written_form() -> None:
    paths = values.field_set(deployment(1, container("a"), container("b"), app="web"), KIND)
    assert sets.decode(sets.encode(paths)) == paths


@pytest.mark.parametrize("malformed", [{"x:spec": {}}, {"f:spec": 1}, {"k:{": {}}])
def test_malformed_fields_are_refused(malformed: JSON) -> None:
    with pytest.raises(ValueError):
        sets.decode(malformed)


def test_two_managers_may_set_one_field_to_the_same_value() -> None:
    live, managers = run(None, deployment(3), {})
    live, managers = run(live, deployment(3), managers, YOU)
    assert texts(managers, ME) == texts(managers, YOU) == [".spec.replicas"]


def test_another_value_is_a_conflict_that_names_managers_and_fields() -> None:
    live, managers = run(None, deployment(3, container("a", "x")), {})
    with pytest.raises(ApiError) as refused:
        run(live, deployment(4), managers, YOU)
    assert refused.value.code == 409
    assert refused.value.message == 'Apply failed with 1 conflict: conflict with "me": .spec.replicas'
    assert refused.value.details["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "me"', "field": ".spec.replicas"}
    ]
    with pytest.raises(ApiError) as refused:
        run(live, deployment(4, container("a", "y")), managers, YOU)
    image = '.spec.template.spec.containers[name="a"].image'
    assert refused.value.message == f'Apply failed with 2 conflicts: conflicts with "me":\n- .spec.replicas\n- {image}'


def test_force_takes_the_field_over() -> None:
    live, managers = run(None, deployment(3, app="web"), {})
    live, managers = run(live, deployment(4), managers, YOU, force=True)
    assert live["spec"]["replicas"] == 4
    assert texts(managers, ME) == [".metadata.labels.app"]
    assert texts(managers, YOU) == [".spec.replicas"]


def test_updates_conflict_too_and_say_so_with_their_version() -> None:
    live = deployment(3)
    managers = after_update({}, {}, live, EDITOR, DEPLOYMENTS)
    with pytest.raises(ApiError, match=r'conflict with "editor" using apps/v1: \.spec\.replicas'):
        run(live, deployment(4), managers)


def test_an_update_takes_fields_from_those_who_applied_them() -> None:
    live, managers = run(None, deployment(3, app="web"), {})
    changed = deployment(5, app="web")
    managers = after_update(managers, live, changed, EDITOR, DEPLOYMENTS)
    assert texts(managers, EDITOR) == [".spec.replicas"]
    assert texts(managers, ME) == [".metadata.labels.app"]


def test_what_is_no_longer_applied_goes() -> None:
    live, managers = run(None, deployment(3, container("a"), container("b"), app="web", tier="x"), {})
    live["spec"]["template"]["spec"]["containers"][1]["imagePullPolicy"] = "Always"  # a default, nobody's
    live, managers = run(live, deployment(3, container("a"), app="web"), managers)
    assert live["metadata"]["labels"] == {"app": "web"}
    assert [c["name"] for c in live["spec"]["template"]["spec"]["containers"]] == ["a"]


def test_what_another_manager_applies_too_stays() -> None:
    live, managers = run(None, deployment(3, container("a"), app="web"), {})
    live, managers = run(live, deployment(None, container("a"), app="web"), managers, YOU)
    live, managers = run(live, deployment(3), managers)
    assert live["metadata"]["labels"] == {"app": "web"}
    assert live["spec"]["template"]["spec"]["containers"] == [container("a")]
    live, managers = run(live, deployment(), managers, YOU)
    assert "labels" not in live["metadata"]
    assert "template" not in live["spec"]


def test_items_are_merged_by_their_keys() -> None:
    live, managers = run(None, deployment(1, container("a"), container("b")), {})
    live, managers = run(live, deployment(None, container("c"), {"name": "b", "workingDir": "/"}), managers, YOU)
    found = live["spec"]["template"]["spec"]["containers"]
    assert found == [container("a"), container("c"), {**container("b"), "workingDir": "/"}]


def test_members_of_a_set_are_owned_one_by_one() -> None:
    kind = root(CONFIG_MAPS)
    mine = {"metadata": {"finalizers": ["a/a"]}}
    yours = {"metadata": {"finalizers": ["b/b"]}}
    merged = values.merge(mine, yours, kind)
    assert merged["metadata"]["finalizers"] == ["a/a", "b/b"]
    left = values.remove(merged, values.field_set(mine, kind), kind)
    assert left == yours


def test_an_empty_struct_that_is_applied_stays_when_its_fields_go() -> None:
    def with_volume(**source: Any) -> JSON:
        spec = {"template": {"spec": {"volumes": [{"name": "v", "emptyDir": source}]}}}
        return {**deployment(), "spec": spec}

    live, managers = run(None, with_volume(sizeLimit="1Gi"), {})
    live, managers = run(live, with_volume(), managers)
    assert live["spec"] == with_volume()["spec"]


def test_one_who_applies_nothing_is_remembered() -> None:
    nothing = {"metadata": {"name": "web"}}
    live, managers = run(None, nothing, {})
    assert managers[ME].fields == frozenset()
    assert run(live, nothing, decode(encode(managers))) == (live, managers)


def test_an_object_nobody_managed_belongs_to_before_first_apply() -> None:
    live = deployment(3)
    with pytest.raises(ApiError, match=r'conflict with "before-first-apply" using apps/v1: \.spec\.replicas'):
        run(live, deployment(4), {})
    live, managers = run(live, deployment(3), {})
    assert sorted(m.name for m in managers) == ["before-first-apply", "me"]


def test_applying_the_same_again_changes_nothing() -> None:
    config = deployment(3, container("a"), app="web")
    live, managers = run(None, config, {})
    again, same = run(live, config, managers)
    assert again == live
    assert encode(decode(encode(same))) == encode(managers)


def test_of_many_updaters_the_oldest_are_put_together() -> None:
    managers: Managers = {}
    live: JSON = deployment()
    for number in range(14):
        new = {**live, "metadata": {"name": "web", "labels": {f"l{n}": "x" for n in range(number + 1)}}}
        managers = after_update(managers, live, new, Manager(f"m{number:02}", "Update", "apps/v1"), DEPLOYMENTS)
        live = new
    assert len(managers) == 10
    assert Manager("ancient-changes", "Update", "apps/v1") in managers
    owned = {path for managed in managers.values() for path in managed.fields}
    assert {("f:metadata", "f:labels", f"f:l{n}") for n in range(14)} <= owned
