"""Answers to exercises that take an experiment: each is made on the tests' own lab, and its outcome is the answer.

Where it does not matter what runs in the pods, nobody runs them: tests/facts/sets.py says of them what a kubelet would.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import kubernetes
import pytest

from tests.facts.api_port import JSON, ApiPort, Space
from tests.facts.sets import back, by_hand, create_ready, deletions, settle, tell
from tests.manifests import claim, pod, service, shell, workload
from tests.notebooks.answers import expect, question
from tests.running_lab import SECONDS, Namespace, RunningLab

RELEASE = "release"  # an annotation of the template, which stands for what an update changes
FIVE = [f"web-{number}" for number in range(5)]


@pytest.fixture
def space(namespace: Namespace) -> Space:
    """The test's namespace, seen through the API's port."""
    return Space(ApiPort(namespace.lab), namespace.name)


def ask(lab: RunningLab, name: str, kind: str = "A") -> dns.message.Message:
    """The answer of the cluster's DNS."""
    address, _, port = lab.status()["dns"].rpartition(":")
    return dns.query.udp(dns.message.make_query(name, kind), address, port=int(port), timeout=SECONDS)


def records(lab: RunningLab, name: str, kind: str = "A") -> list[str]:
    """The records of a name, sorted."""
    return sorted(str(record) for rrset in ask(lab, name, kind).answer for record in rrset)


def eventually(look: Callable[[], Any], accepted: Callable[[Any], bool]) -> Any:
    """What `look` sees, once that is accepted: nothing tells when DNS has learnt something."""
    deadline = time.monotonic() + 2 * SECONDS
    while not accepted(seen := look()):
        assert time.monotonic() < deadline, f"last seen: {seen}"
        time.sleep(0.1)
    return seen


def ready_set(name: str, replicas: int, **spec: Any) -> JSON:
    """A StatefulSet of which each pod has a claim, an address and nothing to do."""
    return workload("StatefulSet", name, replicas, shell(), **spec)


def claims_of(found: JSON) -> list[str]:
    """The claims that a pod mounts."""
    volumes = found["spec"]["volumes"]
    return [v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v]


def unclaimed(space: Space) -> list[str]:
    """The claims that stay: no owner will take them along, and nobody has deleted them."""
    metadata = [found["metadata"] for found in space.list("persistentvolumeclaims")]
    return [m["name"] for m in metadata if "ownerReferences" not in m and "deletionTimestamp" not in m]


def for_db(names: list[str]) -> list[str]:
    """The set of the experiment is called web, that of the exercise db."""
    return [name.replace("web-", "db-") for name in names]


def test_nodes_for_ordinary_pods(cluster: RunningLab) -> None:
    taints = [node.spec.taints or [] for node in cluster.core.list_node().items]
    expect("0.1", sum(not any(taint.effect == "NoSchedule" for taint in each) for each in taints))


def test_a_name_that_does_not_exist(cluster: RunningLab) -> None:
    expect("0.2", dns.rcode.to_text(ask(cluster, "goodbye.default.svc.cluster.local").rcode()))


def test_creation_and_return(space: Space, namespace: Namespace) -> None:
    """Created in order; one deleted and compared; scaled to none, and to two again."""
    with space.watched("pods") as pods:
        space.create(service("db", clusterIP="None"), ready_set("db", 3))
        namespace.wait("statefulset/db", "jsonpath={.status.readyReplicas}=3", seconds=2 * SECONDS)
        pods.catch_up()
        expect("1.1", pods.told("ADDED"))

    def facts(found: JSON) -> JSON:
        metadata = found["metadata"]
        address = found["status"].get("podIP")
        return {"name": metadata["name"], "uid": metadata["uid"], "address": address, "claim": claims_of(found)}

    before = facts(space.get("pods", "db-1"))
    namespace.kubectl("delete", "pod", "db-1")
    namespace.wait("statefulset/db", "jsonpath={.status.readyReplicas}=3", seconds=2 * SECONDS)
    after = facts(space.get("pods", "db-1"))
    expect("1.2", [fact for fact in before if before[fact] != after[fact]])

    for replicas in (0, 2):
        namespace.kubectl("scale", "statefulset", "db", f"--replicas={replicas}")
        namespace.wait("statefulset/db", f"jsonpath={{.status.replicas}}={replicas}", seconds=2 * SECONDS)
        if replicas:
            namespace.wait("statefulset/db", f"jsonpath={{.status.readyReplicas}}={replicas}")
    expect("1.4", len(space.names("persistentvolumeclaims")))


