"""The cluster's keys and tokens."""

from __future__ import annotations

import base64
import stat
import time
from pathlib import Path

import orjson
import pytest
from cryptography import x509

from labcluster.auth import pki as pki_module
from labcluster.auth.pki import InvalidToken, Pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("state") / "pki")


def test_keys_are_made_once_and_only_for_their_owner(tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    first, second = Pki(directory), Pki(directory)
    assert first.ca_certificate == second.ca_certificate
    assert {stat.S_IMODE(f.stat().st_mode) for f in directory.iterdir()} == {0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [p.name for p in tmp_path.iterdir()] == ["pki"]


def test_an_incomplete_directory_is_replaced_as_a_whole(tmp_path: Path) -> None:
    old = Pki(tmp_path / "pki").ca_certificate
    (tmp_path / "pki" / "sa.key").unlink()
    assert Pki(tmp_path / "pki").ca_certificate != old
    assert sorted(p.name for p in (tmp_path / "pki").iterdir()) == sorted(pki_module._FILES)


def test_an_interrupted_creation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(key: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(pki_module, "_private_pem", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Pki(tmp_path / "pki")
    assert list(tmp_path.iterdir()) == []


def test_the_server_certificate_names_every_address_of_the_api(pki: Pki) -> None:
    certificate = x509.load_pem_x509_certificate((pki.directory / "apiserver.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "10.96.0.1", "172.18.0.2"]


def test_a_token_carries_its_account_and_pod(pki: Pki) -> None:
    claims = pki.verify_token(pki.issue_token("ns", "default", "u1", seconds=60, bound={"pod": ("web-0", "u2")}))
    assert claims["sub"] == "system:serviceaccount:ns:default"
    assert claims["kubernetes.io"] == {
        "namespace": "ns",
        "serviceaccount": {"name": "default", "uid": "u1"},
        "pod": {"name": "web-0", "uid": "u2"},
    }


def test_a_token_ends_at_its_time(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    token = pki.issue_token("ns", "default", "u1", seconds=60)
    later = time.time() + 61
    monkeypatch.setattr(pki_module.time, "time", lambda: later)
    with pytest.raises(InvalidToken, match="expired"):
        pki.verify_token(token)


def test_a_token_for_another_audience_is_refused(pki: Pki) -> None:
    token = pki.issue_token("ns", "default", "u1", ["vault"])
    assert pki.verify_token(token, "vault")["aud"] == ["vault"]
    with pytest.raises(InvalidToken, match="not for"):
        pki.verify_token(token)


def test_a_changed_token_is_refused(pki: Pki) -> None:
    header, claims_text, signature = pki.issue_token("ns", "default", "u1").split(".")
    claims = orjson.loads(base64.urlsafe_b64decode(claims_text + "=="))
    claims["sub"] = "system:serviceaccount:kube-system:admin"
    forged = base64.urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=").decode()
    with pytest.raises(InvalidToken, match="not signed"):
        pki.verify_token(f"{header}.{forged}.{signature}")


def test_a_token_of_another_cluster_is_refused(pki: Pki, tmp_path: Path) -> None:
    with pytest.raises(InvalidToken, match="not signed"):
        pki.verify_token(Pki(tmp_path / "pki").issue_token("ns", "default", "u1"))


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "e30.e30.", "é.é.é", "bnVsbA.bnVsbA.AAAA"])
def test_anything_else_is_no_token(pki: Pki, text: str) -> None:
    with pytest.raises(InvalidToken):
        pki.verify_token(text)
