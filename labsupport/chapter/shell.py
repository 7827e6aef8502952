"""The notebook's shell: the magic `%%apply`, and `!kubectl get pods` in the chapter's namespace."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import yaml

from labsupport import paths
from labsupport.cluster import verbs


def prepare(namespace: str) -> None:
    """Make `%%apply` known, and let `!kubectl` find the lab's cluster and the chapter's namespace."""
    _register()
    programs = str(Path(sys.executable).parent)
    if programs not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = programs + os.pathsep + os.environ.get("PATH", "")
    os.environ["KUBECONFIG"] = os.pathsep.join([str(_context_file(namespace)), str(paths.kubeconfig_path())])
    os.environ["KUBECACHEDIR"] = str(paths.kubectl_cache())


def _context_file(namespace: str) -> Path:
    """A file that adds a context with that namespace to the lab's kubeconfig; it holds no keys.

    Where several files are named, kubectl merges them and takes the current context from the first.
    """
    lab = yaml.safe_load(paths.kubeconfig_path().read_text())
    current = next(c["context"] for c in lab["contexts"] if c["name"] == lab["current-context"])
    context = {"name": namespace, "context": {**current, "namespace": namespace}}
    config = {"apiVersion": "v1", "kind": "Config", "contexts": [context], "current-context": namespace}
    file = paths.state_dir() / "contexts" / f"{namespace}.json"
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text(json.dumps(config))
    return file


def _register() -> None:
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is not None:
        shell.register_magic_function(_apply, "cell", "apply")


def _apply(line: str, cell: str) -> None:
    """%%apply: apply the manifest that the cell holds."""
    if line.strip():
        print(f"%%apply takes no words after it, found {line.strip()!r}: put the manifest below it.")
        return
    verbs.apply(cell)
