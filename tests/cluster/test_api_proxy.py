"""The API server as a proxy: pods and Services by HTTP, from where their addresses lead nowhere."""

from __future__ import annotations

import http.client
import json
import re
import ssl
import subprocess
from urllib.parse import urlsplit

import kubernetes
import pytest

from tests.manifests import pod, service
from tests.running_lab import BIN, SECONDS, Namespace

# Tells what it was asked for; redirects within itself and elsewhere.
NGINX = r"""
events {}
http {
  access_log off;
  client_max_body_size 0;
  server {
    listen 80;
    location / {
      default_type text/plain;
      return 200 "$request_method $request_uri auth=$http_authorization by=$http_x_forwarded_uri\n";
    }
    location = /headers {
      add_header Access-Control-Allow-Origin *;
      add_header X-Own 1;
      return 200 "$http_x_hop $http_x_own";
    }
    location = /here { return 302 /there; }
    location = /away { return 302 http://example.org/there; }
    location = /expected { return 200 "[$http_expect]\n"; }
    location = /missing { return 404 "not here\n"; }
  }
}
"""


@pytest.fixture
def teller(namespace: Namespace) -> Namespace:
    """A pod `web` that tells what it is asked, behind a Service with a named port."""
    container = {
        "name": "web",
        "image": "nginx:1.31.3",
        "command": ["nginx", "-c", "/config/nginx.conf", "-g", "daemon off;"],
        "ports": [{"name": "http", "containerPort": 80}],
        "readinessProbe": {"httpGet": {"port": 80}},
        "volumeMounts": [{"name": "config", "mountPath": "/config"}],
    }
    namespace.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"nginx.conf": NGINX}},
        service("web", ports=[{"name": "door", "port": 8080, "targetPort": "http"}]),
        pod("web", container, volumes=[{"name": "config", "configMap": {"name": "web"}}]),
    )
    namespace.wait("pod/web", "condition=Ready")
    return namespace


def path(namespace: Namespace, rest: str) -> str:
    return f"/api/v1/namespaces/{namespace.name}/{rest}"


def ask(namespace: Namespace, method: str, rest: str, body: bytes = b"", **headers: str) -> http.client.HTTPResponse:
    """A request as it stands, to the API server, as the administrator; redirects are not followed."""
    lab = namespace.lab
    context = ssl.create_default_context(cafile=str(lab.state / "pki" / "ca.crt"))
    context.load_cert_chain(lab.state / "pki" / "admin.crt", lab.state / "pki" / "admin.key")
    server = urlsplit(lab.client.configuration.host)
    connection = http.client.HTTPSConnection(server.hostname or "", server.port, context=context, timeout=SECONDS)
    connection.request(method, path(namespace, rest), body or None, headers)
    return connection.getresponse()


@pytest.mark.parametrize(
    "name", ["pods/web", "pods/web:80", "pods/http:web:http", "services/web:door", "services/web:8080"]
)
def test_what_comes_after_proxy_is_the_pods_own_path(teller: Namespace, name: str) -> None:
    said = ask(teller, "GET", f"{name}/proxy/a/b%20c?x=1&y=/proxy/", Authorization="Basic eDp5").read().decode()
    method, uri, *rest = said.split(" ")
    assert (method, uri) == ("GET", "/a/b%20c?x=1&y=/proxy/")
    assert rest[0] == "auth=", "who asked is not the pod's business"
    assert rest[1] == f"by={path(teller, name)}/proxy/a/b%20c\n"


def test_the_methods_and_bodies_of_rest_are_passed_on(teller: Namespace) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = ask(teller, method, "pods/web/proxy/x", b"z" * 5_000_000)  # more than an object may have
        assert (answer.status, answer.read().split()[0].decode()) == (200, method)
    answer = ask(teller, "HEAD", "pods/web/proxy/x")
    assert (answer.status, answer.read()) == (200, b"")


def test_the_pods_own_errors_come_back(teller: Namespace) -> None:
    answer = ask(teller, "GET", "pods/web/proxy/missing")
    assert (answer.status, answer.read()) == (404, b"not here\n")


def test_headers_for_one_connection_and_for_browsers_end_at_the_server(teller: Namespace) -> None:
    headers = {"Connection": "close, X-Hop", "X-Hop": "hop", "X-Own": "own"}
    answer = ask(teller, "GET", "pods/web/proxy/headers", **headers)
    assert (answer.status, answer.read()) == (200, b" own")
    assert (answer.getheader("X-Own"), answer.getheader("Access-Control-Allow-Origin")) == ("1", None)


