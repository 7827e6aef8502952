"""Which containers are started again."""

from __future__ import annotations

import pytest

from labcluster.node.pods.container_exit import should_restart
from tests.labcluster.node_cluster import container, pod_object


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_the_pods_policy_decides(policy: str, code: int, expected: bool) -> None:
    assert should_restart(pod_object(restartPolicy=policy), container(), code) is expected


def test_nothing_restarts_in_a_pod_that_is_being_deleted() -> None:
    pod = pod_object()
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not should_restart(pod, container(), 1)


def test_a_completed_init_container_is_done_but_a_sidecar_is_not() -> None:
    init, sidecar = container("i"), container("s", restartPolicy="Always")
    pod = pod_object(initContainers=[init, sidecar])
    assert not should_restart(pod, init, 0)
    assert should_restart(pod, init, 1)
    assert should_restart(pod, sidecar, 0)


def test_rules_by_exit_code_come_before_the_policy() -> None:
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    picky = container(restartPolicy="Never", restartPolicyRules=[rule])
    pod = pod_object(containers=[picky])
    assert should_restart(pod, picky, 42)
    assert not should_restart(pod, picky, 1)
