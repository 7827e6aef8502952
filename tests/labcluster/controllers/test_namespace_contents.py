"""What every namespace gets: a service account and the cluster's CA."""

from __future__ import annotations

import pytest

from labcluster.api.resources import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS
from labcluster.controllers.namespaces.root_ca import RootCAController
from labcluster.controllers.namespaces.service_account import ServiceAccountController
from tests.labcluster.control_plane import ControlPlane

CA = "-----BEGIN CERTIFICATE-----"


@pytest.fixture
def plane() -> ControlPlane:
    plane = ControlPlane(ServiceAccountController, lambda registry: RootCAController(registry, CA))
    plane.settle()
    return plane


def test_every_namespace_has_both(plane: ControlPlane) -> None:
    plane.registry.create(NAMESPACES, {"metadata": {"name": "new"}})
    plane.settle()
    for name in ("default", "kube-system", "new"):
        assert plane.registry.find(SERVICE_ACCOUNTS, name, "default") is not None
        assert plane.registry.get(CONFIG_MAPS, name, "kube-root-ca.crt")["data"] == {"ca.crt": CA}


def test_what_is_deleted_or_changed_comes_back(plane: ControlPlane) -> None:
    plane.registry.delete(SERVICE_ACCOUNTS, "default", "default")
    plane.registry.delete(CONFIG_MAPS, "default", "kube-root-ca.crt")
    plane.registry.modify(CONFIG_MAPS, "kube-system", "kube-root-ca.crt", lambda new: new.update(data={}))
    plane.settle()
    assert plane.registry.find(SERVICE_ACCOUNTS, "default", "default") is not None
    for name in ("default", "kube-system"):
        assert plane.registry.get(CONFIG_MAPS, name, "kube-root-ca.crt")["data"] == {"ca.crt": CA}
