"""A learner's prefix, and the copy of the current context."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest

from labsupport.backends.contract import CommandError
from labsupport.backends.current import context


@pytest.mark.parametrize("wanted", ["Ann", "ann_b", "-ann", "ann-", "1ann", "a" * 31, "kube", "default"])
def test_a_prefix_has_to_be_able_to_begin_a_namespaces_name(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setenv("LAB_PREFIX", wanted)
    with pytest.raises(CommandError, match="LAB_PREFIX=ann"):
        context.learner_prefix()


@pytest.mark.parametrize(("user", "prefix"), [("Ann.Lee", "ann-lee"), ("42bob", "bob"), ("ö", "learner")])
def test_without_one_the_users_name_is_taken(monkeypatch: pytest.MonkeyPatch, user: str, prefix: str) -> None:
    monkeypatch.delenv("LAB_PREFIX", raising=False)
    monkeypatch.setattr(getpass, "getuser", lambda: user)
    assert context.learner_prefix() == prefix


def test_a_users_name_that_many_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_PREFIX", raising=False)
    monkeypatch.setattr(getpass, "getuser", lambda: "root")
    with pytest.raises(CommandError, match="no name of yours alone"):
        context.learner_prefix()


def test_no_current_context_is_said_with_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(CommandError, match="use-context"):
        context.read_current()


def test_the_context_is_copied_with_its_keys_and_without_its_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.crt").write_text("the authority")
    context_of = {"cluster": "one", "user": "me", "namespace": "elsewhere"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [
            {"name": "one", "cluster": {"server": "https://one.example", "certificate-authority": "ca.crt"}},
            {"name": "two", "cluster": {"server": "https://two.example"}},
        ],
        "users": [{"name": "me", "user": {"token": "secret"}}],
        "contexts": [{"name": "here", "context": context_of}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    found = context.read_current()
    (cluster,) = found["clusters"]
    assert cluster["cluster"]["certificate-authority-data"] == "dGhlIGF1dGhvcml0eQ=="
    assert found["users"][0]["user"]["token"] == "secret"
    assert found["contexts"][0]["context"] == {"cluster": "one", "user": "me"}
