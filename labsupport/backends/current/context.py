"""The current kubeconfig context, copied; and the learner's own word in the names of namespaces."""

from __future__ import annotations

import getpass
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from labsupport.backends.contract import CommandError

_LONGEST = 30  # characters of a prefix, so that a namespace's name stays far below 63


def read_current() -> dict[str, Any]:
    """The current context as a kubeconfig of its own, with certificates and keys in it. Raises CommandError."""
    kubectl = Path(sys.executable).with_name("kubectl")
    command = [str(kubectl), "config", "view", "--raw", "--minify", "--flatten", "-o", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(f"kubectl could not read the kubeconfig: {error}") from error
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    if not found.get("clusters"):
        where = os.environ.get("KUBECONFIG") or "~/.kube/config"
        raise CommandError(
            f"there is no current context in {where}. `kubectl config get-contexts` lists them, "
            "`kubectl config use-context NAME` takes one; or name another file in KUBECONFIG."
        )
    for context in found["contexts"]:
        context["context"].pop("namespace", None)
    return found


def learner_prefix() -> str:
    """LAB_PREFIX, else the user's name, as a part of a namespace's name (RFC 1123 label). Raises CommandError."""
    wanted = os.environ.get("LAB_PREFIX")
    if wanted:
        if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", wanted) or len(wanted) > _LONGEST:
            raise CommandError(
                f"LAB_PREFIX={wanted} cannot begin a namespace's name: small letters, digits and dashes, "
                f"a letter first, at most {_LONGEST}. For example LAB_PREFIX=ann."
            )
        reserved = wanted in ("kube", "default", "openshift")
    else:
        try:
            user = getpass.getuser()
        except (KeyError, OSError):
            user = "learner"
        wanted = re.sub(r"[^a-z0-9-]+", "-", user.lower()).strip("-0123456789")[:_LONGEST].strip("-") or "learner"
        reserved = wanted in ("kube", "default", "openshift", "root", "jovyan", "vscode", "codespace")
    if reserved:
        raise CommandError(
            f"{wanted!r} is no name of yours alone, and your namespaces will begin with it. "
            "Choose one: `make lab CLUSTER=current LAB_PREFIX=ann`."
        )
    return wanted
