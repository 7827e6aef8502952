"""/etc/hosts and /etc/resolv.conf as the kubelet writes them."""

from __future__ import annotations

from labcluster.node.pods.etc_files import hostname, hosts_file, resolv_conf
from tests.labcluster.node_cluster import pod_object


def test_a_pod_with_subdomain_has_its_fqdn_in_hosts() -> None:
    text = hosts_file(pod_object("redis-1", hostname="redis-1", subdomain="redis"), "10.244.0.132")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert text.endswith("10.244.0.132\tredis-1.redis.default.svc.cluster.local\tredis-1\n")


def test_a_pod_without_subdomain_has_its_name_only() -> None:
    assert hosts_file(pod_object("web"), "10.244.1.2").endswith("\n10.244.1.2\tweb\n")


def test_host_aliases_come_last() -> None:
    aliases = [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]
    assert hosts_file(pod_object(hostAliases=aliases), "10.0.0.1").endswith(
        "\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"
    )


def test_resolv_conf_searches_the_cluster_first() -> None:
    assert resolv_conf(pod_object()) == (
        "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"
    )


def test_dns_policy_none_has_what_dns_config_says() -> None:
    config = {"nameservers": ["9.9.9.9"], "searches": ["example.org"], "options": [{"name": "ndots", "value": "2"}]}
    text = resolv_conf(pod_object(dnsPolicy="None", dnsConfig=config))
    assert text == "search example.org\nnameserver 9.9.9.9\noptions ndots:2\n"


def test_dns_config_adds_to_the_policy() -> None:
    text = resolv_conf(pod_object(dnsConfig={"searches": ["example.org"], "options": [{"name": "edns0"}]}))
    assert "cluster.local example.org\n" in text and text.endswith("options ndots:5 edns0\n")


def test_host_network_pods_are_named_like_their_node_and_ask_the_node() -> None:
    pod = pod_object(hostNetwork=True)
    assert hostname(pod, "lab-worker") == "lab-worker"
    assert "10.96.0.10" not in resolv_conf(pod)
    assert "10.96.0.10" in resolv_conf(pod_object(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"))


def test_set_hostname_as_fqdn() -> None:
    pod = pod_object("a", subdomain="s", setHostnameAsFQDN=True)
    assert hostname(pod, "lab-worker") == "a.s.default.svc.cluster.local"
