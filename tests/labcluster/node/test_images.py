"""The table of images, and how references are read."""

import pytest

from labcluster.node.images import image_table
from labcluster.node.images.image_table import ImageNotFound, ImageUnavailable, InvalidImageName

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("given", "normalised"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.31-alpine", "docker.io/library/nginx:1.31-alpine"),
        ("valkey/valkey:8.1", "docker.io/valkey/valkey:8.1"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/library/nginx:1", "docker.io/library/nginx:1"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}"),
        (f"nginx:1.31@{DIGEST}", f"docker.io/library/nginx:1.31@{DIGEST}"),
    ],
)
def test_references_are_normalised_as_containerd_does(given: str, normalised: str) -> None:
    assert str(image_table.parse(given)) == normalised


@pytest.mark.parametrize("given", ["", "UPPER", "a b", "nginx:", "nginx@sha256:1", "/nginx", "nginx:-x"])
def test_what_is_no_reference_is_an_invalid_image_name(given: str) -> None:
    with pytest.raises(InvalidImageName, match="couldn't parse image name"):
        image_table.parse(given)


@pytest.mark.parametrize(
    "name",
    [
        *("valkey/valkey:8", "valkey/valkey:8.1", "valkey/valkey:8.1.4-alpine", "docker.io/valkey/valkey:8-bookworm"),
        *("nginx", "nginx:1.31", "nginx:1.31-alpine", "nginx:1.31.3-alpine-slim", "nginx:alpine", "nginx:mainline"),
        *("traefik:v3.7.15", "traefik:v3.7", "traefik:3", "envoyproxy/envoy:v1.40.0", "envoyproxy/envoy:v1.40-latest"),
        *("busybox", "busybox:1.37", "registry.k8s.io/pause:3.10", f"nginx@{DIGEST}"),
    ],
)
def test_these_images_are_there(name: str) -> None:
    found = image_table.resolve(name)
    assert found.entrypoint + found.command
    assert all(program.source.is_file() for program in found.programs)


@pytest.mark.parametrize(
    "name",
    ["nosuch:1", "valkey/valkey:9", "nginx:1.2.3", "nginx:1.310", "valkey/valkey", "traefik:v2.11", "envoyproxy/envoy"],
)
def test_other_images_are_not_found_in_containerds_words(name: str) -> None:
    with pytest.raises(ImageNotFound) as error:
        image_table.resolve(name)
    full = image_table.parse(name)
    text = f'failed to pull and unpack image "{full}": failed to resolve reference "{full}": {full}: not found'
    assert str(error.value).startswith(text)


def test_redis_without_a_system_redis_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    image_table._system_redis.cache_clear()
    try:
        with pytest.raises(ImageUnavailable, match=r"apt-get install redis-server .* valkey/valkey:8.1"):
            image_table.resolve("redis:7.2")
        assert ("redis:7.2", "") not in image_table.available()
    finally:
        image_table._system_redis.cache_clear()


def test_valkey_sets_what_the_official_image_sets() -> None:
    found = image_table.resolve("valkey/valkey:8.1")
    assert found.entrypoint == ("docker-entrypoint.sh",)
    assert found.command == ("valkey-server",)
    assert (found.working_dir, found.user) == ("/data", 999)
