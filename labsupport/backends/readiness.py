"""Whether a cluster can be used: connecting to it, waiting for nodes, a storage class, and DNS from this machine."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dns.exception
import dns.message
import dns.query
import dns.rcode
import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from labsupport.backends.contract import CommandError
from labsupport.cluster import asking, watching
from labsupport.settings import DNS_NODE_PORT

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
DNS_SERVICE = "lab-dns"
SYSTEM = "kube-system"


def connect(kubeconfig: Path, *, patient: bool = True) -> client.ApiClient:
    """The client for a kubeconfig; when `patient`, with an API server that has just been started (about a minute)."""
    settings = client.Configuration()
    config.load_kube_config(config_file=str(kubeconfig), client_configuration=settings)
    if patient:
        settings.retries = urllib3.Retry(connect=8, read=0, redirect=0, status=0, backoff_factor=0.3)
    return client.ApiClient(settings)


def until(
    api: client.ApiClient,
    path: str,
    reached: Callable[[list[Any]], bool],
    *,
    seconds: float,
    what: str,
    labels: str = "",
) -> None:
    """Watch a list of objects until `reached` holds for it. Raises CommandError, which names `what` was awaited.

    The objects are JSON: what is listed at `path` and has the `labels`. What `watching` cannot survive is raised.
    """
    watch = watching.Watch(api, path, labels=labels, timeout=seconds)
    for _ in watch:
        if reached(list(watch.objects.values())):
            return
    raise CommandError(f"{what} did not come within {seconds:g} s. Look at the cluster: `kubectl get all -A`.")


def is_ready(obj: dict[str, Any]) -> bool:
    """Whether a node's or a pod's condition Ready is true."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def await_nodes(api: client.ApiClient, count: int, *, seconds: float = 180) -> None:
    """Wait until that many nodes are Ready. Raises CommandError."""

    def ready(nodes: list[Any]) -> bool:
        return sum(map(is_ready, nodes)) >= count

    until(api, "/api/v1/nodes", ready, seconds=seconds, what=f"Ready from {count} nodes")


def await_storage_class(api: client.ApiClient, *, seconds: float = 60) -> None:
    """Wait until there is a default storage class. Raises CommandError."""

    def one_is_default(classes: list[Any]) -> bool:
        return any(is_default(one["metadata"].get("annotations")) for one in classes)

    path = "/apis/storage.k8s.io/v1/storageclasses"
    until(api, path, one_is_default, seconds=seconds, what="a default storage class")


def is_default(annotations: Mapping[str, str] | None) -> bool:
    """Whether a storage class with these annotations is the default one."""
    return (annotations or {}).get(DEFAULT_CLASS) == "true"


def open_dns(api: client.ApiClient) -> None:
    """Make the Service that opens the cluster's DNS on its NodePort, unless it is there. Raises CommandError."""
    entries = [
        {"name": name, "protocol": protocol, "port": 53, "targetPort": 53, "nodePort": DNS_NODE_PORT}
        for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP"))
    ]
    body = {
        "metadata": {"name": DNS_SERVICE, "namespace": SYSTEM, "labels": {"app.kubernetes.io/part-of": "course-lab"}},
        "spec": {"type": "NodePort", "selector": {"k8s-app": "kube-dns"}, "ports": entries},
    }
    core = client.CoreV1Api(api)
    try:
        # Asked first: for a second Service of that name the port is found to be taken before the name is.
        if not core.list_namespaced_service(SYSTEM, field_selector=f"metadata.name={DNS_SERVICE}").items:
            core.create_namespaced_service(SYSTEM, body)
    except ApiException as error:
        if error.status != 409:
            raise CommandError(f"the Service {SYSTEM}/{DNS_SERVICE} was refused: {error.body}") from error


def await_dns(api: client.ApiClient, port: int, *, seconds: float = 120) -> None:
    """Wait until DNS is ready in the cluster, and answers on that port of 127.0.0.1. Raises CommandError."""

    def ready(slices: list[Any]) -> bool:
        endpoints = [endpoint for one in slices for endpoint in one.get("endpoints") or ()]
        return any(endpoint.get("conditions", {}).get("ready") for endpoint in endpoints)

    deadline = time.monotonic() + seconds
    path = f"/apis/discovery.k8s.io/v1/namespaces/{SYSTEM}/endpointslices"
    of_dns = f"kubernetes.io/service-name={DNS_SERVICE}"
    until(api, path, ready, seconds=seconds, what="a ready DNS pod", labels=of_dns)
    left = max(0.0, deadline - time.monotonic())
    try:  # nothing tells when a node's packet filter has taken up the new port
        asking.until(lambda: ask_dns(port), operator.not_, what="DNS answers", timeout=left, longest_pause=2.0)
    except asking.NotInTime as error:
        raise CommandError(
            f"the cluster's DNS does not answer on 127.0.0.1 port {port}: {error.last}. "
            f"Look at it: `kubectl -n {SYSTEM} get pods,svc -o wide`."
        ) from None


def ask_dns(port: int) -> str:
    """Ask the name server on that port for its version; "" when it answers, else what went wrong."""
    query = dns.message.make_query("dns-version.cluster.local.", "TXT")
    try:
        reply = dns.query.udp(query, "127.0.0.1", port=port, timeout=2)
    except (dns.exception.DNSException, OSError) as error:
        return str(error) or type(error).__name__
    return "" if reply.rcode() == dns.rcode.NOERROR else dns.rcode.to_text(reply.rcode())
