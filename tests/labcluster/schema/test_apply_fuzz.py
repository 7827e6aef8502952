"""Server-side apply of random configurations ends in an object or a conflict; done again, it changes nothing."""

from __future__ import annotations

import random

import pytest

from labcluster.api.errors import ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.api.resources import RESOURCES, Resource
from labcluster.schema.managedfields.apply import apply
from labcluster.schema.managedfields.managers import Manager, Managers, after_update, decode, encode
from labcluster.schema.schemas import decode as decode_object
from tests.labcluster.kinds.test_kinds_fuzz import random_object

ROUNDS = 40
UNTRACKED = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation", "selfLink")


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r.plural)
def test_random_configurations_apply_and_apply_again(resource: Resource) -> None:
    chance = random.Random(resource.plural)
    managers = [Manager(name, "Apply", resource.api_version) for name in ("a", "b")]
    editor = Manager("editor", "Update", resource.api_version)
    live: JSON | None = None
    known: Managers = {}
    for number in range(ROUNDS):
        config = decode_object(random_object(resource, chance), resource, "Ignore")[0]
        config["metadata"] = {k: v for k, v in config["metadata"].items() if k not in UNTRACKED}
        config["metadata"].pop("managedFields", None)
        config["metadata"]["name"] = "x"
        if live is not None and number % 5 == 0:
            known = after_update(known, live, {**live, **config}, editor, resource)
            live = {**live, **clone(config)}
            continue
        who = chance.choice(managers)
        before = clone(config)
        try:
            live, known = apply(live, config, known, who, resource, force=False)
        except ApiError as error:
            assert error.code == 409
            live, known = apply(live, config, known, who, resource, force=True)
        assert config == before, "the configuration was changed"
        assert decode(encode(known)) == known
        again, same = apply(live, config, known, who, resource, force=False)
        assert (again, same) == (live, known)
