"""Pull policies and the back-off of images."""

from __future__ import annotations

import pytest

from labcluster.node.backoff import Backoff
from labcluster.node.images.pull import ImagePuller, ImageWait
from tests.labcluster.fake_runtime import resolve
from tests.labcluster.node_cluster import container


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, kind: str, reason: str, message: str) -> None:
        self.lines.append(f"{kind} {reason}: {message}")


def test_policy_always_pulls_what_is_there() -> None:
    log = Log()
    image = ImagePuller(resolve).ensure("u", container(imagePullPolicy="Always"), log)
    assert image.name == "docker.io/library/app:1"
    assert log.lines == [
        'Normal Pulling: Pulling image "app:1"',
        'Normal Pulled: Successfully pulled image "app:1" in 1ms (1ms including waiting).',
    ]


def test_policy_never_does_not_pull_what_is_missing() -> None:
    log = Log()
    with pytest.raises(ImageWait) as caught:
        ImagePuller(resolve).ensure("u", container(image="missing:1", imagePullPolicy="Never"), log)
    assert caught.value.reason == "ErrImageNeverPull"
    assert caught.value.message == 'Container image "missing:1" is not present with pull policy of Never'


def test_pulls_are_tried_again_after_ten_twenty_forty_seconds() -> None:
    clock = 0.0
    puller = ImagePuller(resolve, Backoff(clock=lambda: clock))
    reasons, times = [], []
    for _ in range(6):
        with pytest.raises(ImageWait) as caught:
            puller.ensure("u", container(image="missing:1"), Log())
        reasons.append(caught.value.reason)
        times.append(round(clock))
        clock += caught.value.retry_after
    assert reasons == ["ErrImagePull", "ImagePullBackOff"] * 3
    assert times == [0, 1, 10, 11, 30, 31]


def test_pods_back_off_on_their_own() -> None:
    puller = ImagePuller(resolve)
    for uid in ("first", "second"):
        with pytest.raises(ImageWait) as caught:
            puller.ensure(uid, container(image="missing:1"), Log())
        assert caught.value.reason == "ErrImagePull"
