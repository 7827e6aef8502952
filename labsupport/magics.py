"""The cell magic `%%apply`: the cell is a manifest, and running it applies it."""

from __future__ import annotations

from labsupport import verbs


def register() -> None:
    """Make `%%apply` known to the notebook; nothing outside of one."""
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is not None:
        shell.register_magic_function(_apply, "cell", "apply")


def _apply(line: str, cell: str) -> None:
    """%%apply: apply the manifest that the cell holds.

    A word after it, as in `%%apply quietly`, is an error: everything is said by the manifest.
    """
    if line.strip():
        print(f"%%apply takes no words after it, found {line.strip()!r}: put the manifest below it.")
        return
    verbs.apply(cell)
