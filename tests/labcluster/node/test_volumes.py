"""Volumes: what they contain, how they change, what is refused."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from labcluster.api.objects import JSON, uid_of
from labcluster.api.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, SECRETS
from labcluster.node.pods.environment import ConfigError, Placement
from labcluster.node.pods.projected_files import VolumeError
from labcluster.node.pods.volumes import PodVolumes, delete_directory, uses
from labcluster.storage.registry import Registry
from tests.labcluster.node_cluster import container, new_registry, pod_object

HERE = Placement("lab-worker", "172.18.0.3", "10.244.1.7", {})


@pytest.fixture
def registry() -> Registry:
    registry = new_registry()
    registry.create(CONFIG_MAPS, {"metadata": {"name": "cm", "namespace": "default"}, "data": {"a": "1", "b": "2"}})
    secret = {"metadata": {"name": "s", "namespace": "default"}, "data": {"p": base64.b64encode(b"pw").decode()}}
    registry.create(SECRETS, secret)
    return registry


class Mounted:
    """A pod with one volume, mounted at /data."""

    def __init__(self, registry: Registry, directory: Path, volume: JSON, **mount: Any) -> None:
        self.container = container(volumeMounts=[{"name": "v", "mountPath": "/data", **mount}])
        self.pod = pod_object(containers=[self.container], volumes=[{"name": "v", **volume}])
        self.pod["metadata"] |= {"uid": "u", "labels": {"app": "web"}}
        self.volumes = PodVolumes(registry, directory / "rootfs", directory / "pod", lambda *_: "the-token")

    def set_up(self) -> Path:
        self.volumes.set_up(self.pod, HERE)
        return self.volumes.mounts(self.container, {})[0].source

    def refusal(self) -> str:
        with pytest.raises(VolumeError) as caught:
            self.set_up()
        return str(caught.value)


def test_a_config_map_shows_its_keys_and_is_read_only(registry: Registry, tmp_path: Path) -> None:
    mounted = Mounted(registry, tmp_path, {"configMap": {"name": "cm", "defaultMode": 0o400}})
    path = mounted.set_up()
    assert {p.name: p.read_text() for p in path.iterdir() if not p.name.startswith("..")} == {"a": "1", "b": "2"}
    assert (path / "a").stat().st_mode & 0o777 == 0o400
    assert mounted.volumes.mounts(mounted.container, {})[0].read_only


def test_a_changed_config_map_is_swapped_in_one_step(registry: Registry, tmp_path: Path) -> None:
    mounted = Mounted(registry, tmp_path, {"configMap": {"name": "cm"}})
    path = mounted.set_up()
    before = os.readlink(path / "..data")
    mounted.volumes.refresh(mounted.pod, HERE)
    assert os.readlink(path / "..data") == before  # nothing changed, nothing swapped
    registry.modify(CONFIG_MAPS, "default", "cm", lambda o: o.update(data={"a": "9", "c": "3"}))
    mounted.volumes.refresh(mounted.pod, HERE)
    assert os.readlink(path / "..data") != before
    assert {p.name for p in path.iterdir() if not p.name.startswith("..")} == {"a", "c"}
    assert (path / "a").read_text() == "9"
    assert not (path / before).exists()


def test_items_choose_keys_and_paths(registry: Registry, tmp_path: Path) -> None:
    items = [{"key": "a", "path": "deep/er/x"}]
    path = Mounted(registry, tmp_path, {"configMap": {"name": "cm", "items": items}}).set_up()
    assert (path / "deep/er/x").read_text() == "1" and not (path / "b").exists()


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"secret": {"secretName": "no"}}, 'secret "no" not found'),
        (
            {"configMap": {"name": "cm", "items": [{"key": "z", "path": "z"}]}},
            "references non-existent config key: z",
        ),
        ({"persistentVolumeClaim": {"claimName": "no"}}, 'persistentvolumeclaim "no" not found'),
        ({"nfs": {"server": "x", "path": "/"}}, "the embedded cluster does not serve volumes of type nfs"),
        ({"hostPath": {"path": "/no", "type": "Directory"}}, "hostPath type check failed: /no is not a directory"),
    ],
)
def test_what_is_not_there_is_named(registry: Registry, tmp_path: Path, volume: JSON, text: str) -> None:
    assert Mounted(registry, tmp_path, volume).refusal() == f'MountVolume.SetUp failed for volume "v" : {text}'


def test_an_optional_secret_may_be_missing(registry: Registry, tmp_path: Path) -> None:
    path = Mounted(registry, tmp_path, {"secret": {"secretName": "no", "optional": True}}).set_up()
    assert [p.name for p in path.iterdir() if not p.name.startswith("..")] == []


def test_a_projected_volume_has_token_certificate_and_namespace(registry: Registry, tmp_path: Path) -> None:
    namespace = {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "cm", "items": [{"key": "a", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    mounted = Mounted(registry, tmp_path, {"projected": {"sources": sources}})
    path = mounted.set_up()
    found = {p.name: p.read_text() for p in path.iterdir() if not p.name.startswith("..")}
    assert found == {"token": "the-token", "ca.crt": "1", "namespace": "default"}
    renewal = mounted.volumes.seconds_to_renewal()
    assert renewal is not None and 2800 < renewal < 2886


def test_empty_dir_keeps_its_content(registry: Registry, tmp_path: Path) -> None:
    mounted = Mounted(registry, tmp_path, {"emptyDir": {}})
    (mounted.set_up() / "x").write_text("kept")
    assert (mounted.set_up() / "x").read_text() == "kept"


def test_host_paths_lie_in_the_nodes_own_root(registry: Registry, tmp_path: Path) -> None:
    path = Mounted(registry, tmp_path, {"hostPath": {"path": "/../../etc", "type": "DirectoryOrCreate"}}).set_up()
    assert path == tmp_path / "rootfs/etc"


@pytest.mark.parametrize("link", ["/", "../../../.."])
def test_a_link_leads_where_it_leads_on_the_node_never_out_of_it(registry: Registry, tmp_path: Path, link: str) -> None:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs/out").symlink_to(link)
    mounted = Mounted(registry, tmp_path, {"hostPath": {"path": "/out/etc", "type": "DirectoryOrCreate"}})
    assert mounted.set_up() == tmp_path / "rootfs/etc"
    assert (tmp_path / "rootfs/etc").is_dir()


def test_links_that_lead_in_a_circle_are_refused(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs/round").symlink_to("/round")
    text = Mounted(registry, tmp_path, {"hostPath": {"path": "/round"}}).refusal()
    assert "Too many levels of symbolic links" in text


def test_a_link_put_in_a_volumes_place_does_not_lead_a_restarted_container_out(
    registry: Registry, tmp_path: Path
) -> None:
    mounted = Mounted(registry, tmp_path, {"hostPath": {"path": "/data"}})
    mounted.set_up().rmdir()
    (tmp_path / "rootfs/data").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match='failed to find volume "v": No such file or directory'):
        mounted.volumes.mounts(mounted.container, {})


@pytest.mark.parametrize("kind", ["DirectoryOrCreate", "FileOrCreate"])
def test_what_a_host_path_makes_is_made_on_the_node(registry: Registry, tmp_path: Path, kind: str) -> None:
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "rootfs/out").symlink_to("../outside")
    made = Mounted(registry, tmp_path, {"hostPath": {"path": "/out/deep/new", "type": kind}}).set_up()
    assert made == tmp_path / "rootfs/outside/deep/new"
    assert made.is_dir() == (kind == "DirectoryOrCreate")
    assert list((tmp_path / "outside").iterdir()) == []


def test_erasing_a_volume_follows_no_link_out_of_the_node(tmp_path: Path) -> None:
    (tmp_path / "rootfs/var").mkdir(parents=True)
    (tmp_path / "kept/pv").mkdir(parents=True)
    (tmp_path / "rootfs/var/data").symlink_to(tmp_path / "kept")
    (tmp_path / "rootfs/var/pv").symlink_to(tmp_path / "kept/pv")
    for path in ("/var/data/pv", "/var/pv", "/var/none", "/"):
        delete_directory(tmp_path / "rootfs", path)
    assert (tmp_path / "kept/pv").is_dir()


@pytest.mark.parametrize("link", ["/", "../..", "good/../../x"])
def test_sub_paths_are_made_and_stay_inside(registry: Registry, tmp_path: Path, link: str) -> None:
    mounted = Mounted(registry, tmp_path, {"emptyDir": {}}, subPath="good/b")
    assert mounted.set_up().is_dir()
    (tmp_path / "pod/volumes/kubernetes.io~empty-dir/v/evil").symlink_to(link)
    escape = container(volumeMounts=[{"name": "v", "mountPath": "/data", "subPath": "evil"}])
    with pytest.raises(ConfigError, match="leads out of the volume"):
        mounted.volumes.mounts(escape, {})


def bound_claim(registry: Registry, **spec: Any) -> None:
    claim = {
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "volumeName": "pv",
            "storageClassName": "",
        },
    }
    made = registry.create(PERSISTENT_VOLUME_CLAIMS, claim)
    volume = {
        "metadata": {"name": "pv"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "default", "name": "data", "uid": uid_of(made)},
            **spec,
        },
    }
    registry.create(PERSISTENT_VOLUMES, volume)


def test_a_claim_is_the_directory_of_its_bound_volume(registry: Registry, tmp_path: Path) -> None:
    bound_claim(registry, hostPath={"path": "/var/data/pv", "type": "DirectoryOrCreate"})
    mounted = Mounted(registry, tmp_path, {"persistentVolumeClaim": {"claimName": "data"}})
    assert mounted.refusal().endswith("PVC default/data is not bound")
    bind = {"phase": "Bound"}
    registry.modify(PERSISTENT_VOLUME_CLAIMS, "default", "data", lambda o: o.update(status=bind), subresource="status")
    assert mounted.set_up() == tmp_path / "rootfs/var/data/pv"


def test_uses_finds_references_in_volumes_and_variables() -> None:
    pod = pod_object(
        containers=[container(envFrom=[{"secretRef": {"name": "s"}}])],
        volumes=[{"name": "v", "projected": {"sources": [{"configMap": {"name": "cm"}}]}}],
    )
    assert uses(pod, CONFIG_MAPS, "cm") and uses(pod, SECRETS, "s")
    assert not uses(pod, SECRETS, "cm") and not uses(pod, PERSISTENT_VOLUME_CLAIMS, "s")
