"""Files made from objects: what configMap, secret, downwardAPI and projected volumes contain, and its atomic update.

Sources: pkg/volume/{configmap,secret,downwardapi,projected}, pkg/volume/util/atomic_writer.go.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from labcluster.api.generated_names import random_suffix
from labcluster.api.objects import JSON, namespace_of
from labcluster.api.resources import CONFIG_MAPS, SECRETS, Resource
from labcluster.node.pods.environment import ConfigError, Placement, data_of, field_value, resource_value
from labcluster.storage.registry import Registry

Files = dict[str, tuple[bytes, int]]  # relative path -> content and mode
# Makes a token: (pod, audience, seconds it is valid) -> the signed token.
TokenSource = Callable[[JSON, str, int], str]

DEFAULT_MODE = 0o644
DATA = "..data"
TOKEN_SECONDS = 3600
TOKEN_REFRESH = 0.8  # of its life, after which a token is renewed (token/token_manager.go)


class VolumeError(Exception):
    """A volume cannot be set up (yet); the text goes into the FailedMount event."""


class Projector:
    """Computes the files of one pod's object-backed volumes, and caches its tokens until they need renewal."""

    def __init__(self, registry: Registry, tokens: TokenSource | None) -> None:
        self._registry = registry
        self._make_token = tokens
        self._tokens: dict[tuple[str, int], tuple[str, float]] = {}

    def files(self, pod: JSON, volume: JSON, placement: Placement) -> Files:
        """The wanted content of a configMap, secret, downwardAPI or projected volume. Raises VolumeError."""
        if volume.get("projected") is not None:
            mode = volume["projected"].get("defaultMode")
            files: Files = {}
            for source in volume["projected"].get("sources") or ():
                files |= self._source(pod, source, DEFAULT_MODE if mode is None else mode, placement)
            return files
        mode = next(iter(v for k, v in volume.items() if k != "name")).get("defaultMode")
        return self._source(pod, volume, DEFAULT_MODE if mode is None else mode, placement)

    def seconds_to_renewal(self) -> float | None:
        """Seconds until one of the tokens needs renewal; None without tokens."""
        due = [when for _, when in self._tokens.values()]
        return max(min(due) - time.monotonic(), 0.0) if due else None

    def _source(self, pod: JSON, source: JSON, mode: int, placement: Placement) -> Files:
        if source.get("configMap") is not None:
            spec = source["configMap"]
            return self._keys(pod, CONFIG_MAPS, spec.get("name", ""), spec, mode)
        if source.get("secret") is not None:
            spec = source["secret"]
            return self._keys(pod, SECRETS, spec.get("secretName") or spec.get("name", ""), spec, mode)
        if source.get("downwardAPI") is not None:
            return self._downward(pod, source["downwardAPI"], mode, placement)
        if source.get("serviceAccountToken") is not None:
            spec = source["serviceAccountToken"]
            token = self._token(pod, spec.get("audience") or "", spec.get("expirationSeconds") or TOKEN_SECONDS)
            return {spec["path"]: (token.encode(), mode)}
        kinds = ", ".join(k for k in source if k != "name")
        raise VolumeError(f"the embedded cluster does not serve the projected source {kinds}")

    def _keys(self, pod: JSON, resource: Resource, name: str, spec: JSON, mode: int) -> Files:
        obj = self._registry.find(resource, namespace_of(pod), name)
        optional = bool(spec.get("optional"))
        if obj is None:
            if optional:
                return {}
            raise VolumeError(f'{resource.singular} "{name}" not found')
        data = data_of(resource, obj)
        if not spec.get("items"):
            return {key: (content, mode) for key, content in data.items()}
        files: Files = {}
        for item in spec["items"]:
            if item["key"] not in data:
                if optional:
                    continue
                raise VolumeError(f"references non-existent {_KEY_KINDS[resource]} key: {item['key']}")
            files[_relative(item["path"])] = (data[item["key"]], mode if item.get("mode") is None else item["mode"])
        return files

    def _downward(self, pod: JSON, spec: JSON, mode: int, placement: Placement) -> Files:
        files: Files = {}
        for item in spec.get("items") or ():
            try:
                if item.get("fieldRef"):
                    text = field_value(pod, item["fieldRef"]["fieldPath"], placement)
                else:
                    text = resource_value(pod, item["resourceFieldRef"], {}, placement)
            except ConfigError as error:
                raise VolumeError(str(error)) from error
            item_mode = mode if item.get("mode") is None else item["mode"]
            files[_relative(item["path"])] = (text.encode(), item_mode)
        return files

    def _token(self, pod: JSON, audience: str, seconds: int) -> str:
        if self._make_token is None:
            raise VolumeError("service account tokens are not issued here")
        token, due = self._tokens.get((audience, seconds), ("", 0.0))
        if not token or due <= time.monotonic():
            token = self._make_token(pod, audience, seconds)
            self._tokens[audience, seconds] = (token, time.monotonic() + TOKEN_REFRESH * seconds)
        return token


_KEY_KINDS = {CONFIG_MAPS: "config", SECRETS: "secret"}  # in the kubelet's messages


def _relative(path: str) -> str:
    """The path of an item, checked again although validation refuses paths that lead outside."""
    if path.startswith("/") or ".." in Path(path).parts:
        raise VolumeError(f"invalid path: {path}")
    return path


def write_atomically(directory: Path, files: Files) -> bool:
    """Make the directory show exactly these files, changed all at once; returns whether anything changed.

    The files live in a directory of their own, to which the link `..data` leads; the visible names are links
    through `..data`. Renaming a new `..data` over the old one changes all of them in one step, and a
    container that has the directory mounted sees it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    link = directory / DATA
    old = directory / os.readlink(link) if link.is_symlink() else None
    if old is not None and _content(old) == files:
        return False
    fresh = directory / f"..{time.strftime('%Y_%m_%d_%H_%M_%S', time.gmtime())}.{random_suffix(10)}"
    fresh.mkdir(mode=0o755)
    for path, (content, mode) in files.items():
        target = fresh / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)
    temporary = directory / "..data_tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(fresh.name)
    temporary.rename(link)
    visible = {Path(path).parts[0] for path in files}
    for name in visible:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"{DATA}/{name}")
    for entry in directory.iterdir():
        if entry.is_symlink() and entry.name != DATA and entry.name not in visible:
            entry.unlink()
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _content(directory: Path) -> Files:
    paths = (p for p in directory.rglob("*") if p.is_file())
    return {str(p.relative_to(directory)): (p.read_bytes(), p.stat().st_mode & 0o7777) for p in paths}
