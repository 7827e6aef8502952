"""The notebooks' connection: what they say when nobody answers, and when the cluster is another one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import yaml

from labsupport.cluster import api


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_STATE", str(tmp_path))
    return tmp_path / "kubeconfig"


def write(kubeconfig: Path, port: int) -> None:
    server = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
    config = {
        "clusters": [{"name": "lab", "cluster": server}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "users": [{"name": "lab", "user": {"token": "t"}}],
        "current-context": "lab",
    }
    kubeconfig.write_text(yaml.safe_dump(config))


def test_without_a_kubeconfig_it_says_how_to_get_a_cluster(kubeconfig: Path) -> None:
    with pytest.raises(api.NotConnected, match=r"there is no .*kubeconfig. Type `make lab`"):
        api.core()


def test_a_cluster_that_does_not_answer_is_said_in_one_sentence(kubeconfig: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and does not listen
        write(kubeconfig, nobody.getsockname()[1])
        with pytest.raises(api.NotConnected, match=r"does not answer .* Type `make lab`"):
            api.core().list_node()
        with pytest.raises(api.NotConnected):
            api.resource("pods")


def test_a_cluster_made_anew_is_connected_to_anew(kubeconfig: Path) -> None:
    write(kubeconfig, 1001)
    first = api.api_client()
    assert api.api_client() is first
    write(kubeconfig, 1002)
    os.utime(kubeconfig, ns=(1, 1))  # clocks of file systems are coarse
    assert api.api_client().configuration.host == "https://127.0.0.1:1002"
