"""The volumes of a pod on its node: directories that are set up, kept up to date, and bind-mounted into containers.

A volume is a directory of the node (or a file, for hostPath), under the path that the kubelet gives it
(`pods/<uid>/volumes/<plugin>/<name>`). Nothing is mounted here: that is for bubblewrap. Paths of the
node (hostPath, the data behind local PersistentVolumes) lie below a directory of the lab that stands for
the node's root, never in the real file system.

fsGroup and supplementalGroups are accepted and do nothing: one uid and gid are mapped, and own all files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from labcluster.api.objects import JSON, is_terminating, name_of, namespace_of, uid_of
from labcluster.api.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, SECRETS, Resource
from labcluster.node.containers.confined_paths import open_confined, open_without_links, opened, path_of
from labcluster.node.pods.environment import ConfigError, Placement, expand
from labcluster.node.pods.projected_files import Projector, TokenSource, VolumeError, write_atomically
from labcluster.node.spec import Mount
from labcluster.storage.registry import Registry

_OBJECT_BACKED = ("configMap", "secret", "downwardAPI", "projected")
_PLUGINS = {
    "emptyDir": "kubernetes.io~empty-dir",
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "downwardAPI": "kubernetes.io~downward-api",
    "projected": "kubernetes.io~projected",
}
_CHECKS = {"Directory": stat.S_ISDIR, "File": stat.S_ISREG, "Socket": stat.S_ISSOCK}
_NOUNS = {"Directory": "a directory", "File": "a file", "Socket": "a socket file"}
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"


class PodVolumes:
    """The volumes of one pod. `root` stands for the node's file system, `directory` is the pod's own."""

    def __init__(self, registry: Registry, root: Path, directory: Path, tokens: TokenSource | None) -> None:
        self._registry = registry
        self._root = root
        self._directory = directory / "volumes"
        self._projector = Projector(registry, tokens)
        self._paths: dict[str, Path] = {}
        self._read_only: set[str] = set()  # volumes that no container may write: those made from objects

    def set_up(self, pod: JSON, placement: Placement) -> None:
        """Make every volume ready; safe to repeat. Raises VolumeError naming the first that is not ready."""
        for volume in pod["spec"].get("volumes") or ():
            try:
                self._paths[volume["name"]] = self._set_up(pod, volume, placement)
                if _source_of(volume) in _OBJECT_BACKED or _claims_read_only(volume):
                    self._read_only.add(volume["name"])
            except VolumeError as error:
                raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error
            except OSError as error:
                text = f"{error.strerror}: {error.filename}"
                raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {text}') from error

    def refresh(self, pod: JSON, placement: Placement) -> None:
        """Bring the object-backed volumes up to date; a volume whose object is gone keeps what it shows."""
        for volume in pod["spec"].get("volumes") or ():
            if volume["name"] in self._paths and _source_of(volume) in _OBJECT_BACKED:
                try:
                    self._set_up(pod, volume, placement)
                except VolumeError:
                    continue

    def seconds_to_renewal(self) -> float | None:
        """Seconds until refresh must be called to renew a token; None when there is none."""
        return self._projector.seconds_to_renewal()

    def mounts(self, container: JSON, env: Mapping[str, str]) -> list[Mount]:
        """The mounts of a container. Raises ConfigError for a volume or a subPath that leads outside."""
        mounts = []
        for mount in container.get("volumeMounts") or ():
            path = self._resolved_path(mount["name"])
            sub_path = mount.get("subPath") or ""
            if mount.get("subPathExpr"):
                sub_path = expand(mount["subPathExpr"], env.get)
            if sub_path:
                path = _sub_path(path, sub_path, mount["name"])
            read_only = bool(mount.get("readOnly")) or mount["name"] in self._read_only
            mounts.append(Mount(path, mount["mountPath"], read_only))
        return mounts

    def _resolved_path(self, name: str) -> Path:
        """The volume's path without links. It is resolved for every start of a container: another pod that has the
        directory above it as a hostPath may have put a link in its place since."""
        path = self._paths[name]
        root = self._directory if path.is_relative_to(self._directory) else self._root
        try:
            with opened(root) as descriptor:
                volume = open_confined(descriptor, str(path.relative_to(root)))
        except OSError as error:
            raise ConfigError(f'failed to find volume "{name}": {error.strerror}: {path}') from error
        return _path_and_close(volume)

    def _set_up(self, pod: JSON, volume: JSON, placement: Placement) -> Path:
        source = _source_of(volume)
        if source == "persistentVolumeClaim":
            return self._claim_path(pod, volume["persistentVolumeClaim"]["claimName"], None)
        if source == "ephemeral":
            return self._claim_path(pod, f"{name_of(pod)}-{volume['name']}", uid_of(pod))
        if source == "hostPath":
            return _host_path(self._root, volume["hostPath"]["path"], volume["hostPath"].get("type") or "")
        if source not in _PLUGINS:
            raise VolumeError(f"the embedded cluster does not serve volumes of type {source}")
        path = self._directory / _PLUGINS[source] / str(volume["name"])
        if source in _OBJECT_BACKED:
            write_atomically(path, self._projector.files(pod, volume, placement))
        else:
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o777)
        return path

    def _claim_path(self, pod: JSON, name: str, owner: str | None) -> Path:
        """The directory behind a claim (desired_state_of_world_populator.go, getPVCExtractPV)."""
        claim = self._registry.find(PERSISTENT_VOLUME_CLAIMS, namespace_of(pod), name)
        if claim is None:
            raise VolumeError(f'persistentvolumeclaim "{name}" not found')
        if owner is not None and owner not in {r.get("uid") for r in claim["metadata"].get("ownerReferences") or ()}:
            raise VolumeError(f'PVC "{namespace_of(pod)}/{name}" was not created for pod "{name_of(pod)}"')
        if is_terminating(claim) and not self._paths:
            raise VolumeError(f"PVC {namespace_of(pod)}/{name} is being deleted")
        volume_name = claim["spec"].get("volumeName")
        if not volume_name or (claim.get("status") or {}).get("phase") != "Bound":
            raise VolumeError(f"PVC {namespace_of(pod)}/{name} is not bound")
        volume = self._registry.find(PERSISTENT_VOLUMES, "", volume_name)
        if volume is None:
            raise VolumeError(f'persistentvolume "{volume_name}" not found')
        if (volume["spec"].get("claimRef") or {}).get("uid") != uid_of(claim):
            raise VolumeError(f"PV {volume_name} is not bound to the claim {namespace_of(pod)}/{name}")
        return _persistent_volume_path(self._root, volume)


def _persistent_volume_path(root: Path, volume: JSON) -> Path:
    """The directory of a PersistentVolume on a node. Raises VolumeError for a kind that is not served."""
    spec = volume["spec"]
    # The provisioner that wrote the PersistentVolume cannot make directories on a node: that is done here.
    provisioned = PROVISIONED_BY in (volume["metadata"].get("annotations") or {})
    if spec.get("hostPath"):
        kind = spec["hostPath"].get("type") or ""
        return _host_path(root, spec["hostPath"]["path"], "DirectoryOrCreate" if provisioned else kind)
    if spec.get("local"):
        return _host_path(root, spec["local"]["path"], "DirectoryOrCreate" if provisioned else "Directory")
    kinds = [k for k in spec if isinstance(spec[k], dict) and k not in ("capacity", "claimRef", "nodeAffinity")]
    raise VolumeError(f"the embedded cluster does not serve PersistentVolumes of type {', '.join(kinds) or 'none'}")


def delete_volume_data(root: Path, volume: JSON) -> None:
    """Remove the data of a PersistentVolume from a node; does nothing where there is none. Raises OSError."""
    spec = volume["spec"]
    path = (spec.get("hostPath") or spec.get("local") or {}).get("path")
    if path:
        delete_directory(root, path)


def delete_directory(root: Path, path: str) -> None:
    """Remove a directory of a node; does nothing when there is none. Raises OSError."""
    above, name = os.path.split(_relative(path))
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), opened(root) as node:
        parent = open_confined(node, above)
        try:
            if name and stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=parent)  # which follows no link either
        finally:
            os.close(parent)


def uses(pod: JSON, resource: Resource, name: str) -> bool:
    """Whether one of the pod's volumes or variables comes from that ConfigMap, Secret or claim."""
    spec = pod["spec"]
    for volume in spec.get("volumes") or ():
        projected = (volume.get("projected") or {}).get("sources") or ()
        for source in (volume, *projected):
            if resource is CONFIG_MAPS and (source.get("configMap") or {}).get("name") == name:
                return True
            secret = source.get("secret") or {}
            if resource is SECRETS and name in (secret.get("secretName"), secret.get("name")):
                return True
            if resource is PERSISTENT_VOLUME_CLAIMS:
                claim = (source.get("persistentVolumeClaim") or {}).get("claimName")
                if name == claim or (source.get("ephemeral") and name == f"{name_of(pod)}-{source['name']}"):
                    return True
    if resource is PERSISTENT_VOLUME_CLAIMS:
        return False
    source_key, value_key = ("configMapRef", "configMapKeyRef")
    if resource is SECRETS:
        source_key, value_key = ("secretRef", "secretKeyRef")
    for container in (
        *(spec.get("initContainers") or ()),
        *spec["containers"],
        *(spec.get("ephemeralContainers") or ()),
    ):
        references = [s.get(source_key) for s in container.get("envFrom") or ()]
        references += [(e.get("valueFrom") or {}).get(value_key) for e in container.get("env") or ()]
        if any(r and r.get("name") == name for r in references):
            return True
    return False