def test_the_pod_that_is_removed_first(space: Space) -> None:
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(3, ordinals={"start": 10}), "web-10", "web-11", "web-12")
        space.patch("statefulsets", "web", {"spec": {"replicas": 2}})
        pods.until(lambda found: len(found) == 2)
        (gone,) = deletions(pods)
    expect("1.3", int(gone.rpartition("-")[2]))


def test_the_name_of_a_claim(space: Space) -> None:
    template = {"metadata": {"name": "log"}, "spec": claim("log")["spec"]}
    space.create(ready_set("queue", 2, volumeClaimTemplates=[template], podManagementPolicy="Parallel"))
    pods = space.until("pods", lambda found: len(found) == 2)
    (name,) = claims_of(sorted(pods.values(), key=lambda found: str(found["metadata"]["name"]))[1])
    expect("2.1", name)


def test_claims_that_are_left(space: Space) -> None:
    policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
    templates = [{"metadata": {"name": "data"}, "spec": claim("data")["spec"]}]
    obj = by_hand(3, volumeClaimTemplates=templates, persistentVolumeClaimRetentionPolicy=policy)
    with space.watched("pods") as pods:
        create_ready(space, pods, obj, "web-0", "web-1", "web-2")
        space.patch("statefulsets", "web", {"spec": {"replicas": 1}})
        space.until("persistentvolumeclaims", lambda found: len(found) == 1)
        space.gone("statefulsets", "web")
        pods.until(lambda found: not found)
    expect("2.2", [name.replace("-web-", "-db-") for name in unclaimed(space)])


def test_data_after_an_eviction(space: Space) -> None:
    policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    templates = [{"metadata": {"name": "data"}, "spec": claim("data")["spec"]}]
    obj = by_hand(2, volumeClaimTemplates=templates, persistentVolumeClaimRetentionPolicy=policy)
    with space.watched("pods") as pods:
        create_ready(space, pods, obj, "web-0", "web-1")
        before = space.get("persistentvolumeclaims", "data-web-1")["metadata"]["uid"]
        uid = pods.objects["web-1"]["metadata"]["uid"]
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web-1"}}
        space.api.ok("POST", space.path("pods", "web-1", "eviction"), eviction)
        successor = back(space, pods, "web-1", uid)
        settle(space)
    (name,) = claims_of(successor)
    found = space.get("persistentvolumeclaims", name)["metadata"]
    expect("2.3", (found["uid"], "deletionTimestamp" in found) == (before, False))


def test_what_brings_a_drained_pod_back(space: Space, namespace: Namespace) -> None:
    """Of the four ways: deleting the pod leaves it Pending, and no nodeSelector is there; the node's release helps."""
    options = dict(re.findall(r"^- (\w): (.+)$", question("2.4"), re.MULTILINE))
    space.create(service("db", clusterIP="None"), ready_set("db", 2))
    namespace.wait("statefulset/db", "jsonpath={.status.readyReplicas}=2", seconds=2 * SECONDS)
    node = space.get("pods", "db-1")["spec"]["nodeName"]
    data = space.get("persistentvolumeclaims", "data-db-1")["metadata"]["uid"]
    refused = "jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}=Unschedulable"
    try:
        namespace.lab.kubectl("cordon", node)
        for _ in range(2):  # by the drain, and once more by hand
            namespace.kubectl("delete", "pod", "db-1")
            namespace.wait("pod/db-1", refused, "--for=create", seconds=2 * SECONDS)
    finally:
        namespace.lab.kubectl("uncordon", node)
    namespace.wait("pod/db-1", "condition=Ready", seconds=2 * SECONDS)
    assert space.get("persistentvolumeclaims", "data-db-1")["metadata"]["uid"] == data
    assert "nodeSelector" not in space.get("statefulsets", "db")["spec"]["template"]["spec"]
    (letter,) = [letter for letter, text in options.items() if "uncordon" in text]
    expect("2.4", letter)


