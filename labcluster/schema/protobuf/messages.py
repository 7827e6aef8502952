"""The protobuf messages that kubectl create, kubectl debug and Ingress controllers send: field numbers, names, types.

The numbers are those of k8s.io/api/*/generated.proto and apimachinery's meta/v1, runtime, resource and util/intstr.
Only what those write is here; `decoding` refuses anything else by name.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

# One line for each message: "number name type". A type is a scalar (string, bytes, int32, int64, bool), a message,
# []type for a repeated field, {}type for a map from strings; `?` marks a pointer in Go, whose zero value counts;
# `-` is skipped: what the server sets anyway; `*` marks an embedded struct, whose fields JSON writes in its place.
_MESSAGES = {
    "Unknown": "1 typeMeta TypeMeta, 2 raw bytes, 3 contentEncoding string, 4 contentType string",
    "TypeMeta": "1 apiVersion string, 2 kind string",
    "ObjectMeta": (
        "1 name string, 2 generateName string, 3 namespace string, 4 selfLink -, 5 uid string, "
        "6 resourceVersion string, 7 generation -, 8 creationTimestamp -, 9 deletionTimestamp -, "
        "10 deletionGracePeriodSeconds -, 11 labels {}string, 12 annotations {}string, "
        "13 ownerReferences []OwnerReference, 14 finalizers []string, 17 managedFields -"
    ),
    "OwnerReference": (
        "1 kind string, 3 name string, 4 uid string, 5 apiVersion string, 6 controller bool?, "
        "7 blockOwnerDeletion bool?"
    ),
    "DeleteOptions": (
        "1 gracePeriodSeconds int64?, 2 preconditions Preconditions?, 3 orphanDependents bool?, "
        "4 propagationPolicy string?, 5 dryRun []string, 6 ignoreStoreReadErrorWithClusterBreakingPotential bool?"
    ),
    "Preconditions": "1 uid string?, 2 resourceVersion string?",
    "LabelSelector": "1 matchLabels {}string, 2 matchExpressions []LabelSelectorRequirement",
    "LabelSelectorRequirement": "1 key string, 2 operator string, 3 values []string",
    "Namespace": "1 metadata ObjectMeta, 2 spec NamespaceSpec, 3 status -",
    "NamespaceSpec": "1 finalizers []string",
    "ServiceAccount": (
        "1 metadata ObjectMeta, 2 secrets []ObjectReference, 3 imagePullSecrets []LocalObjectReference, "
        "4 automountServiceAccountToken bool?"
    ),
    "ObjectReference": (
        "1 kind string, 2 namespace string, 3 name string, 4 uid string, 5 apiVersion string, "
        "6 resourceVersion string, 7 fieldPath string"
    ),
    "LocalObjectReference": "1 name string",
    "ConfigMap": "1 metadata ObjectMeta, 2 data {}string, 3 binaryData {}bytes, 4 immutable bool?",
    "Secret": ("1 metadata ObjectMeta, 2 data {}bytes, 3 type string, 4 stringData {}string, 5 immutable bool?"),
    "Service": "1 metadata ObjectMeta, 2 spec ServiceSpec, 3 status -",
    "ServiceSpec": (
        "1 ports []ServicePort, 2 selector {}string, 3 clusterIP string, 4 type string, 5 externalIPs []string, "
        "7 sessionAffinity string, 8 loadBalancerIP string, 9 loadBalancerSourceRanges []string, "
        "10 externalName string, 11 externalTrafficPolicy string, 12 healthCheckNodePort int32, "
        "13 publishNotReadyAddresses bool, 17 ipFamilyPolicy string, 18 clusterIPs []string, 19 ipFamilies []string, "
        "22 internalTrafficPolicy string"
    ),
    "ServicePort": (
        "1 name string, 2 protocol string, 3 port int32, 4 targetPort IntOrString, 5 nodePort int32, "
        "6 appProtocol string?"
    ),
    "Deployment": "1 metadata ObjectMeta, 2 spec DeploymentSpec, 3 status -",
    "DeploymentSpec": (
        "1 replicas int32?, 2 selector LabelSelector?, 3 template PodTemplateSpec, 4 strategy DeploymentStrategy, "
        "5 minReadySeconds int32, 6 revisionHistoryLimit int32?, 7 paused bool, 9 progressDeadlineSeconds int32?"
    ),
    "DeploymentStrategy": "1 type string, 2 rollingUpdate RollingUpdateDeployment?",
    "RollingUpdateDeployment": "1 maxUnavailable IntOrString?, 2 maxSurge IntOrString?",
    "PodTemplateSpec": "1 metadata ObjectMeta, 2 spec PodSpec",
    "Pod": "1 metadata ObjectMeta, 2 spec PodSpec, 3 status -",
    "PodSpec": (
        "1 volumes []Volume, 2 containers []Container, 3 restartPolicy string, 4 terminationGracePeriodSeconds int64?, "
        "5 activeDeadlineSeconds int64?, 6 dnsPolicy string, 7 nodeSelector {}string, 8 serviceAccountName string, "
        "9 serviceAccount string, 10 nodeName string, 11 hostNetwork bool, 12 hostPID bool, 13 hostIPC bool, "
        "14 securityContext PodSecurityContext?, 15 imagePullSecrets []LocalObjectReference, 16 hostname string, "
        "17 subdomain string, 18 affinity Affinity?, 19 schedulerName string, 20 initContainers []Container, "
        "21 automountServiceAccountToken bool?, 22 tolerations []Toleration, 23 hostAliases []HostAlias, "
        "24 priorityClassName string, 25 priority int32?, 26 dnsConfig PodDNSConfig?, 27 shareProcessNamespace bool?, "
        "28 readinessGates []PodReadinessGate, 30 enableServiceLinks bool?, 31 preemptionPolicy string?, "
        "33 topologySpreadConstraints []TopologySpreadConstraint, 35 setHostnameAsFQDN bool?, "
        "38 schedulingGates []PodSchedulingGate"
    ),
    "PodSecurityContext": (
        "2 runAsUser int64?, 3 runAsNonRoot bool?, 4 supplementalGroups []int64, 5 fsGroup int64?, "
        "6 runAsGroup int64?, 9 fsGroupChangePolicy string?, 10 seccompProfile SeccompProfile?"
    ),
    "SeccompProfile": "1 type string, 2 localhostProfile string?",
    "HostAlias": "1 ip string, 2 hostnames []string",
    "PodDNSConfig": "1 nameservers []string, 2 searches []string, 3 options []PodDNSConfigOption",
    "PodDNSConfigOption": "1 name string, 2 value string?",
    "PodReadinessGate": "1 conditionType string",
    "PodSchedulingGate": "1 name string",
    "Toleration": "1 key string, 2 operator string, 3 value string, 4 effect string, 5 tolerationSeconds int64?",
    "TopologySpreadConstraint": (
        "1 maxSkew int32, 2 topologyKey string, 3 whenUnsatisfiable string, 4 labelSelector LabelSelector?, "
        "5 minDomains int32?, 6 nodeAffinityPolicy string?, 7 nodeTaintsPolicy string?, 8 matchLabelKeys []string"
    ),
    "Affinity": "1 nodeAffinity NodeAffinity?, 2 podAffinity PodAffinity?, 3 podAntiAffinity PodAffinity?",
    "NodeAffinity": (
        "1 requiredDuringSchedulingIgnoredDuringExecution NodeSelector?, "
        "2 preferredDuringSchedulingIgnoredDuringExecution []PreferredSchedulingTerm"
    ),
    "NodeSelector": "1 nodeSelectorTerms []NodeSelectorTerm",
    "NodeSelectorTerm": "1 matchExpressions []LabelSelectorRequirement, 2 matchFields []LabelSelectorRequirement",
    "PreferredSchedulingTerm": "1 weight int32, 2 preference NodeSelectorTerm",
    "PodAffinity": (  # and PodAntiAffinity
        "1 requiredDuringSchedulingIgnoredDuringExecution []PodAffinityTerm, "
        "2 preferredDuringSchedulingIgnoredDuringExecution []WeightedPodAffinityTerm"
    ),
    "PodAffinityTerm": (
        "1 labelSelector LabelSelector?, 2 namespaces []string, 3 topologyKey string, "
        "4 namespaceSelector LabelSelector?, 5 matchLabelKeys []string, 6 mismatchLabelKeys []string"
    ),
    "WeightedPodAffinityTerm": "1 weight int32, 2 podAffinityTerm PodAffinityTerm",
    "Volume": "1 name string, 2 volumeSource VolumeSource*",
    "VolumeSource": (
        "1 hostPath HostPathVolumeSource?, 2 emptyDir EmptyDirVolumeSource?, 6 secret SecretVolumeSource?, "
        "10 persistentVolumeClaim PersistentVolumeClaimVolumeSource?, 16 downwardAPI DownwardAPIVolumeSource?, "
        "19 configMap ConfigMapVolumeSource?, 26 projected ProjectedVolumeSource?, 29 ephemeral EphemeralVolumeSource?"
    ),
    "HostPathVolumeSource": "1 path string, 2 type string?",
    "EmptyDirVolumeSource": "1 medium string, 2 sizeLimit Quantity?",
    "SecretVolumeSource": "1 secretName string, 2 items []KeyToPath, 3 defaultMode int32?, 4 optional bool?",
    "PersistentVolumeClaimVolumeSource": "1 claimName string, 2 readOnly bool",
    "DownwardAPIVolumeSource": "1 items []DownwardAPIVolumeFile, 2 defaultMode int32?",
    "DownwardAPIVolumeFile": (
        "1 path string, 2 fieldRef ObjectFieldSelector?, 3 resourceFieldRef ResourceFieldSelector?, 4 mode int32?"
    ),
    "ObjectFieldSelector": "1 apiVersion string, 2 fieldPath string",
    "ResourceFieldSelector": "1 containerName string, 2 resource string, 3 divisor Quantity",
    "ConfigMapVolumeSource": (
        "1 localObjectReference LocalObjectReference*, 2 items []KeyToPath, 3 defaultMode int32?, 4 optional bool?"
    ),
    "KeyToPath": "1 key string, 2 path string, 3 mode int32?",
    "ProjectedVolumeSource": "1 sources []VolumeProjection, 2 defaultMode int32?",
    "VolumeProjection": (
        "1 secret KeysProjection?, 2 downwardAPI DownwardAPIVolumeSource?, 3 configMap KeysProjection?, "
        "4 serviceAccountToken ServiceAccountTokenProjection?"
    ),
    "KeysProjection": (  # SecretProjection and ConfigMapProjection
        "1 localObjectReference LocalObjectReference*, 2 items []KeyToPath, 4 optional bool?"
    ),
    "ServiceAccountTokenProjection": "1 audience string, 2 expirationSeconds int64?, 3 path string",
    "EphemeralVolumeSource": "1 volumeClaimTemplate PersistentVolumeClaimTemplate?",
    "PersistentVolumeClaimTemplate": "1 metadata ObjectMeta, 2 spec PersistentVolumeClaimSpec",
    "PersistentVolumeClaimSpec": (
        "1 accessModes []string, 2 resources ResourceRequirements, 3 volumeName string, 4 selector LabelSelector?, "
        "5 storageClassName string?, 6 volumeMode string?"
    ),
    "Container": (
        "1 name string, 2 image string, 3 command []string, 4 args []string, 5 workingDir string, "
        "6 ports []ContainerPort, 7 env []EnvVar, 8 resources ResourceRequirements, 9 volumeMounts []VolumeMount, "
        "10 livenessProbe Probe?, 11 readinessProbe Probe?, 12 lifecycle Lifecycle?, 13 terminationMessagePath string, "
        "14 imagePullPolicy string, 15 securityContext SecurityContext?, 16 stdin bool, 17 stdinOnce bool, "
        "18 tty bool, 19 envFrom []EnvFromSource, 20 terminationMessagePolicy string, 22 startupProbe Probe?, "
        "24 restartPolicy string?"
    ),
    "VolumeMount": (
        "1 name string, 2 readOnly bool, 3 mountPath string, 4 subPath string, 5 mountPropagation string?, "
        "6 subPathExpr string, 7 recursiveReadOnly string?"
    ),
    "Probe": (
        "1 handler Handler*, 2 initialDelaySeconds int32, 3 timeoutSeconds int32, 4 periodSeconds int32, "
        "5 successThreshold int32, 6 failureThreshold int32, 7 terminationGracePeriodSeconds int64?"
    ),
    "Lifecycle": "1 postStart LifecycleHandler?, 2 preStop LifecycleHandler?, 3 stopSignal string?",
    "Handler": "1 exec ExecAction?, 2 httpGet HTTPGetAction?, 3 tcpSocket TCPSocketAction?, 4 grpc GRPCAction?",
    "LifecycleHandler": (
        "1 exec ExecAction?, 2 httpGet HTTPGetAction?, 3 tcpSocket TCPSocketAction?, 4 sleep SleepAction?"
    ),
    "ExecAction": "1 command []string",
    "HTTPGetAction": "1 path string, 2 port IntOrString, 3 host string, 4 scheme string, 5 httpHeaders []HTTPHeader",
    "HTTPHeader": "1 name string, 2 value string",
    "TCPSocketAction": "1 port IntOrString, 2 host string",
    "GRPCAction": "1 port int32, 2 service string?",
    "SleepAction": "1 seconds int64",
    "SecurityContext": (
        "1 capabilities Capabilities?, 2 privileged bool?, 4 runAsUser int64?, 5 runAsNonRoot bool?, "
        "6 readOnlyRootFilesystem bool?, 7 allowPrivilegeEscalation bool?, 8 runAsGroup int64?, 9 procMount string?, "
        "11 seccompProfile SeccompProfile?"
    ),
    "Capabilities": "1 add []string, 2 drop []string",
    "EnvFromSource": "1 prefix string, 2 configMapRef KeysSource?, 3 secretRef KeysSource?",
    "KeysSource": (  # ConfigMapEnvSource and SecretEnvSource
        "1 localObjectReference LocalObjectReference*, 2 optional bool?"
    ),
    "EnvVarSource": (
        "1 fieldRef ObjectFieldSelector?, 2 resourceFieldRef ResourceFieldSelector?, 3 configMapKeyRef KeySelector?, "
        "4 secretKeyRef KeySelector?"
    ),
    "KeySelector": (  # ConfigMapKeySelector and SecretKeySelector
        "1 localObjectReference LocalObjectReference*, 2 key string, 3 optional bool?"
    ),
    "ContainerPort": "1 name string, 2 hostPort int32, 3 containerPort int32, 4 protocol string, 5 hostIP string",
    "EnvVar": "1 name string, 2 value string, 3 valueFrom EnvVarSource?",
    "ResourceRequirements": "1 limits {}Quantity, 2 requests {}Quantity",
    "PodDisruptionBudget": "1 metadata ObjectMeta, 2 spec PodDisruptionBudgetSpec, 3 status -",
    "PodDisruptionBudgetSpec": (
        "1 minAvailable IntOrString?, 2 selector LabelSelector?, 3 maxUnavailable IntOrString?, "
        "4 unhealthyPodEvictionPolicy string?"
    ),
    "Job": "1 metadata ObjectMeta, 2 spec JobSpec, 3 status -",
    "JobSpec": (
        "1 parallelism int32?, 2 completions int32?, 3 activeDeadlineSeconds int64?, 4 selector LabelSelector?, "
        "5 manualSelector bool?, 6 template PodTemplateSpec, 7 backoffLimit int32?, 8 ttlSecondsAfterFinished int32?, "
        "9 completionMode string?, 10 suspend bool?"
    ),
    "CronJob": "1 metadata ObjectMeta, 2 spec CronJobSpec, 3 status -",
    "CronJobSpec": (
        "1 schedule string, 2 startingDeadlineSeconds int64?, 3 concurrencyPolicy string, 4 suspend bool?, "
        "5 jobTemplate JobTemplateSpec, 6 successfulJobsHistoryLimit int32?, 7 failedJobsHistoryLimit int32?, "
        "8 timeZone string?"
    ),
    "JobTemplateSpec": "1 metadata ObjectMeta, 2 spec JobSpec",
    "Role": "1 metadata ObjectMeta, 2 rules []PolicyRule",
    "ClusterRole": "1 metadata ObjectMeta, 2 rules []PolicyRule, 3 aggregationRule AggregationRule?",
    "PolicyRule": (
        "1 verbs []string, 2 apiGroups []string, 3 resources []string, 4 resourceNames []string, "
        "5 nonResourceURLs []string"
    ),
    "AggregationRule": "1 clusterRoleSelectors []LabelSelector",
    "RoleBinding": "1 metadata ObjectMeta, 2 subjects []Subject, 3 roleRef RoleRef",
    "ClusterRoleBinding": "1 metadata ObjectMeta, 2 subjects []Subject, 3 roleRef RoleRef",
    "Subject": "1 kind string, 2 apiGroup string, 3 name string, 4 namespace string",
    "RoleRef": "1 apiGroup string, 2 kind string, 3 name string",
    "Ingress": "1 metadata ObjectMeta, 2 spec IngressSpec, 3 status IngressStatus?",  # its controller writes it so
    "IngressStatus": "1 loadBalancer IngressLoadBalancerStatus?",
    "IngressLoadBalancerStatus": "1 ingress []IngressLoadBalancerIngress",
    "IngressLoadBalancerIngress": "1 ip string, 2 hostname string, 4 ports []IngressPortStatus",
    "IngressPortStatus": "1 port int32, 2 protocol string, 3 error string?",
    "IngressSpec": (
        "1 defaultBackend IngressBackend?, 2 tls []IngressTLS, 3 rules []IngressRule, 4 ingressClassName string?"
    ),
    "IngressBackend": "3 resource TypedLocalObjectReference?, 4 service IngressServiceBackend?",
    "IngressServiceBackend": "1 name string, 2 port ServiceBackendPort",
    "ServiceBackendPort": "1 name string, 2 number int32",
    "TypedLocalObjectReference": "1 apiGroup string?, 2 kind string, 3 name string",
    "IngressTLS": "1 hosts []string, 2 secretName string",
    "IngressRule": "1 host string, 2 ingressRuleValue IngressRuleValue*",
    "IngressRuleValue": "1 http HTTPIngressRuleValue?",
    "HTTPIngressRuleValue": "1 paths []HTTPIngressPath",
    "HTTPIngressPath": "1 path string, 2 backend IngressBackend, 3 pathType string?",
    "TokenRequest": "1 metadata ObjectMeta, 2 spec TokenRequestSpec, 3 status -",
    "TokenRequestSpec": "1 audiences []string, 3 boundObjectRef BoundObjectReference?, 4 expirationSeconds int64?",
    "BoundObjectReference": "1 kind string, 2 apiVersion string, 3 name string, 4 uid string",
    "SelfSubjectReview": "1 metadata ObjectMeta, 2 status -",
    "SelfSubjectAccessReview": "1 metadata ObjectMeta, 2 spec SelfSubjectAccessReviewSpec, 3 status -",
    "SelfSubjectAccessReviewSpec": (
        "1 resourceAttributes ResourceAttributes?, 2 nonResourceAttributes NonResourceAttributes?"
    ),
    "SelfSubjectRulesReview": "1 metadata ObjectMeta, 2 spec SelfSubjectRulesReviewSpec, 3 status -",
    "SelfSubjectRulesReviewSpec": "1 namespace string",
    "SubjectAccessReview": "1 metadata ObjectMeta, 2 spec SubjectAccessReviewSpec, 3 status -",
    "LocalSubjectAccessReview": "1 metadata ObjectMeta, 2 spec SubjectAccessReviewSpec, 3 status -",
    "SubjectAccessReviewSpec": (
        "1 resourceAttributes ResourceAttributes?, 2 nonResourceAttributes NonResourceAttributes?, 3 user string, "
        "4 groups []string, 5 extra {}ExtraValue, 6 uid string"
    ),
    "TokenReview": "1 metadata ObjectMeta, 2 spec TokenReviewSpec, 3 status -",
    "TokenReviewSpec": "1 token string, 2 audiences []string",
    "ResourceAttributes": (
        "1 namespace string, 2 verb string, 3 group string, 4 version string, 5 resource string, "
        "6 subresource string, 7 name string"
    ),
    "NonResourceAttributes": "1 path string, 2 verb string",
    # Messages that JSON writes as something else: `decoding` knows them by name.
    "IntOrString": "1 type int64, 2 intVal int32, 3 strVal string",
    "Quantity": "1 string string",
    "ExtraValue": "1 items []string",
}

_OBJECTS = frozenset(
    {
        ("v1", "Namespace"),
        ("v1", "ServiceAccount"),
        ("v1", "ConfigMap"),
        ("v1", "Secret"),
        ("v1", "Service"),
        ("v1", "Pod"),
        ("apps/v1", "Deployment"),
        ("batch/v1", "CronJob"),
        ("batch/v1", "Job"),
        ("policy/v1", "PodDisruptionBudget"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole"),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
        ("networking.k8s.io/v1", "Ingress"),
        ("authentication.k8s.io/v1", "TokenRequest"),
        ("authentication.k8s.io/v1", "TokenReview"),
        ("authentication.k8s.io/v1", "SelfSubjectReview"),
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview"),
        ("authorization.k8s.io/v1", "SubjectAccessReview"),
        ("authorization.k8s.io/v1", "LocalSubjectAccessReview"),
    }
)
# The options of a deletion are of the version of what is deleted.
KINDS = _OBJECTS | {(version, "DeleteOptions") for version, _ in _OBJECTS}


@dataclass(frozen=True)
class MessageField:
    """A field of a message: its name in JSON and its type."""

    name: str
    type: str  # a scalar or a message; "" is skipped
    repeated: bool
    is_map: bool
    pointer: bool
    embedded: bool


@functools.cache
def fields(message: str) -> dict[int, MessageField]:
    """The fields of a message by their numbers. Raises KeyError for a message that is not in the table."""
    by_number = {}
    for line in _MESSAGES[message].split(", "):
        number, name, kind = line.split()
        repeated, is_map, pointer = kind.startswith("[]"), kind.startswith("{}"), kind.endswith("?")
        by_number[int(number)] = MessageField(
            name, kind.strip("[]{}?-*"), repeated, is_map, pointer, kind.endswith("*")
        )
    return by_number


def is_message(name: str) -> bool:
    """Whether a type is a message and not a scalar."""
    return name in _MESSAGES
