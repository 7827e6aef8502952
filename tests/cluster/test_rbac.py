"""RBAC of the running cluster, from inside a pod, through kubectl and through the typed Python client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.cluster.requests_from_pods import PodsApi, get
from tests.manifests import pod, service, web
from tests.running_lab import SECONDS, Namespace


@pytest.fixture
def robot(namespace: Namespace) -> Namespace:
    """A pod `robot` that runs as the service account `robot`."""
    namespace.kubectl("create", "serviceaccount", "robot")
    namespace.apply(pod("robot", serviceAccountName="robot"))
    namespace.wait("pod/robot", "condition=Ready")
    return namespace


def ask(space: Namespace, path: str, method: str = "GET", body: Any = None) -> Any:
    """What the API answers to the pod's own request, with the pod's own token, over TLS."""
    _, text = PodsApi(space, "robot").ask(path, method, body)
    lines = [json.loads(line) for line in text.splitlines()]
    return lines[0] if len(lines) == 1 else lines


def test_a_pod_is_refused_until_its_account_is_bound(robot: Namespace) -> None:
    pods = f"/api/v1/namespaces/{robot.name}/pods"
    refused = ask(robot, pods)
    assert (refused["code"], refused["message"]) == (
        403,
        f'pods is forbidden: User "system:serviceaccount:{robot.name}:robot" cannot list resource "pods" '
        f'in API group "" in the namespace "{robot.name}"',
    )
    assert ask(robot, "/apis")["kind"] == "APIGroupList"
    robot.kubectl("create", "role", "reader", "--verb=get,list,watch", "--resource=pods")
    assert ask(robot, pods)["code"] == 403
    robot.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={robot.name}:robot")
    assert [p["metadata"]["name"] for p in ask(robot, pods)["items"]] == ["robot"]
    first = ask(robot, f"{pods}?watch=1&timeoutSeconds=1")
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "robot")
    assert ask(robot, "/api/v1/pods")["code"] == 403
    assert ask(robot, f"/api/v1/namespaces/{robot.name}/secrets")["code"] == 403
    assert ask(robot, f"{pods}/robot", "DELETE")["code"] == 403
    robot.kubectl("delete", "rolebinding", "reader")
    assert ask(robot, pods)["code"] == 403


def test_a_pod_may_not_help_itself(robot: Namespace) -> None:
    robot.kubectl("create", "role", "roles", "--verb=*", "--resource=roles,rolebindings")
    robot.kubectl("create", "rolebinding", "roles", "--role=roles", f"--serviceaccount={robot.name}:robot")
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subject = {"kind": "ServiceAccount", "name": "robot"}
    wanted = {"metadata": {"name": "root"}, "roleRef": reference, "subjects": [subject]}
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{robot.name}/rolebindings"
    # The role has the verbs bind and escalate by its `*`, as on any cluster, but for roles, not for cluster roles.
    refused = ask(robot, path, "POST", wanted)
    assert refused["code"] == 403 and "attempting to grant RBAC permissions not currently held" in refused["message"]


def test_kubectl_acts_as_an_account(namespace: Namespace) -> None:
    robot = f"--as=system:serviceaccount:{namespace.name}:robot"
    namespace.kubectl("create", "serviceaccount", "robot")
    assert "forbidden: User" in namespace.refused("get", "pods", robot)
    namespace.kubectl(
        "create", "rolebinding", "viewer", "--clusterrole=view", f"--serviceaccount={namespace.name}:robot"
    )
    assert namespace.kubectl("get", "pods", "-o", "name", robot) == ""
    assert namespace.kubectl("auth", "can-i", "list", "pods", robot) == "yes\n"
    assert namespace.lab.run_kubectl("-n", namespace.name, "auth", "can-i", "get", "secrets", robot).stdout == "no\n"
    listed = [line.split() for line in namespace.kubectl("auth", "can-i", "--list", robot).splitlines()]
    assert ["pods/log", "[]", "[]", "[get", "list", "watch]"] in listed
    assert not any(row[0] == "secrets" for row in listed)
    told = namespace.kubectl("auth", "whoami", robot, "--as-group=dev", "-o", "json")
    assert json.loads(told)["status"]["userInfo"]["groups"] == ["dev", "system:authenticated"]
    rows = namespace.kubectl("get", "rolebindings", "-o", "wide", "--no-headers").split()
    assert (rows[0], rows[1], rows[3]) == ("viewer", "ClusterRole/view", f"{namespace.name}/robot")


def test_kubectl_reconciles_what_a_file_says(namespace: Namespace) -> None:
    manifest = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": namespace.name},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    namespace.kubectl("create", "role", "reader", "--verb=list", "--resource=pods")
    told = namespace.kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(manifest))
    assert "role.rbac.authorization.k8s.io/reader reconciled" in told
    rules = namespace.get("role/reader")["rules"]
    assert sorted(verb for rule in rules for verb in rule["verbs"]) == ["get", "list"]
    assert "[list get]" in namespace.kubectl("describe", "role", "reader")


def test_a_token_by_kubectl_is_an_accounts_credentials(namespace: Namespace) -> None:
    lab, name = namespace.lab, namespace.name
    token = namespace.kubectl("create", "token", "default", "--duration=15m").strip()
    configuration = client.Configuration(host=lab.client.configuration.host)
    configuration.ssl_ca_cert = str(lab.state / "pki" / "ca.crt")
    configuration.api_key = {"authorization": f"Bearer {token}"}
    mine = client.ApiClient(configuration)
    with pytest.raises(ApiException) as refused:
        client.CoreV1Api(mine).list_namespaced_pod(name)
    assert refused.value.status == 403
    rbac = client.RbacAuthorizationV1Api(lab.client)
    rules = [client.V1PolicyRule(api_groups=[""], resources=["pods"], verbs=["list"])]
    metadata = client.V1ObjectMeta(name="reader")
    rbac.create_namespaced_role(name, client.V1Role(metadata=metadata, rules=rules))
    rbac.create_namespaced_role_binding(
        name,
        client.V1RoleBinding(
            metadata=metadata,
            role_ref=client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name="reader"),
            subjects=[client.RbacV1Subject(kind="ServiceAccount", name="default", namespace=name)],
        ),
    )
    assert client.CoreV1Api(mine).list_namespaced_pod(name).items == []
    answer = client.AuthorizationV1Api(mine).create_self_subject_rules_review(
        client.V1SelfSubjectRulesReview(spec=client.V1SelfSubjectRulesReviewSpec(namespace=name))
    )
    assert any(rule.resources == ["pods"] and rule.verbs == ["list"] for rule in answer.status.resource_rules)
    assert {role.metadata.name for role in rbac.list_cluster_role().items} >= {"cluster-admin", "admin", "edit", "view"}


def test_an_ingress_waits_for_a_controller(namespace: Namespace) -> None:
    networking, name = client.NetworkingV1Api(namespace.lab.client), namespace.name
    namespace.kubectl("create", "ingress", "web", "--class=proxy", "--rule=a.example/*=web:80,tls=secret")
    assert namespace.kubectl("get", "ingress", "--no-headers").split()[:5] == [
        "web",
        "proxy",
        "a.example",
        "80,",
        "443",
    ]
    made = networking.read_namespaced_ingress("web", name)
    assert made.spec.rules[0].http.paths[0].backend.service.port.number == 80
    assert made.status.load_balancer.ingress is None
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "172.18.0.3"}]}}}
    networking.patch_namespaced_ingress_status("web", name, status)
    assert "172.18.0.3" in namespace.kubectl("get", "ingress", "web", "--no-headers")
    described = namespace.kubectl("describe", "ingress", "web")
    assert "a.example" in described and "secret terminates a.example" in described


def test_traefik_serves_an_ingress_once_its_account_may_watch(namespace: Namespace) -> None:
    """A client-go program with informers, in a pod, with its own account."""
    name = namespace.name
    proxy = {
        "name": "traefik",
        "image": "traefik:v3.7",
        "args": [
            f"--providers.kubernetesingress.namespaces={name}",
            "--providers.kubernetesingress.ingressendpoint.ip=172.18.0.3",
            "--providers.kubernetesingress.disableclusterscoperesources",
            "--entrypoints.web.address=:8000",
        ],
    }
    namespace.kubectl("create", "serviceaccount", "traefik")
    namespace.apply(pod("traefik", proxy, serviceAccountName="traefik"), pod("web", web()), service("web"))
    namespace.kubectl("create", "ingress", "web", "--rule=a.example/*=web:80")
    refused = f'secrets is forbidden: User \\"system:serviceaccount:{name}:traefik\\" cannot list'
    with namespace.lab.request(f"namespaces/{name}/pods/traefik/log", follow="true") as log:
        assert any(refused in line.decode() for line in log)
    read = "--verb=get,list,watch"
    namespace.kubectl("create", "role", "read", read, "--resource=services,secrets")
    namespace.kubectl("create", "role", "slices", read, "--resource=endpointslices.discovery.k8s.io")
    namespace.kubectl("create", "role", "ingresses", read, "--resource=ingresses.networking.k8s.io")
    namespace.kubectl("create", "role", "status", "--verb=update", "--resource=ingresses.networking.k8s.io/status")
    for role in ("read", "slices", "ingresses", "status"):
        namespace.kubectl("create", "rolebinding", role, f"--role={role}", f"--serviceaccount={name}:traefik")
    namespace.wait("ingress/web", "jsonpath={.status.loadBalancer.ingress[0].ip}=172.18.0.3", seconds=40)
    address = namespace.get("pod/traefik")["status"]["podIP"]
    # Traefik writes the status first and serves the route afterwards, up to providersThrottleDuration (2 s) later.
    assert get(namespace, "web", f"{address}:8000", named="a.example", patient=True, seconds=SECONDS) == "web\n"


def test_a_policy_is_stored(namespace: Namespace) -> None:
    networking = client.NetworkingV1Api(namespace.lab.client)
    spec = client.V1NetworkPolicySpec(pod_selector=client.V1LabelSelector(match_labels={"app": "db"}))
    policy = client.V1NetworkPolicy(metadata=client.V1ObjectMeta(name="deny"), spec=spec)
    made = networking.create_namespaced_network_policy(namespace.name, policy)
    assert made.spec.policy_types == ["Ingress"]
    assert namespace.kubectl("get", "netpol", "--no-headers").split()[:2] == ["deny", "app=db"]
