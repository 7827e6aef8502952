"""The certificate for names of one's own, proven by a TLS handshake."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from labsupport.redis_cluster import certificates

NAMES = ["redis-0.lab.example", "redis-1.lab.example"]


def shake_hands(issued: certificates.Certificate, name: str, directory: Path) -> None:
    """A client that trusts only the authority greets a server of that certificate by a name. Raises ssl.SSLError."""
    (directory / "server.pem").write_text(issued.key + issued.certificate)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(directory / "server.pem")
    client = ssl.create_default_context(cadata=issued.authority)
    here, there = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(there, server_side=True).close()
        except (ssl.SSLError, OSError):
            there.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        here.settimeout(10)
        client.wrap_socket(here, server_hostname=name).close()
    finally:
        here.close()
        thread.join()


@pytest.mark.parametrize("name", NAMES)
def test_each_of_its_names_is_believed(name: str, tmp_path: Path) -> None:
    shake_hands(certificates.issue(NAMES), name, tmp_path)


def test_another_name_is_not(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        shake_hands(certificates.issue(NAMES), "redis-9.lab.example", tmp_path)


def test_another_authority_does_not_vouch_for_it(tmp_path: Path) -> None:
    one, other = certificates.issue(NAMES), certificates.issue(NAMES)
    mixed = certificates.Certificate(other.authority, one.certificate, one.key)
    with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
        shake_hands(mixed, NAMES[0], tmp_path)


def test_after_its_days_it_holds_no_more(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake_hands(certificates.issue(NAMES, days=-1 / 48), NAMES[0], tmp_path)
