"""The manifests of chapter 05, which a learner may take home: kubectl and the API server take them as they are."""

from __future__ import annotations

from labsupport import paths
from tests.running_lab import Namespace

FOLDER = paths.course_root() / "notebooks" / "manifests"


def test_the_server_takes_them_in_a_dry_run_and_stores_nothing(namespace: Namespace) -> None:
    files = sorted(FOLDER.glob("05_*.yaml"))
    assert [file.name for file in files] == ["05_config.yaml", "05_set.yaml", "05_traffic.yaml"]
    told = namespace.kubectl("apply", "--dry-run=server", *(f"--filename={file}" for file in files)).splitlines()
    assert all(line.endswith(" created (server dry run)") for line in told), told
    assert {line.split()[0] for line in told} >= {"statefulset.apps/redis", "secret/redis", "service/redis-primary"}
    assert not namespace.get("statefulsets")["items"]


def test_the_server_refuses_one_that_is_wrong(namespace: Namespace) -> None:
    text = (FOLDER / "05_set.yaml").read_text().replace("Policy: Parallel", "Policy: Perhaps")
    told = namespace.refused("apply", "--dry-run=server", "-f", "-", stdin=text)
    assert 'spec.podManagementPolicy: Invalid value: "Perhaps"' in told
