"""The cluster's keys: a certificate authority, the server's and the administrator's certificate, the token signer.

All keys are ECDSA P-256 (generated in a millisecond), in one directory that is created as a whole, once.
Service-account tokens are JWTs signed with ES256 (RFC 7515, RFC 7518 section 3.4, RFC 7519).
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import os
import shutil
import ssl
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from labcluster import settings
from labcluster.api.objects import JSON

ISSUER = f"https://kubernetes.default.svc.{settings.CLUSTER_DOMAIN}"
ADMIN_NAME = "kubernetes-admin"
ADMIN_GROUPS = ("kubeadm:cluster-admins", "system:masters")

_SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    f"kubernetes.default.svc.{settings.CLUSTER_DOMAIN}",
)
_SERVER_ADDRESSES = ("127.0.0.1", str(settings.API_SERVICE_IP), str(settings.CONTROL_PLANE.address))
_FILES = ("ca.crt", "ca.key", "apiserver.crt", "apiserver.key", "admin.crt", "admin.key", "sa.key")
_LIFETIME = dt.timedelta(days=3650)
_COORDINATE = 32  # bytes of r and of s in an ES256 signature


class InvalidToken(Exception):
    """A service-account token that is malformed, forged, expired or for another audience."""


class Pki:
    """The keys in one directory. `Pki(path)` creates them when they are not there yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        if not all((directory / name).is_file() for name in _FILES):
            _create(directory)
        self.ca_certificate = (directory / "ca.crt").read_bytes()
        self.admin_certificate = (directory / "admin.crt").read_bytes()
        self.admin_key = (directory / "admin.key").read_bytes()
        key = serialization.load_pem_private_key((directory / "sa.key").read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{directory / 'sa.key'}: expected an ECDSA key; remove {directory} to have it made anew")
        self._signer = key
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        digest = hashes.Hash(hashes.SHA256())
        digest.update(public)
        self._key_id = _encode(digest.finalize())

    def ssl_context(self) -> ssl.SSLContext:
        """The server's TLS settings: a client certificate is welcome, and verified when it is there."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.directory / "apiserver.crt", self.directory / "apiserver.key")
        context.load_verify_locations(self.directory / "ca.crt")
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        return context

    def kubeconfig(self, server: str, context_name: str) -> JSON:
        """A kubeconfig for the administrator with the keys inside. `server` is a URL."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "preferences": {},
            "clusters": [
                {
                    "name": context_name,
                    "cluster": {"server": server, "certificate-authority-data": _base64(self.ca_certificate)},
                }
            ],
            "users": [
                {
                    "name": context_name,
                    "user": {
                        "client-certificate-data": _base64(self.admin_certificate),
                        "client-key-data": _base64(self.admin_key),
                    },
                }
            ],
            "contexts": [{"name": context_name, "context": {"cluster": context_name, "user": context_name}}],
            "current-context": context_name,
        }

    def issue_token(
        self,
        namespace: str,
        name: str,
        uid: str,
        audiences: Sequence[str] = (),
        seconds: int = 3600,
        bound: Mapping[str, tuple[str, str]] | None = None,
    ) -> str:
        """A token for a service account, valid for `seconds`; `bound` are the objects it is bound to, by kind.

        Each is a name and a uid, as in {"pod": ("web-0", "…")}.
        """
        issued = int(time.time())
        about: dict[str, Any] = {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}}
        for kind, (bound_name, bound_uid) in (bound or {}).items():
            about[kind] = {"name": bound_name, **({"uid": bound_uid} if bound_uid else {})}
        claims = {
            "aud": list(audiences) or [ISSUER],
            "exp": issued + seconds,
            "iat": issued,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": about,
            "nbf": issued,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        header = {"alg": "ES256", "kid": self._key_id}
        signed = f"{_encode(orjson.dumps(header))}.{_encode(orjson.dumps(claims))}"
        r, s = decode_dss_signature(self._signer.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
        return f"{signed}.{_encode(signature)}"

    def verify_token(self, token: str, audience: str = ISSUER) -> JSON:
        """The claims of a token of ours. Raises InvalidToken on anything else."""
        signed, _, signature_text = token.rpartition(".")
        header_text, _, claims_text = signed.partition(".")
        try:
            header, claims = orjson.loads(_decode(header_text)), orjson.loads(_decode(claims_text))
            signature = _decode(signature_text)
        except ValueError as error:
            raise InvalidToken("the token is not a JWT") from error
        if not isinstance(header, dict) or not isinstance(claims, dict) or header.get("alg") != "ES256":
            raise InvalidToken("the token is not an ES256 JWT")
        if len(signature) != 2 * _COORDINATE:
            raise InvalidToken("the token's signature has the wrong length")
        r, s = (int.from_bytes(half, "big") for half in (signature[:_COORDINATE], signature[_COORDINATE:]))
        try:
            self._signer.public_key().verify(encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise InvalidToken("the token was not signed by this cluster") from error
        now = time.time()
        if claims["iss"] != ISSUER or audience not in claims["aud"]:
            raise InvalidToken(f"the token is not for {audience}")
        if not claims["nbf"] <= now < claims["exp"]:
            raise InvalidToken("the token has expired")
        return claims


def _create(directory: Path) -> None:
    """Create all keys in a temporary directory, then rename it: an interruption leaves no incomplete one."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        _fill(temporary)
        if directory.exists():  # incomplete: made by an older version, or files were removed
            os.rename(directory, temporary / "old")
        os.rename(temporary, directory)
        shutil.rmtree(directory / "old", ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _fill(directory: Path) -> None:
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    ca = (
        _builder(ca_name, ca_name, ca_key, _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    _write_pair(directory, "ca", ca, ca_key)

    server_key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in _SERVER_NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in _SERVER_ADDRESSES]
    server = (
        _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")]), ca_name, server_key, _LIFETIME)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(_issued_by(ca_key), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write_pair(directory, "apiserver", server, server_key)

    admin_key = ec.generate_private_key(ec.SECP256R1())
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in ADMIN_GROUPS]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, ADMIN_NAME))
    admin = (
        _builder(x509.Name(subject), ca_name, admin_key, _LIFETIME)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(_issued_by(ca_key), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write_pair(directory, "admin", admin, admin_key)
    _write(directory / "sa.key", _private_pem(ec.generate_private_key(ec.SECP256R1())))


def _write_pair(directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    _write(directory / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM))
    _write(directory / f"{name}.key", _private_pem(key))


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _encode(data: bytes) -> str:
    """base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _builder(
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


def _issued_by(authority: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    """The extension that says whose signature a certificate carries."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
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