def test_volumes_for_two_templates(space: Space) -> None:
    spec = {**claim("x")["spec"], "storageClassName": "by-hand"}
    templates = [{"metadata": {"name": name}, "spec": spec} for name in ("data", "log")]
    space.create(ready_set("db", 3, volumeClaimTemplates=templates, podManagementPolicy="Parallel"))
    pods = space.until("pods", lambda found: len(found) == 3)
    claims = {name for found in pods.values() for name in claims_of(found)}
    assert {obj["status"]["phase"] for obj in space.list("persistentvolumeclaims")} == {"Pending"}
    expect("3.1", len(claims))


def test_the_full_name_of_a_pod(space: Space, namespace: Namespace) -> None:
    peers = service("mq-peers", "mq", clusterIP="None")
    space.create(peers, ready_set("mq", 2, serviceName="mq-peers", volumeClaimTemplates=[]))
    namespace.wait("statefulset/mq", "jsonpath={.status.readyReplicas}=2", seconds=2 * SECONDS)
    second = space.get("pods", "mq-1")
    name = f"{second['spec']['hostname']}.{second['spec']['subdomain']}.{space.name}.svc.cluster.local"
    eventually(lambda: records(namespace.lab, name), lambda found: found == [second["status"]["podIP"]])
    expect("3.2", name.replace(space.name, "shop"))


