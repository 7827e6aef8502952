"""From a container of the API to what the runtime runs: variables, volumes, user, files of the kubelet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labcluster.api.objects import JSON
from labcluster.node.containers.spec import ContainerSpec, Image, Mount
from labcluster.node.containers.termination_message import DEFAULT_PATH, message_file
from labcluster.node.context import NodeContext, pod_text
from labcluster.node.pods.environment import ConfigError, command_line, make_environment
from labcluster.node.pods.volumes import PodVolumes
from labcluster.node.unsupported import container_refusals, root_problem

if TYPE_CHECKING:
    from labcluster.node.sandboxes.sandbox import Sandbox

RETRY_SECONDS = 10.0  # until a container with a wrong configuration is tried again; changes of objects come sooner


@dataclass
class ContainerWait(Exception):
    """The container cannot be started as it is configured: reason, message, and when to try again."""

    reason: str
    message: str
    retry_after: float = RETRY_SECONDS


@dataclass(frozen=True)
class Prepared:
    """What to run, and how the status calls its image."""

    container: ContainerSpec
    image_name: str
    image_id: str


def prepare(
    context: NodeContext, pod: JSON, spec: JSON, image: Image, volumes: PodVolumes, sandbox: Sandbox, restarts: int
) -> Prepared:
    """The runtime's specification of a container. Raises ContainerWait (CreateContainerConfigError)."""
    own, common = spec.get("securityContext") or {}, pod["spec"].get("securityContext") or {}
    uid = own.get("runAsUser", common.get("runAsUser"))
    uid = image.user if uid is None else uid
    gid = own.get("runAsGroup", common.get("runAsGroup"))
    gid = uid if gid is None else gid
    directory = context.pod_directory(pod)
    try:
        problem = "; ".join(container_refusals(spec, pod["spec"])) or root_problem(pod, spec, uid, pod_text(pod))
        if problem:
            raise ConfigError(problem)
        env = make_environment(context.registry, pod, spec, context.placement(sandbox.ip))
        mounts = [Mount(b.source, b.target, b.read_only) for b in volumes.bindings(spec, env)]
    except ConfigError as error:
        raise ContainerWait("CreateContainerConfigError", str(error)) from error
    message = message_file(directory, spec)
    message.parent.mkdir(parents=True, exist_ok=True)
    message.write_bytes(b"")  # what the last instance wrote is not this one's
    taken = {m.target for m in mounts}
    provided = {
        "/etc/hosts": directory / "etc-hosts",
        "/etc/resolv.conf": directory / "resolv.conf",
        spec.get("terminationMessagePath") or DEFAULT_PATH: message,
    }
    mounts += [Mount(source, target) for target, source in provided.items() if target not in taken]
    log_path = context.log_path(pod, spec["name"], restarts)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    # Of the instances before, only the last one's log is kept.
    context.log_path(pod, spec["name"], restarts - 2).unlink(missing_ok=True)
    container = ContainerSpec(
        name=spec["name"],
        image=image,
        argv=command_line(spec, image.entrypoint, image.command, env),
        env={**image.env, **env},
        working_dir=spec.get("workingDir") or image.working_dir,
        mounts=tuple(mounts),
        uid=uid,
        gid=gid,
        capabilities=tuple((own.get("capabilities") or {}).get("add") or ()),
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
        log_path=log_path,
        stdin=bool(spec.get("stdin")),
        stdin_once=bool(spec.get("stdinOnce")),
        tty=bool(spec.get("tty")),
    )
    # There are no image files to take a digest of: the name stands for them.
    digest = hashlib.sha256(image.name.encode()).hexdigest()
    return Prepared(container, image.name, f"sha256:{digest}")
