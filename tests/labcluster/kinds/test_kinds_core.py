"""Defaults, admission, validation and tables of the kinds that are not workloads."""

from __future__ import annotations

import base64
from ipaddress import ip_address
from typing import Any

import pytest

from labcluster import settings
from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON
from labcluster.api.resources import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STORAGE_CLASSES,
    Resource,
)
from labcluster.api.times import now
from labcluster.kinds.configmaps import ConfigMapKind
from labcluster.kinds.endpoints import DEPRECATED, EndpointsKind
from labcluster.kinds.endpointslices import EndpointSliceKind
from labcluster.kinds.events import EventKind
from labcluster.kinds.leases import LeaseKind
from labcluster.kinds.namespaces import NamespaceKind
from labcluster.kinds.nodes import NodeKind
from labcluster.kinds.persistentvolumeclaims import PersistentVolumeClaimKind
from labcluster.kinds.persistentvolumes import PersistentVolumeKind
from labcluster.kinds.secrets import SecretKind
from labcluster.kinds.serviceaccounts import ServiceAccountKind
from labcluster.kinds.services import ServiceKind
from labcluster.kinds.storageclasses import StorageClassKind
from labcluster.storage.registry import DeleteOptions, Registry
from labcluster.storage.store import Store

KINDS = {
    kind.resource: kind()
    for kind in (
        NamespaceKind,
        NodeKind,
        ServiceKind,
        EndpointsKind,
        EndpointSliceKind,
        ConfigMapKind,
        SecretKind,
        ServiceAccountKind,
        EventKind,
        PersistentVolumeKind,
        PersistentVolumeClaimKind,
        StorageClassKind,
        LeaseKind,
    )
}


@pytest.fixture
def registry() -> Registry:
    registry = Registry(Store(":memory:"), KINDS)
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    return registry


def refusal(call: Any, *args: Any, **kwargs: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call(*args, **kwargs)
    return caught.value


def named(name: str, **fields: Any) -> JSON:
    return {"metadata": {"name": name, "namespace": "default"}, **fields}


def service(name: str = "web", **spec: Any) -> JSON:
    return named(name, spec={"ports": [{"port": 80}], **spec})


def claim(name: str = "data", size: str = "100Mi", **spec: Any) -> JSON:
    requests = {"resources": {"requests": {"storage": size}}}
    return named(name, spec={"accessModes": ["ReadWriteOnce"], **requests, **spec})


def volume(name: str = "pv", **spec: Any) -> JSON:
    given = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}, **spec}
    return {"metadata": {"name": name}, "spec": given}


def storage_class(name: str = "standard", default: bool = True, **fields: Any) -> JSON:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": name, "annotations": annotations}, "provisioner": "lab/local", **fields}


def row(resource: Resource, obj: JSON) -> dict[str, Any]:
    """The object's table row by column name."""
    kind = KINDS[resource]
    cells = kind.cells(obj)
    assert len(cells) == len(kind.columns)
    return {column.name: cell for column, cell in zip(kind.columns, cells, strict=True)}


# ------------------------------------------------------------------ namespaces and nodes


def test_a_namespace_is_active_labelled_and_held(registry: Registry) -> None:
    made = registry.get(NAMESPACES, "", "default")
    assert made["spec"] == {"finalizers": ["kubernetes"]}
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "default"}
    assert row(NAMESPACES, made)["Status"] == "Active"


def test_a_namespace_keeps_its_label_and_finalizer_through_updates(registry: Registry) -> None:
    made = registry.update(NAMESPACES, {"metadata": {"name": "default", "labels": {"a": "b"}}})
    assert made["spec"]["finalizers"] == ["kubernetes"]
    assert made["metadata"]["labels"] == {"a": "b", "kubernetes.io/metadata.name": "default"}


def test_finalizing_a_terminating_namespace_removes_it(registry: Registry) -> None:
    registry.create(NAMESPACES, {"metadata": {"name": "gone"}})
    registry.delete(NAMESPACES, "", "gone", DeleteOptions())
    assert registry.find(NAMESPACES, "", "gone") is not None
    registry.modify(NAMESPACES, "", "gone", lambda o: o["spec"].update(finalizers=[]))
    assert registry.find(NAMESPACES, "", "gone") is None


