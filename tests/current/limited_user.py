"""A user who is no administrator: a service account, known to the lab by its token alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from labsupport import paths
from tests.running_lab import RunningLab

ROLE = paths.course_root() / "docs" / "learner-role.yaml"


def kubeconfig_of(cluster: RunningLab, namespace: str, account: str, directory: Path) -> Path:
    """A kubeconfig, in that directory, with the token of a service account."""
    config: dict[str, Any] = json.loads(
        cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
    )
    token = cluster.kubectl("create", "token", account, "-n", namespace, "--duration=2h").strip()
    config["users"][0]["user"] = {"token": token}
    file = directory / "kubeconfig"
    file.write_text(json.dumps(config))
    return file


def learner(cluster: RunningLab, name: str, directory: Path) -> Path:
    """The kubeconfig of a new user with the rights that docs/learner-role.yaml grants, and no more."""
    cluster.core.create_namespaced_service_account("default", {"metadata": {"name": name}})
    cluster.kubectl("apply", "-f", str(ROLE))
    subject = f"--serviceaccount=default:{name}"
    cluster.kubectl("create", "clusterrolebinding", f"course-{name}", "--clusterrole=course-learner", subject)
    return kubeconfig_of(cluster, "default", name, directory)
