"""A container's root file system, as options of bubblewrap.

The root is an empty tmpfs that belongs to the container's user. Into it come, read-only, the parts of the
host's /usr that hold programs and libraries, a small /etc of its own, the image's programs, and the pod's
volumes. Nothing of the host's /home, /root, /var, /opt, /usr/local or /srv can be seen.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from labcluster.node.containers.confined_paths import open_without_links
from labcluster.node.containers.pid_namespace import PidNamespace
from labcluster.node.spec import PATH, ContainerSpec, Mount, StartError

_USR = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec")
_USR_SHARE = ("zoneinfo", "terminfo", "ca-certificates", "misc")
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # symbolic links into /usr, or directories
_ETC = (
    "ld.so.cache",
    "alternatives",
    "ssl/certs",
    "ssl/openssl.cnf",
    "pki/tls",
    "pki/ca-trust",
    "crypto-policies",
    "protocols",
    "services",
    "terminfo",
)
_DIRECTORIES = (
    *("/home", "/mnt", "/opt", "/root", "/run", "/srv", "/usr/local/bin"),
    *("/var/cache", "/var/lib", "/var/log"),
)

# What a process of user 0 may do inside: containerd's default set. It counts in the container's user namespace
# only, over things that are the container's own.
_CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)


@functools.cache
def _host_mounts() -> tuple[Mount, ...]:
    return tuple(_find_host_mounts())


def _find_host_mounts() -> Iterator[Mount]:
    for parent, names in (("/usr", _USR), ("/usr/share", _USR_SHARE), ("/etc", _ETC)):
        for name in names:
            source = Path(parent, name)
            if source.exists():
                yield Mount(source, str(source), read_only=True)
    for name in _MERGED:
        if not Path("/", name).is_symlink() and Path("/", name).is_dir():
            yield Mount(Path("/", name), f"/{name}", read_only=True)


@functools.cache
def _host_links() -> dict[str, str]:
    return {f"/{name}": os.readlink(f"/{name}") for name in _MERGED if Path("/", name).is_symlink()}


def _etc(spec: ContainerSpec, hostname: str) -> dict[str, str]:
    users = {0: ("root", "/root", "/bin/sh"), 65534: ("nobody", "/nonexistent", "/usr/sbin/nologin")}
    if spec.image.user:
        users[spec.image.user] = (spec.image.user_name, spec.image.working_dir, "/bin/sh")
    passwd = "".join(f"{name}:x:{uid}:{uid}:{name}:{home}:{sh}\n" for uid, (name, home, sh) in users.items())
    group = "".join(f"{name}:x:{uid}:\n" for uid, (name, _, _) in users.items())
    return {
        "/etc/passwd": passwd,
        "/etc/group": group.replace("nobody", "nogroup"),
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n",
        "/etc/hostname": f"{hostname}\n",
        "/etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
        "/etc/resolv.conf": "",
    }


def _home(spec: ContainerSpec) -> str:
    """The HOME of the container's user, as a container runtime sets it from /etc/passwd."""
    if spec.uid == 0:
        return "/root"
    return spec.image.working_dir if spec.uid == spec.image.user else "/"


def environment(spec: ContainerSpec, hostname: str) -> dict[str, str]:
    """The environment of the container's processes: the spec's, over what a container runtime sets by itself."""
    terminal = {"TERM": "xterm"} if spec.tty else {}
    return {"PATH": PATH, "HOSTNAME": hostname, "HOME": _home(spec), **terminal, **spec.image.env, **spec.env}