def test_a_namespace_name_is_a_label(registry: Registry) -> None:
    error = refusal(registry.create, NAMESPACES, {"metadata": {"name": "a.b"}})
    assert error.message == 'Namespace "a.b" is invalid: metadata.name: Invalid value: "a.b": must not contain dots'


def test_a_nodes_row_shows_readiness_roles_and_addresses(registry: Registry) -> None:
    node = {
        "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}, "creationTimestamp": now()},
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "172.18.0.2"}],
            "nodeInfo": {"kubeletVersion": "v1.36.2"},
        },
    }
    found = row(NODES, node)
    assert (found["Status"], found["Roles"], found["Version"]) == (
        "Ready,SchedulingDisabled",
        "control-plane",
        "v1.36.2",
    )
    assert (found["Internal-IP"], found["External-IP"], found["OS-Image"]) == ("172.18.0.2", "<none>", "<unknown>")
    assert KINDS[NODES].fields(node) == {"spec.unschedulable": "true"}
    node["status"]["conditions"][0]["status"] = "Unknown"
    assert row(NODES, node)["Status"] == "NotReady,SchedulingDisabled"
    assert row(NODES, {"metadata": {"name": "n"}, "spec": {}})["Status"] == "Unknown"


def test_taints_are_checked(registry: Registry) -> None:
    node = {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a", "effect": "Bogus"}]}}
    error = refusal(registry.create, NODES, node)
    assert 'spec.taints[0].effect: Unsupported value: "Bogus"' in error.message


# ------------------------------------------------------------------ services


def test_a_headless_service_equals_the_recorded_one(registry: Registry) -> None:
    made = registry.create(
        SERVICES,
        named(
            "redis",
            spec={
                "clusterIP": "None",
                "selector": {"app": "redis"},
                "ports": [{"name": "redis", "port": 6379, "targetPort": 6379}],
            },
        ),
    )
    assert made["spec"] == {
        "clusterIP": "None",
        "clusterIPs": ["None"],
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "ports": [{"name": "redis", "port": 6379, "protocol": "TCP", "targetPort": 6379}],
        "selector": {"app": "redis"},
        "sessionAffinity": "None",
        "type": "ClusterIP",
    }
    assert made["status"] == {"loadBalancer": {}}
    found = row(SERVICES, made)
    assert list(found) == ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector"]
    assert list(found.values())[:5] == ["redis", "ClusterIP", "None", "<none>", "6379/TCP"]
    assert found["Selector"] == "app=redis"
    assert KINDS[SERVICES].fields(made) == {"spec.clusterIP": "None", "spec.type": "ClusterIP"}


def test_services_get_different_addresses_of_the_range(registry: Registry) -> None:
    addresses = {registry.create(SERVICES, service(f"s{i}"))["spec"]["clusterIP"] for i in range(20)}
    assert len(addresses) == 20
    assert all(ip_address(a) in settings.SERVICE_CIDR for a in addresses)


def test_an_address_can_be_asked_for_once(registry: Registry) -> None:
    made = registry.create(SERVICES, service(clusterIP="10.96.0.10"))
    assert made["spec"]["clusterIPs"] == ["10.96.0.10"]
    error = refusal(registry.create, SERVICES, service("other", clusterIP="10.96.0.10"))
    assert error.code == 422
    assert error.message == (
        'Service "other" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.10"]: '
        "failed to allocate IP 10.96.0.10: provided IP is already allocated"
    )
    error = refusal(registry.create, SERVICES, service("other", clusterIP="1.2.3.4"))
    assert "failed to allocate IP 1.2.3.4: the provided network does not match the current range" in error.message
    registry.delete(SERVICES, "default", "web", DeleteOptions())
    registry.create(SERVICES, service("other", clusterIP="10.96.0.10"))


def test_an_address_never_changes_and_may_be_left_out(registry: Registry) -> None:
    made = registry.create(SERVICES, service())
    again = registry.update(SERVICES, service())
    assert again["spec"] == made["spec"]
    error = refusal(registry.update, SERVICES, service(clusterIP="10.96.77.77"))
    assert 'spec.clusterIPs[0]: Invalid value: ["10.96.77.77"]: may not change once set' in error.message
    error = refusal(registry.update, SERVICES, service(clusterIP="None"))
    assert "may not change once set" in error.message


def test_node_ports_that_lead_out_are_handed_out_first(registry: Registry) -> None:
    made = registry.create(SERVICES, service(type="NodePort"))
    assert made["spec"]["ports"][0]["nodePort"] in settings.NODE_PORTS
    assert made["spec"]["externalTrafficPolicy"] == "Cluster"
    other = registry.create(SERVICES, service("other", type="NodePort"))
    assert other["spec"]["ports"][0]["nodePort"] != made["spec"]["ports"][0]["nodePort"]
    number = made["spec"]["ports"][0]["nodePort"]
    assert row(SERVICES, made)["Port(s)"] == f"80:{number}/TCP"


def test_node_ports_go_on_where_the_mapped_ones_end(registry: Registry) -> None:
    count = len(settings.NODE_PORTS) + 1
    many = [{"name": f"p{i}", "port": i + 1} for i in range(count)]
    made = registry.create(SERVICES, service(type="NodePort", ports=many))
    numbers = [p["nodePort"] for p in made["spec"]["ports"]]
    assert len(set(numbers)) == count and set(numbers) <= set(settings.NODE_PORT_RANGE)
    assert settings.DNS_NODE_PORT not in numbers


def test_taken_and_impossible_node_ports_are_refused(registry: Registry) -> None:
    registry.create(SERVICES, service(type="NodePort", ports=[{"port": 80, "nodePort": 30007}]))
    error = refusal(
        registry.create, SERVICES, service("other", type="NodePort", ports=[{"port": 80, "nodePort": 30007}])
    )
    assert error.message == (
        'Service "other" is invalid: spec.ports[0].nodePort: Invalid value: 30007: provided port is already allocated'
    )
    error = refusal(registry.create, SERVICES, service("other", type="NodePort", ports=[{"port": 80, "nodePort": 80}]))
    assert error.message == (
        'Service "other" is invalid: spec.ports[0].nodePort: Invalid value: 80: '
        "provided port is not in the valid range. The range of valid ports is 30000-32767"
    )


def test_one_node_port_may_serve_two_protocols_of_a_service(registry: Registry) -> None:
    both = [
        {"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "nodePort": 30053},
    ]
    made = registry.create(SERVICES, service(type="NodePort", ports=both))
    assert [p["nodePort"] for p in made["spec"]["ports"]] == [30053, 30053]


def test_node_ports_survive_updates_and_leave_with_the_type(registry: Registry) -> None:
    made = registry.create(SERVICES, service(type="NodePort"))
    number = made["spec"]["ports"][0]["nodePort"]
    again = registry.update(SERVICES, service(type="NodePort", ports=[{"port": 80, "targetPort": "http"}]))
    assert again["spec"]["ports"][0]["nodePort"] == number
    back = registry.modify(SERVICES, "default", "web", lambda o: o["spec"].update(type="ClusterIP"))
    assert "nodePort" not in back["spec"]["ports"][0] and "externalTrafficPolicy" not in back["spec"]
    assert back["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    taken = registry.create(SERVICES, service("other", type="NodePort", ports=[{"port": 80, "nodePort": number}]))
    assert taken["spec"]["ports"][0]["nodePort"] == number


def test_a_service_becomes_an_external_name_and_back(registry: Registry) -> None:
    registry.create(SERVICES, service())
    external = registry.modify(
        SERVICES, "default", "web", lambda o: o["spec"].update(type="ExternalName", externalName="example.com")
    )
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & set(external["spec"])
    assert row(SERVICES, external)["Cluster-IP"] == "<none>"
    assert row(SERVICES, external)["External-IP"] == "example.com"
    back = registry.modify(SERVICES, "default", "web", lambda o: o["spec"].update(type="ClusterIP"))
    assert ip_address(back["spec"]["clusterIP"]) in settings.SERVICE_CIDR


def test_a_load_balancer_waits_for_its_address(registry: Registry) -> None:
    made = registry.create(SERVICES, service(type="LoadBalancer"))
    assert row(SERVICES, made)["External-IP"] == "<pending>"
    assert made["spec"]["allocateLoadBalancerNodePorts"] is True
    assert made["spec"]["ports"][0]["nodePort"]


def test_session_affinity_gets_its_timeout(registry: Registry) -> None:
    made = registry.create(SERVICES, service(sessionAffinity="ClientIP"))
    assert made["spec"]["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"ports": []}, "spec.ports: Required value"),
        ({"ports": [{"port": 0}]}, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        ({"ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name: Required value"),
        (
            {"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]},
            'spec.ports[1].name: Duplicate value: "a"',
        ),
        (
            {"ports": [{"port": 1, "protocol": "ICMP"}]},
            'spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
        ),
        ({"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]}, "spec.ports[1]: Duplicate value: "),
        (
            {"ports": [{"port": 1, "nodePort": 30001}]},
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ),
        (
            {"type": "Bogus"},
            'spec.type: Unsupported value: "Bogus": supported values: "ClusterIP", "ExternalName", "LoadBalancer", '
            '"NodePort"',
        ),
        (
            {"type": "NodePort", "clusterIP": "None"},
            "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services",
        ),
        ({"type": "ExternalName"}, "spec.externalName: Required value"),
        ({"clusterIP": "spam"}, 'spec.clusterIPs[0]: Invalid value: "spam": must be a valid IP address'),
        ({"ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
        (
            {"sessionAffinity": "Cookie"},
            'spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"',
        ),
    ],
)
def test_malformed_services_are_refused(registry: Registry, spec: JSON, text: str) -> None:
    error = refusal(registry.create, SERVICES, service(**spec))
    assert (error.code, error.reason) == (422, "Invalid")
    assert text in error.message


def test_the_recorded_refusal_of_a_service(registry: Registry) -> None:
    error = refusal(registry.create, SERVICES, named("1x", spec={"ports": []}))
    assert [c["field"] for c in error.details["causes"]] == ["metadata.name", "spec.ports"]
    assert error.details["causes"][1]["message"] == "Required value"


def test_publish_not_ready_addresses_is_kept(registry: Registry) -> None:
    made = registry.create(SERVICES, service(publishNotReadyAddresses=True))
    assert made["spec"]["publishNotReadyAddresses"] is True


# ------------------------------------------------------------------ storage


def test_a_claim_is_pending_protected_and_of_the_default_class(registry: Registry) -> None:
    registry.create(STORAGE_CLASSES, storage_class())
    registry.create(STORAGE_CLASSES, storage_class("other", default=False))
    made = registry.create(PERSISTENT_VOLUME_CLAIMS, claim(size="1024Mi"))
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert made["status"] == {"phase": "Pending"}
    assert (made["spec"]["storageClassName"], made["spec"]["volumeMode"]) == ("standard", "Filesystem")
    assert made["spec"]["resources"]["requests"]["storage"] == "1Gi"
    unclassed = registry.create(PERSISTENT_VOLUME_CLAIMS, claim("none", storageClassName=""))
    assert unclassed["spec"]["storageClassName"] == ""


def test_without_a_default_class_a_claim_gets_none(registry: Registry) -> None:
    assert "storageClassName" not in registry.create(PERSISTENT_VOLUME_CLAIMS, claim())["spec"]


def test_the_recorded_refusals_of_claims(registry: Registry) -> None:
    bad = claim("x") | {"spec": {"accessModes": ["Bogus"], "resources": {"requests": {"storage": "1Gi"}}}}
    assert refusal(registry.create, PERSISTENT_VOLUME_CLAIMS, bad).message == (
        'PersistentVolumeClaim "x" is invalid: spec.accessModes: Unsupported value: "Bogus": '
        'supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"'
    )
    bad = claim("x") | {"spec": {"resources": {}}}
    assert refusal(registry.create, PERSISTENT_VOLUME_CLAIMS, bad).message == (
        'PersistentVolumeClaim "x" is invalid: [spec.accessModes: Required value: at least 1 access mode is required, '
        "spec.resources[storage]: Required value]"
    )


def bound_claim(registry: Registry, **class_fields: Any) -> JSON:
    registry.create(STORAGE_CLASSES, storage_class(**class_fields))
    registry.create(PERSISTENT_VOLUME_CLAIMS, claim())
    registry.modify(PERSISTENT_VOLUME_CLAIMS, "default", "data", lambda o: o["spec"].update(volumeName="pv"))
    status = {"phase": "Bound", "capacity": {"storage": "100Mi"}, "accessModes": ["ReadWriteOnce"]}
    return registry.modify(
        PERSISTENT_VOLUME_CLAIMS, "default", "data", lambda o: o.update(status=status), subresource="status"
    )


def resize(registry: Registry, size: str) -> JSON:
    def change(obj: JSON) -> None:
        obj["spec"]["resources"]["requests"]["storage"] = size

    return registry.modify(PERSISTENT_VOLUME_CLAIMS, "default", "data", change)


def test_a_claim_does_not_shrink(registry: Registry) -> None:
    bound_claim(registry)
    assert refusal(resize, registry, "50Mi").message == (
        'PersistentVolumeClaim "data" is invalid: spec.resources.requests.storage: '
        "Forbidden: field can not be less than status.capacity"
    )


def test_a_claim_grows_only_where_its_class_allows_it(registry: Registry) -> None:
    bound_claim(registry)
    error = refusal(resize, registry, "500Mi")
    assert (error.code, error.message) == (
        403,
        'persistentvolumeclaims "data" is forbidden: only dynamically provisioned pvc can be resized '
        "and the storageclass that provisions the pvc must support resize",
    )


def test_a_bound_claim_of_a_growing_class_grows(registry: Registry) -> None:
    bound_claim(registry, allowVolumeExpansion=True)
    assert resize(registry, "0.5Gi")["spec"]["resources"]["requests"]["storage"] == "512Mi"


def test_a_pending_claim_does_not_grow(registry: Registry) -> None:
    registry.create(STORAGE_CLASSES, storage_class(allowVolumeExpansion=True))
    registry.create(PERSISTENT_VOLUME_CLAIMS, claim())
    assert "Only bound persistent volume claims can be expanded" in refusal(resize, registry, "500Mi").message


def test_the_spec_of_a_claim_is_immutable(registry: Registry) -> None:
    bound_claim(registry)
    error = refusal(
        registry.modify,
        PERSISTENT_VOLUME_CLAIMS,
        "default",
        "data",
        lambda o: o["spec"].update(accessModes=["ReadWriteMany"]),
    )
    text = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName"
    assert text in error.message
    assert '-  "ReadWriteOnce"\n+  "ReadWriteMany"\n' in error.message
    error = refusal(
        registry.modify, PERSISTENT_VOLUME_CLAIMS, "default", "data", lambda o: o["spec"].update(volumeName="other")
    )
    assert text in error.message


def test_the_row_of_a_claim(registry: Registry) -> None:
    found = row(PERSISTENT_VOLUME_CLAIMS, bound_claim(registry))
    found.pop("Age")
    assert found == {
        "Name": "data",
        "Status": "Bound",
        "Volume": "pv",
        "Capacity": "100Mi",
        "Access Modes": "RWO",
        "StorageClass": "standard",
        "VolumeAttributesClass": "<unset>",
        "VolumeMode": "Filesystem",
    }
    pending = row(PERSISTENT_VOLUME_CLAIMS, registry.create(PERSISTENT_VOLUME_CLAIMS, claim("p")))
    assert (pending["Status"], pending["Volume"], pending["Capacity"], pending["Access Modes"]) == (
        "Pending",
        "",
        "",
        "",
    )


def test_a_volume_is_pending_retained_and_protected(registry: Registry) -> None:
    made = registry.create(PERSISTENT_VOLUMES, volume())
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    assert made["status"]["phase"] == "Pending"
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert made["spec"]["hostPath"] == {"path": "/data", "type": ""}


def test_the_row_of_a_volume(registry: Registry) -> None:
    made = registry.create(
        PERSISTENT_VOLUMES,
        volume(claimRef={"namespace": "default", "name": "data"}, storageClassName="standard", volumeMode="Block"),
    )
    found = row(PERSISTENT_VOLUMES, made)
    found.pop("Age")
    assert found == {
        "Name": "pv",
        "Capacity": "1Gi",
        "Access Modes": "RWO",
        "Reclaim Policy": "Retain",
        "Status": "Pending",
        "Claim": "default/data",
        "StorageClass": "standard",
        "VolumeAttributesClass": "<unset>",
        "Reason": "",
        "VolumeMode": "Block",
    }
    registry.delete(PERSISTENT_VOLUMES, "", "pv", DeleteOptions())
    assert row(PERSISTENT_VOLUMES, registry.get(PERSISTENT_VOLUMES, "", "pv"))["Status"] == "Terminating"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"capacity": {}}, "spec.capacity: Required value"),
        ({"capacity": {"storage": "0"}}, 'spec.capacity[storage]: Invalid value: "0": must be greater than zero'),
        ({"hostPath": None}, "spec: Required value: must specify a volume type"),
        ({"nfs": {}}, "spec.nfs: Forbidden: may not specify more than 1 volume type"),
        ({"hostPath": None, "local": {"path": "/x"}}, "spec.nodeAffinity: Required value: Local volume requires node"),
        ({"accessModes": []}, "spec.accessModes: Required value"),
        (
            {"persistentVolumeReclaimPolicy": "Burn"},
            'spec.persistentVolumeReclaimPolicy: Unsupported value: "Burn": supported values: "Delete", "Recycle", '
            '"Retain"',
        ),
    ],
)
def test_malformed_volumes_are_refused(registry: Registry, spec: JSON, text: str) -> None:
    assert text in refusal(registry.create, PERSISTENT_VOLUMES, volume(**spec)).message


def test_the_source_of_a_volume_is_immutable_and_its_policy_is_not(registry: Registry) -> None:
    registry.create(PERSISTENT_VOLUMES, volume())
    error = refusal(registry.update, PERSISTENT_VOLUMES, volume(hostPath={"path": "/other"}))
    assert "spec.persistentvolumesource is immutable after creation" in error.message
    changed = registry.update(PERSISTENT_VOLUMES, volume(persistentVolumeReclaimPolicy="Delete"))
    assert changed["spec"]["persistentVolumeReclaimPolicy"] == "Delete"


def test_a_storage_class_is_fixed(registry: Registry) -> None:
    made = registry.create(STORAGE_CLASSES, storage_class())
    assert (made["reclaimPolicy"], made["volumeBindingMode"]) == ("Delete", "Immediate")
    found = row(STORAGE_CLASSES, made)
    assert (found["Name"], found["AllowVolumeExpansion"]) == ("standard (default)", False)
    error = refusal(registry.update, STORAGE_CLASSES, storage_class(provisioner="other/one", reclaimPolicy="Retain"))
    assert "provisioner: Forbidden: updates to provisioner are forbidden." in error.message
    assert "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden." in error.message
    registry.update(STORAGE_CLASSES, storage_class(allowVolumeExpansion=True))


# ------------------------------------------------------------------ configuration


def test_config_map_keys_are_file_names(registry: Registry) -> None:
    made = registry.create(CONFIG_MAPS, named("c", data={"redis.conf": "x"}, binaryData={"b": "AA=="}))
    assert row(CONFIG_MAPS, made)["Data"] == 2
    error = refusal(registry.create, CONFIG_MAPS, named("d", data={"a/b": "x", "..": "y"}))
    assert 'data[a/b]: Invalid value: "a/b": a valid config key must consist of' in error.message
    assert 'data[..]: Invalid value: ".."' in error.message
    error = refusal(registry.create, CONFIG_MAPS, named("d", data={"a": "x"}, binaryData={"a": "AA=="}))
    assert "duplicate of key present in binaryData: a" in error.message


@pytest.mark.parametrize("resource", [CONFIG_MAPS, SECRETS])
def test_what_is_immutable_stays(registry: Registry, resource: Resource) -> None:
    registry.create(resource, named("c", data={"a": "eA=="}, immutable=True))
    error = refusal(registry.update, resource, named("c", data={"a": "eQ=="}, immutable=True))
    assert "data: Forbidden: field is immutable when `immutable` is set" in error.message
    error = refusal(registry.update, resource, named("c", data={"a": "eA=="}))
    assert "immutable: Forbidden: field is immutable when `immutable` is set" in error.message
    labelled = named("c", data={"a": "eA=="}, immutable=True)
    labelled["metadata"]["labels"] = {"x": "y"}
    assert registry.update(resource, labelled)["metadata"]["labels"] == {"x": "y"}


def test_string_data_becomes_data(registry: Registry) -> None:
    made = registry.create(SECRETS, named("s", data={"a": "AA==", "b": "AA=="}, stringData={"b": "geheim"}))
    assert "stringData" not in made
    assert made["data"] == {"a": "AA==", "b": base64.b64encode(b"geheim").decode()}
    assert made["type"] == "Opaque"
    assert KINDS[SECRETS].fields(made) == {"type": "Opaque"}
    assert (row(SECRETS, made)["Type"], row(SECRETS, made)["Data"]) == ("Opaque", 2)


def test_the_type_of_a_secret_is_fixed_and_asks_for_its_keys(registry: Registry) -> None:
    registry.create(SECRETS, named("s"))
    error = refusal(registry.update, SECRETS, named("s", type="example.com/x"))
    assert 'type: Invalid value: "example.com/x": field is immutable' in error.message
    error = refusal(registry.create, SECRETS, named("t", type="kubernetes.io/tls"))
    assert "data[tls.crt]: Required value" in error.message


def test_a_service_account_counts_its_secrets(registry: Registry) -> None:
    assert row(SERVICE_ACCOUNTS, registry.create(SERVICE_ACCOUNTS, named("a")))["Secrets"] == 0


# ------------------------------------------------------------------ endpoints, events, leases


def test_endpoints_are_deprecated_and_show_three_addresses(registry: Registry) -> None:
    subset = {"addresses": [{"ip": f"10.0.0.{i}"} for i in range(1, 6)], "ports": [{"port": 80}]}
    made = registry.create(ENDPOINTS, named("e", subsets=[subset]))
    assert KINDS[ENDPOINTS].warnings(made) == [DEPRECATED]
    assert DEPRECATED == "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    assert row(ENDPOINTS, made)["Endpoints"] == "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more..."
    assert made["subsets"][0]["ports"][0]["protocol"] == "TCP"
    assert row(ENDPOINTS, registry.create(ENDPOINTS, named("none")))["Endpoints"] == "<none>"
    error = refusal(registry.create, ENDPOINTS, named("l", subsets=[{"addresses": [{"ip": "127.0.0.1"}]}]))
    assert "may not be in the loopback range" in error.message


def test_an_endpoint_slice_row_and_rules(registry: Registry) -> None:
    endpoints = [{"addresses": [f"10.0.0.{i}"]} for i in range(1, 5)]
    made = registry.create(
        ENDPOINT_SLICES, named("s", addressType="IPv4", endpoints=endpoints, ports=[{"name": "r", "port": 6379}])
    )
    assert made["ports"] == [{"name": "r", "port": 6379, "protocol": "TCP"}]
    found = row(ENDPOINT_SLICES, made)
    assert (found["Ports"], found["Endpoints"]) == ("6379", "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...")
    empty = row(ENDPOINT_SLICES, registry.create(ENDPOINT_SLICES, named("e", addressType="IPv4", endpoints=[])))
    assert (empty["Ports"], empty["Endpoints"]) == ("<unset>", "<unset>")
    bad = named("b", addressType="IPv6", endpoints=[{"addresses": ["10.0.0.1"]}])
    assert "endpoints[0].addresses[0]" in refusal(registry.create, ENDPOINT_SLICES, bad).message
    error = refusal(registry.update, ENDPOINT_SLICES, named("s", addressType="FQDN", endpoints=[]))
    assert 'addressType: Invalid value: "FQDN": field is immutable' in error.message


def test_an_event_is_found_by_its_object(registry: Registry) -> None:
    event = named(
        "web-0.1",
        involvedObject={"kind": "Pod", "namespace": "default", "name": "web-0", "uid": "u"},
        reason="Started",
        message="Started container redis\n",
        type="Normal",
        source={"component": "kubelet", "host": "n1"},
        firstTimestamp=now(),
        lastTimestamp=now(),
    )
    made = registry.create(EVENTS, event)
    fields = KINDS[EVENTS].fields(made)
    assert fields["involvedObject.name"] == "web-0" and fields["involvedObject.uid"] == "u"
    assert (fields["reason"], fields["type"], fields["source"]) == ("Started", "Normal", "kubelet")
    found = row(EVENTS, made)
    assert (found["Object"], found["Message"], found["Count"]) == ("pod/web-0", "Started container redis", 1)
    assert found["Source"] == "kubelet, n1"
    event["metadata"]["name"], event["involvedObject"]["namespace"] = "other", "elsewhere"
    assert "does not match event.namespace" in refusal(registry.create, EVENTS, event).message


def test_a_lease_shows_its_holder(registry: Registry) -> None:
    made = registry.create(LEASES, named("l", spec={"holderIdentity": "me", "leaseDurationSeconds": 40}))
    assert row(LEASES, made)["Holder"] == "me"
    error = refusal(registry.create, LEASES, named("m", spec={"leaseDurationSeconds": 0}))
    assert "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0" in error.message
