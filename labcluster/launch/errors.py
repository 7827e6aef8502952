"""Why the embedded cluster did not start, and the remedy."""

from __future__ import annotations

import errno
from pathlib import Path


class LaunchError(Exception):
    """The cluster could not be started or stopped. `remedy` says what to do about it."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}\n{remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy


CONTAINER_REMEDY = """\
If this is a container, its engine forbids it. Start the container with
    docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined \\
        --security-opt systempaths=unconfined
(in Kubernetes: securityContext with seccompProfile Unconfined and procMount Unmasked), or use another machine."""


def _sysctl(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""


def namespaces_refused(stage: str, number: int, text: str) -> LaunchError:
    """The error for a system call that failed in `stage` of launch/linux_namespaces.py with errno `number`."""
    message = f"The kernel refused to {stage}: {text}."
    if stage == "mount /proc":
        return LaunchError(message, CONTAINER_REMEDY)
    if _sysctl("kernel/unprivileged_userns_clone") == "0":
        remedy = "User namespaces are switched off for ordinary users. Switch them on:\n" + _set(
            "kernel.unprivileged_userns_clone=1"
        )
    elif number == errno.ENOSPC or _sysctl("user/max_user_namespaces") == "0":
        remedy = "The number of user namespaces is limited too low. Raise it:\n" + _set(
            "user.max_user_namespaces=15000", "user.max_net_namespaces=15000", "user.max_pid_namespaces=15000"
        )
    elif _sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
        remedy = "AppArmor forbids user namespaces to ordinary users (as Ubuntu 24.04 does). Allow them:\n" + _set(
            "kernel.apparmor_restrict_unprivileged_userns=0"
        )
    elif number == errno.EINVAL:
        remedy = "This kernel was built without user namespaces (CONFIG_USER_NS): another kernel is needed."
    else:
        remedy = CONTAINER_REMEDY
    return LaunchError(message, remedy)


def _set(*settings: str) -> str:
    lines = [f"    sudo sysctl -w {setting}" for setting in settings]
    kept = " ".join(f"'{setting}'" for setting in settings)
    lines.append(f"and to keep it: printf '%s\\n' {kept} | sudo tee /etc/sysctl.d/60-lab.conf")
    return "\n".join(lines)


def disk_full(path: Path) -> LaunchError:
    """No room for the cluster's state."""
    return LaunchError(
        f"The disk that holds {path} is full.",
        f"Free some space (see what is left with: df -h {path}) and start again.",
    )


def port_taken(port: int, record: Path) -> LaunchError:
    """A port that this lab used before belongs to someone else now."""
    return LaunchError(
        f"Port {port} on 127.0.0.1 is taken by another program; this lab used it before.",
        f"See which one (ss -ltnup 'sport = :{port}') and end it, or let the lab choose other ports: rm {record}",
    )


def no_free_ports(count: int) -> LaunchError:
    """No free block of ports anywhere in the range that is tried."""
    return LaunchError(
        f"No block of {count} free ports was found on 127.0.0.1.", "Stop another lab that runs here: lab down"
    )


def tool_missing(tool: str, package: str) -> LaunchError:
    """A program that the nodes need is not installed."""
    return LaunchError(
        f"The program {tool!r} is needed and was not found on the PATH.",
        f"Install it: sudo apt-get install {package} (Debian, Ubuntu) or sudo dnf install {package} (Fedora, RHEL)",
    )
