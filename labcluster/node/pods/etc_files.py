"""The files that the kubelet writes into every container: /etc/hosts and /etc/resolv.conf.

Sources: pkg/kubelet/kubelet_pods.go (managedHostsFileContent), pkg/kubelet/network/dns/dns.go.
"""

from __future__ import annotations

from pathlib import Path

from labcluster import settings
from labcluster.api.objects import JSON, name_of, namespace_of

MAX_HOSTNAME = 63  # characters: a host name in the kernel and a DNS label
MAX_NAMESERVERS = 3  # as in glibc

_LOCAL_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


def short_hostname(pod: JSON) -> str:
    """The pod's host name without domain: spec.hostname, else its name, cut to a DNS label."""
    return str(pod["spec"].get("hostname") or name_of(pod)[:MAX_HOSTNAME].rstrip("-."))


def domain(pod: JSON) -> str:
    """`subdomain.namespace.svc.zone`, or "" for a pod without subdomain."""
    subdomain = pod["spec"].get("subdomain")
    return f"{subdomain}.{namespace_of(pod)}.svc.{settings.CLUSTER_DOMAIN}" if subdomain else ""


def hostname(pod: JSON, node_name: str) -> str:
    """What `hostname` prints in the pod: the short name, or the FQDN with setHostnameAsFQDN, or the node's name."""
    spec = pod["spec"]
    if spec.get("hostnameOverride"):
        return str(spec["hostnameOverride"])
    if spec.get("hostNetwork"):
        return node_name
    if spec.get("setHostnameAsFQDN") and domain(pod):
        return f"{short_hostname(pod)}.{domain(pod)}"
    return short_hostname(pod)


def hosts_file(pod: JSON, ip: str) -> str:
    """The content of /etc/hosts."""
    if pod["spec"].get("hostNetwork"):
        nodes = "".join(f"{n.address}\t{n.name}\n" for n in settings.NODES)
        text = f"# Kubernetes-managed hosts file (host network).\n{_LOCAL_HOSTS}{nodes}"
    else:
        names = [f"{short_hostname(pod)}.{domain(pod)}"] if domain(pod) else []
        text = "# Kubernetes-managed hosts file.\n" + _LOCAL_HOSTS + "\t".join([ip, *names, short_hostname(pod)]) + "\n"
    aliases = pod["spec"].get("hostAliases") or ()
    if aliases:
        lines = "".join("\t".join([a["ip"], *(a.get("hostnames") or ())]) + "\n" for a in aliases)
        text += f"\n# Entries added by HostAliases.\n{lines}"
    return text


def resolv_conf(pod: JSON) -> str:
    """The content of /etc/resolv.conf for the pod's dnsPolicy and dnsConfig."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and spec.get("hostNetwork"):
        policy = "Default"  # ClusterFirstWithHostNet is for those
    zone = settings.CLUSTER_DOMAIN
    searches: list[str] = []
    servers: list[str] = []
    options: dict[str, str] = {}
    if policy in ("ClusterFirst", "ClusterFirstWithHostNet"):
        searches = [f"{namespace_of(pod)}.svc.{zone}", f"svc.{zone}", zone]
        servers = [str(settings.DNS_SERVICE_IP)]
        options = {"ndots": "5"}
    elif policy == "Default":
        servers = [str(settings.CONTROL_PLANE.address)]  # the nodes' own name server
    config = spec.get("dnsConfig") or {}
    servers = list(dict.fromkeys([*servers, *(config.get("nameservers") or ())]))[:MAX_NAMESERVERS]
    searches = list(dict.fromkeys([*searches, *(config.get("searches") or ())]))
    options |= {o["name"]: str(o.get("value") or "") for o in config.get("options") or ()}
    lines = [f"search {' '.join(searches)}"] if searches else []
    lines += [f"nameserver {server}" for server in servers]
    if options:
        lines.append("options " + " ".join(f"{k}:{v}" if v else k for k, v in options.items()))
    return "\n".join(lines) + "\n"


def write_files(directory: Path, pod: JSON, ip: str) -> None:
    """Write both files, as `etc-hosts` and `resolv.conf`, into the pod's directory. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "etc-hosts").write_text(hosts_file(pod, ip))
    (directory / "resolv.conf").write_text(resolv_conf(pod))