def test_redirects_stay_below_the_proxy(teller: Namespace) -> None:
    found = {p: ask(teller, "GET", f"services/web:door/proxy{p}") for p in ("/here", "/away", "?q=1")}
    below = path(teller, "services/web:door/proxy")
    assert {p: (a.status, a.getheader("Location")) for p, a in found.items()} == {
        "/here": (302, f"{below}/there"),
        "/away": (302, "http://example.org/there"),
        "?q=1": (301, f"{below}/?q=1"),
    }


@pytest.mark.parametrize(
    ("rest", "code", "words"),
    [
        ("pods/none/proxy/", 404, 'pods "none" not found'),
        ("services/none/proxy/", 404, 'services "none" not found'),
        (
            "pods/web:81/proxy/",
            503,
            r"error trying to reach service: dial tcp 10\.244\.\S+:81: connect: connection refused",
        ),
        ("services/web:81/proxy/", 503, 'no service port 81 found for service "web"'),
        ("services/web/proxy/", 503, 'no endpoints available for service "web"'),
        ("services/ftp:web:8080/proxy/", 400, 'invalid service request "ftp:web:8080"'),
        ("pods/web:0/proxy/", 400, '"0" is no port of it'),
        ("pods/web/proxied/", 404, "the server could not find the requested resource"),
    ],
)
def test_what_cannot_be_reached_is_said(teller: Namespace, rest: str, code: int, words: str) -> None:
    answer = ask(teller, "GET", rest)
    assert answer.status == code
    assert re.search(words, json.load(answer)["message"])


def test_a_body_waits_for_nobodys_leave_but_the_servers(teller: Namespace) -> None:
    """curl asks for it with a large body (Expect: 100-continue); a pod that does not know it would never give it."""
    answer = ask(teller, "POST", "pods/web/proxy/expected", b"body", Expect="100-continue")
    assert answer.read() == b"[]\n"


def test_what_is_no_http_is_said_without_its_bytes(namespace: Namespace) -> None:
    """They may be many, and anything."""
    config = "events {} stream { server { listen 80; return 'no page\\n'; } }"
    command = ["sh", "-c", f'echo "{config}" > /tmp/conf && exec nginx -c /tmp/conf -g "daemon off;"']
    probe = {"tcpSocket": {"port": 80}}
    namespace.apply(pod("no-web", {"name": "c", "image": "nginx:1.31.3", "command": command, "readinessProbe": probe}))
    namespace.wait("pod/no-web", "condition=Ready")
    message = json.load(ask(namespace, "GET", "pods/no-web:80/proxy/"))["message"]
    assert message == "error trying to reach service: malformed HTTP response: Bad status line"


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "0.0.0.0", "224.0.0.1"])
def test_a_pods_address_does_not_lead_back_to_the_server(namespace: Namespace, address: str) -> None:
    """Whoever may write a pod's status could send the API server anywhere."""
    namespace.apply(pod("fake", schedulerName="nobody"))
    change = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
    namespace.lab.core.patch_namespaced_pod_status("fake", namespace.name, change)
    answer = ask(namespace, "GET", "pods/fake:80/proxy/")
    assert (answer.status, json.load(answer)["message"]) == (400, "address not allowed")


def test_the_python_client_and_kubectl_proxy_come_through(teller: Namespace) -> None:
    core = kubernetes.client.CoreV1Api(teller.lab.client)
    said = core.connect_get_namespaced_service_proxy_with_path("web:door", teller.name, "by/python")
    assert said.startswith("GET /by/python ")
    assert teller.kubectl("get", "--raw", path(teller, "pods/web/proxy/by/raw")).startswith("GET /by/raw ")
    with subprocess.Popen(
        [BIN / "kubectl", "proxy", "--port=0"], env=teller.lab.environment, stdout=subprocess.PIPE, text=True
    ) as proxy:
        assert proxy.stdout is not None
        host, port = proxy.stdout.readline().split()[-1].split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=SECONDS)
        connection.request("GET", path(teller, "pods/web/proxy/by/kubectl"))
        said = connection.getresponse().read().decode()
        assert said.startswith("GET /by/kubectl ")
        proxy.terminate()
