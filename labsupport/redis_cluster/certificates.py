"""A certificate for names of one's own, signed by an authority that is made for it and forgotten.

What every certificate of the lab has in common is here, too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificate:
    """A server's certificate and key, and the authority that vouches for it, each as PEM text."""

    authority: str
    certificate: str
    key: str


def issue(names: Sequence[str], *, days: float = 1) -> Certificate:
    """A certificate that holds for these names and so many days. Its authority signs nothing else: its key is dropped.

    >>> issue(["redis-0.lab.example"]).certificate.splitlines()[0]
    '-----BEGIN CERTIFICATE-----'
    """
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name, name, lifetime = _named("the lab's authority"), _named(names[0]), dt.timedelta(days=days)
    authority = (
        builder(authority_name, authority_name, authority_key, lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        builder(name, authority_name, key, lifetime)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(issued_by(authority_key), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Certificate(_pem(authority), _pem(certificate), plain.decode())


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, lifetime: dt.timedelta
) -> x509.CertificateBuilder:
    """A certificate of that key from now on; its extensions and the signature are still to come."""
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))  # clocks of a host and its virtual machines differ
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def issued_by(authority: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    """The extension that says whose signature a certificate carries."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """The extension that says what a key is for: an authority's signs certificates, too."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