def _host_path(root: Path, path: str, kind: str) -> Path:
    """A path of the node, checked against a hostPath type (pkg/volume/hostpath). Raises VolumeError and OSError."""
    root.mkdir(parents=True, exist_ok=True)
    target = root / _relative(path)
    with opened(root) as node:
        mode = _mode_of_host_path(node, _relative(path), kind)
    expected = kind.removesuffix("OrCreate")
    if expected in _CHECKS and not _CHECKS[expected](mode):
        raise VolumeError(f"hostPath type check failed: {path} is not {_NOUNS[expected]}")
    if kind in ("CharDevice", "BlockDevice"):
        raise VolumeError("the embedded cluster has no devices on its nodes")
    return target


def _mode_of_host_path(node: int, path: str, kind: str) -> int:
    """The mode of what is at a path of the node, made first if its type says so; 0 for nothing. Raises OSError."""
    try:
        descriptor = open_confined(node, path, make=kind in ("", "DirectoryOrCreate"))
    except (FileNotFoundError, NotADirectoryError):
        if kind != "FileOrCreate":
            return 0
        parent = open_confined(node, os.path.dirname(path), make=True)
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            descriptor = os.open(os.path.basename(path), flags, 0o666, dir_fd=parent)
        finally:
            os.close(parent)
    try:
        return os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)


def _relative(path: str) -> str:
    """A path of the node as one below its root; links in it are resolved when it is opened."""
    return os.path.normpath("/" + path).lstrip("/")


def _sub_path(volume: Path, path: str, name: str) -> Path:
    """A subPath, made as a directory when it is missing (pkg/volume/util/subpath)."""
    if os.path.isabs(path) or ".." in Path(path).parts:
        raise ConfigError(f'failed to prepare subPath for volumeMount "{name}": must be relative and without ".."')
    try:
        directory = open_without_links(volume)
        try:
            descriptor = open_confined(directory, path, beneath=True, make=True)
        finally:
            os.close(directory)
    except OSError as error:
        why = "it leads out of the volume" if error.errno == errno.EXDEV else error.strerror
        raise ConfigError(f'failed to prepare subPath for volumeMount "{name}" : {why}') from error
    return _path_and_close(descriptor)


def _path_and_close(descriptor: int) -> Path:
    """The path of an open file or directory, which is closed."""
    try:
        return path_of(descriptor)
    finally:
        os.close(descriptor)


def _claims_read_only(volume: JSON) -> bool:
    return bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))


def _source_of(volume: JSON) -> str:
    return next((k for k in volume if k != "name"), "emptyDir")
