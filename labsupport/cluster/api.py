"""The connection to the cluster: the official client, set up anew only when the lab's kubeconfig is another one."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config, dynamic
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import MaxRetryError

from labsupport.errors import NotConnected
from labsupport.paths import kubeconfig_path

__all__ = [
    "MANAGER",
    "ApiException",
    "NotConnected",
    "api_client",
    "apps",
    "core",
    "fresh_core",
    "raw_get",
    "read",
    "resource",
    "split_reference",
]

MANAGER = "labsupport"  # who owns the fields that the course applies


class _Client(client.ApiClient):  # type: ignore[misc]
    """The official client, which says in one sentence that nobody answers."""

    def call_api(self, *args: Any, **kwargs: Any) -> Any:
        """Send one request. Raises NotConnected where no connection could be made, or no trusted one."""
        try:
            return super().call_api(*args, **kwargs)
        except MaxRetryError as error:
            raise NotConnected(
                f"the cluster at {self.configuration.host} does not answer ({type(error.reason).__name__}). "
                "Type `make lab` in a terminal, then run this cell again."
            ) from error


def api_client() -> client.ApiClient:
    """The client of the lab's cluster. Raises NotConnected when the lab is not up.

    >>> api_client().configuration.host
    'https://127.0.0.1:16443'
    """
    path: Path = kubeconfig_path()
    try:
        return _connected(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        raise NotConnected(f"there is no {path}. Type `make lab` in a terminal, then run this cell again.") from None


@functools.lru_cache(maxsize=1)
def _connected(path: Path, written_at: int) -> client.ApiClient:
    """The client for a kubeconfig as it was written at that time: a cluster made anew has other keys."""
    configuration = client.Configuration()
    config.load_kube_config(config_file=str(path), client_configuration=configuration)
    return _Client(configuration)


def core() -> client.CoreV1Api:
    """The core API: pods, services, claims, nodes.

    >>> [node.metadata.name for node in core().list_node().items]
    ['lab-control-plane', 'lab-worker', 'lab-worker2']
    """
    return client.CoreV1Api(api_client())


def fresh_core() -> client.CoreV1Api:
    """The core API on a client of its own: the client's stream module replaces the request method of the one it uses.

    >>> fresh_core().api_client is api_client()
    False
    """
    return client.CoreV1Api(client.ApiClient(configuration=api_client().configuration))


def apps() -> client.AppsV1Api:
    """The apps API: StatefulSets, ReplicaSets, Deployments.

    >>> apps().read_namespaced_stateful_set("web", "chapter-01").spec.replicas
    3
    """
    return client.AppsV1Api(api_client())


def raw_get(
    connection: client.ApiClient,
    path: str,
    query: Mapping[str, str],
    *,
    accept: str = "application/json",
    seconds: float = 30,
) -> urllib3.BaseHTTPResponse:
    """GET a path of the API, for what the client's own calls do not offer: the response, not read yet.

    `seconds` is the longest pause of the server. Raises ApiException, and what the connection raises.
    """
    method, url, headers, _, _ = connection.param_serialize(
        "GET", path, query_params=list(query.items()), header_params={"Accept": accept}, auth_settings=["BearerToken"]
    )
    reply = connection.call_api(method, url, header_params=headers, _request_timeout=(5, seconds))
    if reply.status != 200:
        raise ApiException(http_resp=reply.response)
    response: urllib3.BaseHTTPResponse = reply.response
    return response


@functools.lru_cache(maxsize=1)
def _dynamic(connected: client.ApiClient) -> dynamic.DynamicClient:
    # Discovery is kept beside the kubeconfig: the default is a shared file in /tmp.
    return dynamic.DynamicClient(connected, cache_file=str(kubeconfig_path().with_name("discovery.json")))


def resource(word: str, api_version: str = "") -> Any:
    """The API resource for a word as kubectl takes it: plural, singular, short name or kind. Raises ValueError.

    >>> resource("sts").kind
    'StatefulSet'
    """
    for candidate in _dynamic(api_client()).resources.search(**({"api_version": api_version} if api_version else {})):
        names = {candidate.name, candidate.singular_name, *(candidate.short_names or ())}
        if candidate.kind.endswith("List") or "/" in candidate.name:
            continue
        if word.lower() in {n.lower() for n in names if n} or word == candidate.kind:
            return candidate
    raise ValueError(f"the server doesn't have a resource type {word!r}; `kubectl api-resources` lists them")


def read(resource: Any, name: str, namespace: str | None) -> dict[str, Any] | None:
    """An object as JSON, None where there is none of that name. Raises ApiException."""
    try:
        obj: dict[str, Any] = resource.get(name=name, namespace=namespace).to_dict()
    except ApiException as error:
        if error.status != 404:
            raise
        return None
    return obj


def split_reference(reference: str) -> tuple[Any, str]:
    """The resource and the name of `kind/name`. Raises ValueError.

    >>> split_reference("pod/web-0")[1]
    'web-0'
    """
    word, slash, name = reference.partition("/")
    if not slash or not name:
        raise ValueError(f"{reference!r} is not kind/name, as in 'pod/web-0'")
    return resource(word), name
