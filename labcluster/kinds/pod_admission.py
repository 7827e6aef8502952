"""What admission adds to a new pod: its service account with a token, tolerations, priority, QoS class.

Upstream: plugin/pkg/admission/{serviceaccount,defaulttolerationseconds,priority} and
pkg/apis/core/helper/qos/qos.go.
"""

from __future__ import annotations

from decimal import Decimal

from labcluster.api import errors, quantities
from labcluster.api.generated_names import random_suffix
from labcluster.api.objects import JSON, name_of, namespace_of
from labcluster.api.resources import PODS, SERVICE_ACCOUNTS
from labcluster.kinds.pod_defaults import FILE_MODE, all_containers
from labcluster.kinds.reading import Reader

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_VOLUME_PREFIX = "kube-api-access-"
TOKEN_SECONDS = 3600 + 7  # upstream's odd number marks the tokens that admission asked for
CA_CONFIG_MAP = "kube-root-ca.crt"
TOLERATION_SECONDS = 300  # how long a pod stays on a node that is not ready or cannot be reached

_TOLERATED_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_SYSTEM_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_QOS_RESOURCES = ("cpu", "memory")


def admit(pod: JSON, reader: Reader) -> None:
    """Complete a new pod in place. Raises ApiError 403 when its service account or priority class is missing."""
    _add_service_account(pod, reader)
    _add_priority(pod)
    _add_tolerations(pod["spec"])


def _submitted_name(pod: JSON) -> str:
    """The name that an admission error speaks of: the prefix, while the rest was only being generated."""
    prefix = pod["metadata"].get("generateName", "")
    name = name_of(pod)
    return prefix if prefix and name.startswith(prefix) and len(name) == len(prefix) + 5 else name


def _add_service_account(pod: JSON, reader: Reader) -> None:
    spec, namespace = pod["spec"], namespace_of(pod)
    name = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = reader.find(SERVICE_ACCOUNTS, namespace, name)
    if account is None:
        why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise errors.forbidden(PODS, _submitted_name(pod), why)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [{"name": secret.get("name", "")} for secret in account["imagePullSecrets"]]
    wanted = spec.get("automountServiceAccountToken")
    if wanted is None:
        wanted = account.get("automountServiceAccountToken")
    if wanted is not False:
        _mount_token(spec)


def _mount_token(spec: JSON) -> None:
    """Mount the token into every container that has nothing at its path, from one projected volume."""
    given = [v["name"] for v in spec.get("volumes") or () if str(v.get("name")).startswith(TOKEN_VOLUME_PREFIX)]
    volume = given[0] if given else TOKEN_VOLUME_PREFIX + random_suffix()
    mounted = False
    for container in all_containers(spec):
        mounts = container.get("volumeMounts") or []
        if not any(mount.get("mountPath") == TOKEN_PATH for mount in mounts):
            container["volumeMounts"] = [*mounts, {"name": volume, "readOnly": True, "mountPath": TOKEN_PATH}]
            mounted = True
    if mounted and not given:
        spec["volumes"] = [*(spec.get("volumes") or []), {"name": volume, "projected": _token_projection()}]


def _token_projection() -> JSON:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": CA_CONFIG_MAP, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": FILE_MODE,
    }


def _add_priority(pod: JSON) -> None:
    spec = pod["spec"]
    name = spec.get("priorityClassName") or ""
    if name and name not in _SYSTEM_PRIORITIES:
        raise errors.forbidden(PODS, _submitted_name(pod), f"no PriorityClass with name {name} was found")
    priority = _SYSTEM_PRIORITIES.get(name, 0)
    if spec.get("priority") not in (None, priority):
        why = (
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            f"priority admission controller computed {priority} from the given PriorityClass name"
        )
        raise errors.forbidden(PODS, _submitted_name(pod), why)
    spec["priority"] = priority
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _add_tolerations(spec: JSON) -> None:
    tolerations = list(spec.get("tolerations") or ())
    for taint in _TOLERATED_TAINTS:
        tolerated = any(
            t.get("key", "") in ("", taint) and t.get("effect", "") in ("", "NoExecute")
            for t in spec.get("tolerations") or ()
        )
        if not tolerated:
            toleration = {"key": taint, "operator": "Exists", "effect": "NoExecute"}
            tolerations.append({**toleration, "tolerationSeconds": TOLERATION_SECONDS})
    spec["tolerations"] = tolerations


def qos_class(spec: JSON) -> str:
    """Guaranteed, Burstable or BestEffort, by the CPU and memory that the containers request and are limited to."""
    containers = list(all_containers(spec))
    requests = [_amounts(c, "requests") for c in containers]
    limits = [_amounts(c, "limits") for c in containers]
    if not any(requests) and not any(limits):
        return "BestEffort"
    if all(len(limit) == len(_QOS_RESOURCES) for limit in limits) and requests == limits:
        return "Guaranteed"
    return "Burstable"


def _amounts(container: JSON, key: str) -> dict[str, Decimal]:
    amounts = ((container.get("resources") or {}).get(key) or {}).items()
    parsed = {name: quantities.parse(amount).amount for name, amount in amounts if name in _QOS_RESOURCES}
    return {name: amount for name, amount in parsed.items() if amount > 0}