def test_whose_events_name_the_missing_class(space: Space) -> None:
    spec = {**claim("x")["spec"], "storageClassName": "no-such-class"}
    space.create(ready_set("db", 1, volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": spec}]))
    found = space.until(
        "events",
        lambda events: (
            {"StatefulSet", "Pod", "PersistentVolumeClaim"}
            <= {event["involvedObject"]["kind"] for event in events.values()}
            and any("no-such-class" in event["message"] for event in events.values())
        ),
    )
    kinds = {event["involvedObject"]["kind"] for event in found.values() if "no-such-class" in event["message"]}
    words = {"PersistentVolumeClaim": "claim", "Pod": "pod", "StatefulSet": "set"}
    (word,) = [words[kind] for kind in kinds]
    expect("3.3", word)


def test_names_of_pods_that_are_not_ready(space: Space, namespace: Namespace) -> None:
    """A running pod without a name, and what it is not; then every field of a Service that is true or false."""
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    shy = pod("shy", shell(readinessProbe=probe), labels={"app": "shy"}, hostname="shy", subdomain="shy")
    space.create(service("shy", clusterIP="None"), shy)
    namespace.wait("pod/shy", "jsonpath={.status.phase}=Running", seconds=2 * SECONDS)
    name = f"shy.{{}}.{space.name}.svc.cluster.local"
    slices = {"labelSelector": "kubernetes.io/service-name=shy"}
    space.until("endpointslices", lambda found: any(s["endpoints"] for s in found.values()), **slices)
    assert not records(namespace.lab, name.format("shy"))

    spec = kubernetes.client.V1ServiceSpec
    fields = [spec.attribute_map[field] for field, kind in spec.openapi_types.items() if kind == "bool"]
    made = {}
    for number, field in enumerate(fields):
        wanted = service(f"s{number}", "shy", clusterIP="None", **{field: True})
        if space.api("POST", space.path("services"), wanted).status < 300:
            made[f"s{number}"] = field
    found = space.until("endpointslices", lambda found: sum(bool(s["endpoints"]) for s in found.values()) > len(made))
    published = {
        s["metadata"]["labels"]["kubernetes.io/service-name"]
        for s in found.values()
        for endpoint in s["endpoints"]
        if endpoint["conditions"]["ready"]
    }
    (door,) = published
    address = space.get("pods", "shy")["status"]["podIP"]
    eventually(lambda: records(namespace.lab, f"{door}.{space.name}.svc.cluster.local"), [address].__eq__)
    expect("3.4", made[door])

    false = {c["type"] for c in space.get("pods", "shy")["status"]["conditions"] if c["status"] == "False"}
    namespace.sh("shy", "touch /tmp/ready")
    eventually(lambda: records(namespace.lab, name.format("shy")), [address].__eq__)
    true = {c["type"] for c in space.get("pods", "shy")["status"]["conditions"] if c["status"] == "True"}
    (condition,) = (false & true) - {"ContainersReady"}  # that is of the containers, and follows from them
    expect("7.2", condition)


def test_five_members_are_updated(space: Space, namespace: Namespace) -> None:
    """A partition of 3, and a death below it; then an image that never becomes ready, and the way back."""

    def release(number: str) -> JSON:
        return {"spec": {"template": {"metadata": {"annotations": {RELEASE: number}}}}}

    def released(found: dict[str, JSON], name: str) -> str:
        return str(found[name]["metadata"]["annotations"][RELEASE])

    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 3}}
    obj = by_hand(5, updateStrategy=strategy)
    obj["spec"]["template"]["metadata"]["annotations"] = {RELEASE: "old"}
    budget = {"maxUnavailable": 1, "selector": obj["spec"]["selector"]}
    namespace.apply(
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": budget}
    )
    with space.watched("pods") as pods:
        create_ready(space, pods, obj, *FIVE)
        uids = {name: found["metadata"]["uid"] for name, found in pods.objects.items()}
        space.patch("statefulsets", "web", release("new"))
        for name in ("web-4", "web-3"):
            back(space, pods, name, uids[name])
        space.until("statefulsets", lambda found: found["web"]["status"].get("updatedReplicas") == 2)
        settle(space)
        expect("4.1", for_db(deletions(pods)))

        uid = pods.objects["web-1"]["metadata"]["uid"]
        space.delete("pods", "web-1")
        back(space, pods, "web-1", uid)
        expect("4.2", released(pods.objects, "web-1"))

        space.patch("statefulsets", "web", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})
        for name in ("web-2", "web-1", "web-0"):
            back(space, pods, name, pods.objects[name]["metadata"]["uid"])
        space.until("statefulsets", lambda found: found["web"]["status"].get("updatedReplicas") == 5)
        uid = pods.objects["web-4"]["metadata"]["uid"]
        space.patch("statefulsets", "web", release("no such image"))
        pods.until(lambda found: "web-4" in found and found["web-4"]["metadata"]["uid"] != uid)
        tell(space, "web-4", phase="Pending", ready=False)
        settle(space)
        space.patch("statefulsets", "web", release("new"))
        settle(space)
        pods.catch_up()
        broken = [name for name in FIVE if released(pods.objects, name) == "no such image"]
        expect("4.3", for_db(broken))

    namespace.wait("pdb/b", "jsonpath={.status.currentHealthy}=4")
    expect("4.4", namespace.get("pdb/b")["status"]["disruptionsAllowed"])


def valkey(space: Space, namespace: Namespace, *words: str) -> None:
    """Run a Valkey server in the pod `valkey`."""
    container = {"name": "main", "image": "valkey/valkey:8.1.8", "command": ["valkey-server", *words]}
    space.create(pod("valkey", container))
    namespace.wait("pod/valkey", "condition=Ready", seconds=2 * SECONDS)


def test_writes_without_a_secondary(space: Space, namespace: Namespace) -> None:
    valkey(space, namespace, "--min-replicas-to-write", "1")
    said = eventually(
        lambda: namespace.sh("valkey", "valkey-cli set key value || true"), lambda out: "connect" not in out
    )
    expect("5.3", said.strip() == "OK")