class RootFilesystem:
    """The files, links and mounts of one container."""

    def __init__(self, spec: ContainerSpec, hostname: str) -> None:
        self._spec = spec
        self._hostname = hostname
        self._mounts = sorted(spec.mounts, key=lambda m: len(PurePosixPath(m.target).parts))
        covered = {str(PurePosixPath(m.target)) for m in spec.mounts}
        files = {**_etc(spec, hostname), **spec.image.files}
        self._files = {path: text for path, text in files.items() if path not in covered}
        self._links = {**_host_links(), **spec.image.links}
        self._system = [*_host_mounts(), *spec.image.programs]

    def check(self) -> None:
        """Raise StartError for what would fail inside: a missing volume, or a program that is not there."""
        for mount in self._mounts:
            if not mount.source.exists():
                raise _not_started(
                    f'error mounting "{mount.source}" to rootfs at "{mount.target}": no such file or directory'
                )
        if not self._spec.argv:
            raise StartError("failed to generate container spec: no command specified")
        program = self._spec.argv[0]
        path = environment(self._spec, self._hostname).get("PATH", PATH)
        executable = find_program(program, path, self._is_executable, self._spec.working_dir)
        if executable is None:
            raise _not_started(missing_program(program))
        if not executable:
            raise _not_started(f'exec: "{program}": permission denied')

    def _is_executable(self, path: str, depth: int = 0) -> bool | None:
        """Whether a path of the container can be executed; None when there is nothing."""
        pure = PurePosixPath(os.path.normpath(path))
        for link in (pure, *pure.parents):
            if str(link) in self._links and depth < 8:
                onto = link.parent / self._links[str(link)]
                return self._is_executable(str(onto / pure.relative_to(link)), depth + 1)
        if str(pure) in self._files:
            return self._files[str(pure)].startswith("#!")
        candidates = [m for m in (*self._system, *self._mounts) if pure.is_relative_to(m.target)]
        if not candidates:
            return None
        nearest = max(candidates, key=lambda m: len(PurePosixPath(m.target).parts))
        source = nearest.source / pure.relative_to(nearest.target)
        if not source.is_file():
            return None
        return os.access(source, os.X_OK)

    def options(self, files: list[int], pid_namespace: PidNamespace | None = None) -> list[str]:
        """The options for bwrap, which joins `pid_namespace` or makes a new one.

        Contents of files go into memory files; their descriptors and those of the mounts are added to `files`: they
        have to be inherited by bwrap and closed afterwards. Raises OSError.
        """
        spec = self._spec
        if pid_namespace is not None:
            out = pid_namespace.options
        else:
            out = ["--unshare-user", "--unshare-pid", "--as-pid-1", "--uid", str(spec.uid), "--gid", str(spec.gid)]
        out += ["--unshare-uts", "--unshare-ipc", "--new-session", "--hostname", self._hostname]
        out += ["--die-with-parent"]  # the program with its monitor, the monitor with the namespace thread
        out += ["--cap-drop", "ALL"]
        if spec.uid == 0:
            for capability in (*_CAPABILITIES, *spec.capabilities):
                out += ["--cap-add", f"CAP_{capability}"]
        elif pid_namespace is not None:
            out += ["--cap-add", "CAP_SETFCAP"]  # to become another user than root; gone with that (user_namespaces(7))
        for path in self._directories():
            out += ["--dir", path]
        for path in ("/tmp", "/var/tmp"):
            out += ["--perms", "1777", "--dir", path]
        for mount in self._system:
            out += ["--ro-bind", str(mount.source), mount.target]
        out += ["--proc", "/proc", "--dev", "/dev"]
        for path, target in self._links.items():
            out += ["--symlink", target, path]
        for path, text in self._files.items():
            files.append(memory_file(text.encode()))
            mode = "0755" if text.startswith("#!") else "0644"
            out += ["--perms", mode, "--file", str(files[-1]), path]
        for mount in self._mounts:
            # By descriptor: a pod that shares the directory may put a link in its place at any time. bwrap compares
            # what it has mounted with it.
            files.append(open_without_links(mount.source))
            out += ["--ro-bind-fd" if mount.read_only else "--bind-fd", str(files[-1]), mount.target]
        if spec.read_only_root:
            out += ["--remount-ro", "/"]
        out += ["--chdir", spec.working_dir, "--clearenv"]
        for name, value in environment(spec, self._hostname).items():
            out += ["--setenv", name, value]
        return out

    def _directories(self) -> list[str]:
        """All directories, parents first: those that bwrap makes by itself, others may not enter."""
        mounted = ["/proc", "/dev", *self._links, *(m.target for m in (*self._system, *self._mounts))]
        wanted = [*_DIRECTORIES, *self._spec.image.directories, self._spec.working_dir]
        wanted += [os.path.dirname(path) for path in (*mounted, *self._files)]
        directories: set[str] = set()
        for path in wanted:
            while path not in directories and path.strip("/"):
                directories.add(path)
                path = os.path.dirname(path)
        covers = tuple(f"{target.rstrip('/')}/" for target in mounted)
        return sorted(path for path in directories if not f"{path}/".startswith(covers))


def find_program(name: str, path: str, is_executable: Callable[[str], bool | None], working_dir: str) -> bool | None:
    """Look a program up as execvp does. None: not found; False: found, and may not be executed."""
    if "/" in name:
        return is_executable(os.path.join(working_dir, name))
    results = [is_executable(os.path.join(directory, name)) for directory in path.split(":") if directory]
    if any(results):
        return True
    return False if False in results else None


def missing_program(program: str) -> str:
    """runc's message for a program that is not there."""
    if "/" in program:
        return f'exec: "{program}": stat {program}: no such file or directory'
    return f'exec: "{program}": executable file not found in $PATH'


def memory_file(content: bytes) -> int:
    """A descriptor from which `content` can be read; it never reaches a disk or a command line."""
    descriptor = os.memfd_create("container", os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _not_started(why: str) -> StartError:
    return StartError(
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
        f"unable to start container process: error during container init: {why}"
    )


def exec_not_started(why: str) -> StartError:
    """The error of an exec whose program is not there."""
    return StartError(f"OCI runtime exec failed: exec failed: unable to start container process: {why}")
