"""Service: defaults, what an update carries over, table. Upstream: pkg/registry/core/service, printers.go printService.

Addresses and node ports are handed out by service_allocation.py, the rules are in service_validation.py.
"""

from __future__ import annotations

from typing import Any, ClassVar

from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import SERVICES, Resource
from labcluster.kinds import service_allocation as allocation
from labcluster.kinds import service_validation as validation
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import NONE, age, format_labels
from labcluster.kinds.reading import Reader

CLIENT_IP_TIMEOUT = 10800  # seconds: three hours


class ServiceKind(Kind):
    """A stable name and address for the pods that a selector finds."""

    resource: ClassVar[Resource] = SERVICES

    def default(self, obj: JSON) -> None:
        """The defaults of the API version, and clusterIPs from clusterIP (normalizeClusterIPs)."""
        spec = obj["spec"] = obj.get("spec") or {}
        spec["type"] = spec.get("type") or "ClusterIP"
        spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
        if spec["sessionAffinity"] == "None":
            spec.pop("sessionAffinityConfig", None)
        elif spec["sessionAffinity"] == "ClientIP":
            config = spec["sessionAffinityConfig"] = spec.get("sessionAffinityConfig") or {}
            client = config["clientIP"] = config.get("clientIP") or {}
            client.setdefault("timeoutSeconds", CLIENT_IP_TIMEOUT)
        for port in spec.get("ports") or ():
            port["protocol"] = port.get("protocol") or "TCP"
            if port.get("targetPort") in (None, 0, ""):
                port["targetPort"] = port.get("port", 0)
        if spec["type"] in ("NodePort", "LoadBalancer"):
            spec["externalTrafficPolicy"] = spec.get("externalTrafficPolicy") or "Cluster"
        if spec["type"] == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)
        if spec["type"] != "ExternalName":
            spec["internalTrafficPolicy"] = spec.get("internalTrafficPolicy") or "Cluster"

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Give the service its address and its node ports. Raises ApiError 422 for ones that are taken."""
        obj["status"] = {"loadBalancer": {}}
        spec = obj["spec"]
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        _default_families(spec)
        if not self.validate(obj):
            allocation.allocate(obj, None, reader)

    def prepare_update(self, new: JSON, old: JSON, reader: Reader) -> None:
        """Keep what was handed out, release what the new type does not have, hand out what it needs."""
        _carry_over(new["spec"], old["spec"])
        _default_families(new["spec"])
        if not self.validate_update(new, old):
            allocation.allocate(new, old, reader)

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a complete service (ValidateService)."""
        return validation.validate(obj["spec"])

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """As above; an address once given stays (validateUpgradeDowngradeClusterIPs)."""
        return [*validation.validate_cluster_ip_change(new["spec"], old["spec"]), *validation.validate(new["spec"])]

    def fields(self, obj: JSON) -> dict[str, str]:
        """`spec.clusterIP` and `spec.type`."""
        spec = obj["spec"]
        return {"spec.clusterIP": spec.get("clusterIP", ""), "spec.type": spec.get("type", "")}

    columns = (
        Column("Name", format="name"),
        Column("Type"),
        Column("Cluster-IP"),
        Column("External-IP"),
        Column("Port(s)"),
        Column("Age"),
        Column("Selector", priority=1),
    )

    def cells(self, obj: JSON) -> list[Any]:
        """As kubectl shows it; the selector with -o wide."""
        spec = obj["spec"]
        return [
            obj["metadata"]["name"],
            spec.get("type", ""),
            (spec.get("clusterIPs") or [NONE])[0],
            _external_ip(obj),
            ",".join(map(_port_text, spec.get("ports") or ())) or NONE,
            age(obj),
            format_labels(spec.get("selector")),
        ]


def _default_families(spec: JSON) -> None:
    """One family, IPv4: this cluster's only one (defaultOnWrite in the service's storage)."""
    if spec["type"] == "ExternalName":
        return
    spec["ipFamilyPolicy"] = spec.get("ipFamilyPolicy") or "SingleStack"
    spec["ipFamilies"] = spec.get("ipFamilies") or ["IPv4"]


def _carry_over(new: JSON, old: JSON) -> None:
    """What an update may leave out comes from the old service; what depends on a type goes with it.

    Upstream: normalizeClusterIPs, patchAllocatedValues, dropTypeDependentFields.
    """
    if allocation.needs_cluster_ip(new) and allocation.needs_cluster_ip(old):
        if new.get("clusterIP") and new.get("clusterIPs") in (None, [], old.get("clusterIPs")):
            new["clusterIPs"] = [new["clusterIP"]]
        if not new.get("clusterIP") and new.get("clusterIPs") in (None, []):
            for key in ("clusterIP", "clusterIPs"):
                if key in old:
                    new[key] = old[key]
    elif not allocation.needs_cluster_ip(new):
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            if new.get(key) == old.get(key):
                new.pop(key, None)
    if allocation.needs_node_ports(new) and allocation.needs_node_ports(old):
        before = {
            (p.get("protocol"), p.get("port")): p["nodePort"] for p in old.get("ports") or () if p.get("nodePort")
        }
        wanted = {p.get("nodePort") for p in new.get("ports") or ()}
        for port in new.get("ports") or ():
            number = before.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and number and number not in wanted:
                port["nodePort"] = number
    elif not allocation.needs_node_ports(new) and allocation.needs_node_ports(old):
        if allocation.node_ports(new) <= allocation.node_ports(old):
            for port in new.get("ports") or ():
                port.pop("nodePort", None)
        if new.get("externalTrafficPolicy") == old.get("externalTrafficPolicy"):
            new.pop("externalTrafficPolicy", None)
    if new["type"] != "LoadBalancer" and old.get("type") == "LoadBalancer":
        new.pop("allocateLoadBalancerNodePorts", None)


def _external_ip(service: JSON) -> str:
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    given = ",".join(spec.get("externalIPs") or ())
    if spec.get("type") != "LoadBalancer":
        return given or NONE
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    return ",".join(filter(None, [*(i.get("ip") or i.get("hostname", "") for i in ingress), given])) or "<pending>"


def _port_text(port: JSON) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node_port}/{port.get('protocol')}"
