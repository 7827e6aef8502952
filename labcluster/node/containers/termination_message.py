"""The message that a container leaves at its end (kuberuntime_container.go, getTerminationMessage)."""

from __future__ import annotations

from pathlib import Path

from labcluster.api.objects import JSON

MOST_BYTES = 4096  # of the file
MOST_LOG_BYTES = 2048  # of the log, with terminationMessagePolicy FallbackToLogsOnError
MOST_LOG_LINES = 80
DEFAULT_PATH = "/dev/termination-log"


def message_file(pod_directory: Path, container: JSON) -> Path:
    """The file on the node that the container sees at its terminationMessagePath."""
    return pod_directory / "containers" / str(container["name"]) / "termination-log"


def read_message(pod_directory: Path, container: JSON, exit_code: int, log_path: Path) -> str:
    """What the container wrote there; or the end of its log if it failed and asks for that."""
    text = _read(message_file(pod_directory, container), MOST_BYTES)
    if text or exit_code == 0 or container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        return text
    lines = _read(log_path, 16 * MOST_LOG_BYTES).splitlines()[-MOST_LOG_LINES:]
    plain = "\n".join(line.split(" ", 3)[-1] for line in lines)
    return plain[-MOST_LOG_BYTES:]


def _read(path: Path, most: int) -> str:
    """The end of a file, "" when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - most, 0))
            return file.read(most).decode(errors="replace")
    except OSError:
        return ""