def test_srv_records_of_four_pods_and_three_ports(space: Space, namespace: Namespace) -> None:
    ports = [{"name": name, "port": port} for port, name in enumerate(("client", "bus", "metrics"), 6379)]
    space.create(service("db", clusterIP="None", ports=ports), ready_set("db", 4, podManagementPolicy="Parallel"))
    namespace.wait("statefulset/db", "jsonpath={.status.readyReplicas}=4", seconds=2 * SECONDS)
    zone = f"db.{space.name}.svc.cluster.local"
    eventually(lambda: records(namespace.lab, zone), lambda found: len(found) == 4)
    found = [record for port in ports for record in records(namespace.lab, f"_{port['name']}._tcp.{zone}", "SRV")]
    assert len(found) == len(set(found))
    expect("7.1", len(found))


def test_questions_for_a_name_with_two_dots(space: Space, namespace: Namespace) -> None:
    """As resolv.conf(5) says: with fewer dots than ndots all endings are tried first, then the name as it stands."""
    space.create(pod("asks"))
    namespace.wait("pod/asks", "condition=Ready", seconds=2 * SECONDS)
    settings = dict(line.split(maxsplit=1) for line in namespace.sh("asks", "cat /etc/resolv.conf").splitlines())
    endings = [ending for ending in settings["search"].split() if ending.endswith("cluster.local")]
    (ndots,) = re.findall(r"ndots:(\d+)", settings["options"])
    tried = [*endings, ""] if "www.example.com".count(".") < int(ndots) else [""]
    expect("7.3", len(tried))


def test_settings_of_a_cluster_member(space: Space, namespace: Namespace) -> None:
    """Where the bus is when only the port is announced; and which of all settings makes clients be told a name.

    Of the answer to CLUSTER SLOTS the third line is where clients are to go.
    """
    valkey(space, namespace, "--port", "7000", "--cluster-enabled", "yes", "--cluster-announce-port", "31000")
    node = eventually(lambda: namespace.sh("valkey", "valkey-cli -p 7000 cluster nodes || true"), lambda o: "@" in o)
    (port, bus) = re.search(r":(\d+)@(\d+)", node).groups()  # type: ignore[union-attr]
    assert port == "31000"
    expect("10.1", int(bus))

    script = """
    cli() { valkey-cli -p 7000 "$@"; }
    cli cluster addslotsrange 0 16383 > /tmp/out
    cli config set cluster-preferred-endpoint-type hostname > /tmp/out
    for name in $(cli config get 'cluster-*' | grep ^cluster-); do
      before=$(cli config get $name | tail -n 1)
      if [ "$(cli config set $name told.example)" = OK ]; then
        [ "$(cli cluster slots | sed -n 3p)" = told.example ] && echo $name
        cli config set $name "$before" > /tmp/out
      fi
    done
    true
    """
    (setting,) = namespace.sh("valkey", script).split()
    expect("10.3", setting)


def test_the_verb_that_is_missing(space: Space, namespace: Namespace) -> None:
    """The Role of the exercise, and the reading verbs that it does not allow."""
    allowed = re.findall(r"allows `(\w+)` and `(\w+)`", question("11.3"))[0]
    slices = "endpointslices.discovery.k8s.io"
    namespace.kubectl("create", "role", "edge", f"--verb={','.join(allowed)}", f"--resource={slices}")
    namespace.kubectl("create", "rolebinding", "edge", "--role=edge", f"--serviceaccount={space.name}:edge")
    who = f"system:serviceaccount:{space.name}:edge"

    def may(verb: str) -> bool:
        words = ("-n", space.name, "auth", "can-i", verb, slices, f"--as={who}")
        return namespace.lab.run_kubectl(*words).stdout.strip() == "yes"

    eventually(lambda: [verb for verb in allowed if may(verb)], list(allowed).__eq__)
    (missing,) = [verb for verb in ("get", "list", "watch") if not may(verb)]
    expect("11.3", missing)
