"""Loading the course's images into the nodes, once, so that no chapter waits for a pull or needs the network.

The engine keeps its own copy: a cluster that is made again without a network gets the images from there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from labsupport.backends.contract import CommandError, Progress
from labsupport.backends.kind.config import Config
from labsupport.backends.kind.engine import CommandFailed, Engine
from labsupport.settings import IMAGES, full_name

ARCHIVE = "images.tar"


def preload(
    engine: Engine, config: Config, state: Path, progress: Progress, images: Sequence[str] = IMAGES
) -> list[str]:
    """Load what the workers do not have yet; returns the images loaded. Raises CommandError, naming the image."""
    present = set.intersection(*(on_node(engine, node) for node in config.workers))
    missing = [image for image in images if full_name(image) not in present]
    for number, image in enumerate(missing, start=1):
        progress(f"image {number} of {len(missing)}: {image}")
        try:
            _load(engine, config, image, state / ARCHIVE, progress)
        except CommandFailed as error:
            raise CommandError(
                f"the cluster is up, but the image {image} could not be loaded. {error}\n"
                "Then say `lab preload`, or go on: a chapter that needs the image pulls it."
            ) from error
        finally:
            (state / ARCHIVE).unlink(missing_ok=True)
    return missing


def on_node(engine: Engine, node: str) -> set[str]:
    """The images that a node has. Raises CommandFailed."""
    try:
        listed = json.loads(engine.run("exec", node, "crictl", "images", "-o", "json"))
    except ValueError:
        return set()
    return {str(tag) for image in listed.get("images") or () for tag in image.get("repoTags") or ()}


def _load(engine: Engine, config: Config, image: str, archive: Path, progress: Progress) -> None:
    """From the engine's store into the nodes; where that fails, let the nodes pull for themselves."""
    name = full_name(image)  # podman knows no default registry
    try:
        engine.run("image", "inspect", name)
    except CommandFailed:
        progress(f"pulling {image} ...")
        engine.run("pull", name)
    try:
        engine.run("save", "-o", str(archive), name)
        nodes = ",".join(config.workers)
        engine.kind("load", "image-archive", str(archive), "--name", config.name, "--nodes", nodes)
    except CommandFailed:
        # An archive of an image for several platforms may lack the other ones' layers, and is refused then.
        progress(f"the nodes pull {image} themselves ...")
        for node in config.workers:
            engine.run("exec", node, "crictl", "pull", name)
