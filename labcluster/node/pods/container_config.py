"""From a container of the API to what the runtime runs: environment, mounts, user, files of the kubelet.

Source: pkg/kubelet/kuberuntime/kuberuntime_container.go (generateContainerConfig).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from labcluster.api.objects import JSON
from labcluster.node.pods.container_exit import DEFAULT_MESSAGE_PATH, termination_message_file
from labcluster.node.pods.environment import ConfigError, command_line, make_environment
from labcluster.node.pods.node_context import NodeContext, pod_text
from labcluster.node.pods.unsupported import container_refusals, root_problem
from labcluster.node.pods.volumes import PodVolumes
from labcluster.node.spec import ContainerSpec, Image, Mount

RETRY_SECONDS = 10.0  # until a container with a wrong configuration is tried again, if no object changes before


@dataclass
class ContainerWait(Exception):
    """The container cannot be started yet: the reason and message of its waiting state, and when to try again."""

    reason: str
    message: str
    retry_after: float = RETRY_SECONDS  # seconds


@dataclass(frozen=True)
class ContainerConfig:
    """What to run, and how the status calls its image."""

    spec: ContainerSpec
    image_name: str
    image_id: str


def generate_container_config(
    context: NodeContext, pod: JSON, container: JSON, image: Image, volumes: PodVolumes, pod_ip: str, restarts: int
) -> ContainerConfig:
    """What the runtime needs to start a container; makes its log directory and an empty termination message file.

    Raises ContainerWait (CreateContainerConfigError).
    """
    own, common = container.get("securityContext") or {}, pod["spec"].get("securityContext") or {}
    uid = own.get("runAsUser", common.get("runAsUser"))
    uid = image.user if uid is None else uid
    gid = own.get("runAsGroup", common.get("runAsGroup"))
    gid = uid if gid is None else gid
    directory = context.pod_directory(pod)
    try:
        problem = "; ".join(container_refusals(container, pod["spec"])) or root_problem(
            pod, container, uid, pod_text(pod)
        )
        if problem:
            raise ConfigError(problem)
        env = make_environment(context.registry, pod, container, context.placement(pod_ip))
        mounts = volumes.mounts(container, env)
    except ConfigError as error:
        raise ContainerWait("CreateContainerConfigError", str(error)) from error
    message = termination_message_file(directory, container)
    message.parent.mkdir(parents=True, exist_ok=True)
    message.write_bytes(b"")  # without what the last instance wrote
    mounted = {m.target for m in mounts}
    kubelet_files = {
        "/etc/hosts": directory / "etc-hosts",
        "/etc/resolv.conf": directory / "resolv.conf",
        container.get("terminationMessagePath") or DEFAULT_MESSAGE_PATH: message,
    }
    mounts += [Mount(source, target) for target, source in kubelet_files.items() if target not in mounted]
    log_path = context.log_path(pod, container["name"], restarts)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    # Of the instances before, only the last one's log is kept.
    context.log_path(pod, container["name"], restarts - 2).unlink(missing_ok=True)
    spec = ContainerSpec(
        name=container["name"],
        image=image,
        argv=command_line(container, image.entrypoint, image.command, env),
        env={**image.env, **env},
        working_dir=container.get("workingDir") or image.working_dir,
        mounts=tuple(mounts),
        uid=uid,
        gid=gid,
        capabilities=tuple((own.get("capabilities") or {}).get("add") or ()),
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
        log_path=log_path,
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
    )
    # There are no image files to take a digest of: the name stands for them.
    digest = hashlib.sha256(image.name.encode()).hexdigest()
    return ContainerConfig(spec, image.name, f"sha256:{digest}")
