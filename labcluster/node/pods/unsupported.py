"""What a pod may ask for and these nodes do not serve: reported in an event, instead of being ignored.

Accepted without effect, because it asks for less than is given or for what holds anyway: fsGroup and
supplementalGroups (one uid is mapped and owns all files), seccompProfile and appArmorProfile, dropped capabilities
(containers have none on the machine), allowPrivilegeEscalation: false, and resource limits.
"""

from __future__ import annotations

from labcluster.api.objects import JSON

_POD_FIELDS = ("hostPID", "hostIPC", "runtimeClassName", "resourceClaims")
# It holds over processes of the container's own user namespace; others would need privileges on the host.
ADDABLE_CAPABILITIES = ("SYS_PTRACE",)
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def refusals(pod: JSON) -> list[str]:
    """One sentence for each thing in the pod's spec that cannot be honoured; empty when it can run."""
    spec = pod["spec"]
    refused = [f"the embedded cluster does not serve {field}" for field in _POD_FIELDS if spec.get(field)]
    if (spec.get("securityContext") or {}).get("sysctls"):
        refused.append("the embedded cluster does not serve sysctls")
    if (spec.get("os") or {}).get("name", "linux") != "linux":
        refused.append("the embedded cluster has Linux nodes only")
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        refused += [f"container {container['name']}: {text}" for text in container_refusals(container, spec)]
    return refused


def container_refusals(container: JSON, spec: JSON) -> list[str]:
    """The same for one container of a pod with that spec."""
    refused = []
    context = container.get("securityContext") or {}
    if context.get("privileged"):
        refused.append("the embedded cluster does not serve privileged containers")
    added = set((context.get("capabilities") or {}).get("add") or ()) - set(ADDABLE_CAPABILITIES)
    if added:
        refused.append(f"the embedded cluster cannot add capabilities ({', '.join(sorted(added))})")
    if context.get("procMount", "Default") != "Default":
        refused.append("the embedded cluster does not serve procMount")
    if container.get("volumeDevices"):
        refused.append("the embedded cluster does not serve block volumes (volumeDevices)")
    if not spec.get("hostNetwork") and any(p.get("hostPort") for p in container.get("ports") or ()):
        refused.append("the embedded cluster does not serve hostPort; use a NodePort service or hostNetwork")
    for name in _PROBES:
        if (container.get(name) or {}).get("grpc"):
            refused.append(f"the embedded cluster does not serve gRPC probes ({name}); use exec, httpGet or tcpSocket")
    return refused


def root_problem(pod: JSON, container: JSON, uid: int, pod_text: str) -> str:
    """What runAsNonRoot forbids, with the kubelet's text (kuberuntime/security_context.go); "" when nothing."""
    own, common = container.get("securityContext") or {}, pod["spec"].get("securityContext") or {}
    if not own.get("runAsNonRoot", common.get("runAsNonRoot")) or uid != 0:
        return ""
    where = f'(pod: "{pod_text}", container: {container["name"]})'
    if own.get("runAsUser", common.get("runAsUser")) is not None:
        return f"container's runAsUser breaks non-root policy {where}"
    return f"container has runAsNonRoot and image will run as root {where}"
