"""Where the lab keeps its state, and where the course's own files are."""

from __future__ import annotations

import os
from pathlib import Path


def course_root() -> Path:
    """The checkout: the folder above the package, which holds notebooks/ and the Makefile."""
    return Path(__file__).resolve().parent.parent


def state_dir() -> Path:
    """The lab's state: `.lab` in the checkout, or what LAB_STATE names. Not created here."""
    return Path(os.environ.get("LAB_STATE") or course_root() / ".lab").expanduser().resolve()


def kubeconfig_path() -> Path:
    """The lab's own kubeconfig (mode 0600). The user's ~/.kube/config is never written."""
    return state_dir() / "kubeconfig"


def kubectl_cache() -> Path:
    """Where kubectl keeps what it has learnt of the cluster, for KUBECACHEDIR: beside the rest, so that it goes too."""
    return state_dir() / "kubectl-cache"
