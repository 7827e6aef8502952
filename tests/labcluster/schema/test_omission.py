"""What says nothing is left out, and what says "none" stays."""

from __future__ import annotations

from typing import Any

from labcluster.api.resources import ENDPOINT_SLICES, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS, Resource
from labcluster.schema import schemas


def kept(resource: Resource, **parts: Any) -> Any:
    return schemas.without_empty({"apiVersion": resource.api_version, "kind": resource.kind, **parts}, resource)


def test_lists_and_maps_without_content_and_zeros_of_values_are_left_out() -> None:
    container = {"name": "main", "args": [], "tty": False, "env": [{"name": "A", "value": ""}], "resources": {}}
    spec = {"containers": [container], "volumes": [], "nodeSelector": {}, "hostNetwork": False, "hostname": ""}
    found = kept(PODS, metadata={"name": "one", "labels": {}}, spec=spec)
    assert found["metadata"] == {"name": "one"}
    assert found["spec"] == {"containers": [{"name": "main", "env": [{"name": "A"}], "resources": {}}]}


def test_zeros_behind_pointers_and_empty_objects_stay() -> None:
    spec = {"replicas": 0, "updateStrategy": {"rollingUpdate": {"partition": 0}}, "minReadySeconds": 0, "template": {}}
    assert kept(STATEFUL_SETS, spec=spec)["spec"] == {k: v for k, v in spec.items() if k != "minReadySeconds"}
    spec = {"storageClassName": "", "volumeName": ""}
    assert kept(PERSISTENT_VOLUME_CLAIMS, spec=spec)["spec"] == {"storageClassName": ""}
    volumes = [{"name": "scratch", "emptyDir": {}}]
    spec = {"containers": [], "volumes": volumes, "terminationGracePeriodSeconds": 0, "enableServiceLinks": False}
    assert kept(PODS, spec=spec)["spec"] == spec


def test_lists_that_upstream_writes_without_content_stay() -> None:
    assert kept(ENDPOINT_SLICES, endpoints=[], ports=[])["endpoints"] == []
    assert kept(ENDPOINT_SLICES, endpoints=[], ports=[])["ports"] == []
