"""The container images that the course uses, said once: these are loaded into the cluster before the first chapter."""

from __future__ import annotations

IMAGES = ("valkey/valkey:8.1.8", "nginx:1.31.3", "traefik:v3.7.15", "envoyproxy/envoy:v1.40.0")


def full_name(image: str) -> str:
    """An image's name with its registry, as nodes list it.

    >>> full_name("nginx:1.31.3")
    'docker.io/library/nginx:1.31.3'
    """
    first, slash, _ = image.partition("/")
    if not slash:
        return f"docker.io/library/{image}"
    return image if "." in first or ":" in first else f"docker.io/{image}"
