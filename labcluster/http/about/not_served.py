"""The kinds of Kubernetes that this cluster does not serve on purpose, and the 404 that says so.

A kind is served when a chapter of the course needs it. labcluster/README.md lists the others, one row a group.
"""

from __future__ import annotations

from labcluster.api.errors import ApiError
from labcluster.http.call import no_such_resource

# Every kind of a stable version (v1, v2) of Kubernetes 1.36, by group, that is not in `resources`.
NOT_SERVED: dict[str, tuple[str, ...]] = {
    "": ("LimitRange", "PodTemplate", "ReplicationController", "ResourceQuota"),
    "admissionregistration.k8s.io": (
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    ),
    "apiregistration.k8s.io": ("APIService",),
    "autoscaling": ("HorizontalPodAutoscaler",),
    "certificates.k8s.io": ("CertificateSigningRequest",),
    "events.k8s.io": ("Event",),
    "flowcontrol.apiserver.k8s.io": ("FlowSchema", "PriorityLevelConfiguration"),
    "networking.k8s.io": ("IPAddress", "ServiceCIDR"),
    "node.k8s.io": ("RuntimeClass",),
    "resource.k8s.io": ("DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"),
    "scheduling.k8s.io": ("PriorityClass",),
    "storage.k8s.io": ("CSIDriver", "CSINode", "CSIStorageCapacity", "VolumeAttachment", "VolumeAttributesClass"),
}


def not_found(group: str, plural: str = "") -> ApiError:
    """404 for a resource, or a whole group, that is not served: with its name where that is on purpose."""
    plurals = [plural_of(kind) for kind in NOT_SERVED.get(group, ())]
    if plural in plurals:
        plurals = [plural]
    elif plural or not plurals:
        return no_such_resource()
    names = ", ".join(f"{name}.{group}" if group else name for name in plurals)
    message = f"the embedded cluster does not serve {names}, on purpose: labcluster/README.md lists what it leaves out"
    return ApiError(404, "NotFound", message)


def plural_of(kind: str) -> str:
    """The name of a kind's resource (apimachinery meta.UnsafeGuessKindToResource, which is right for these)."""
    singular = kind.lower()
    if singular.endswith("s"):
        return singular + "es"
    return singular.removesuffix("y") + "ies" if singular.endswith("y") else singular + "s"
