"""A certificate authority for one laptop, and the certificate its servers use.

    DATA/tls/ca.pem          what hooks (and you, if you like) trust
    DATA/tls/ca-key.pem      its key, mode 0600
    DATA/tls/server.pem      for localhost, 127.0.0.1 and ::1
    DATA/tls/server-key.pem  its key, mode 0600
    DATA/tls/trusted.pem     ca.pem, and what TENTERHOOK_EXTRA_CA_FILE named besides

Whoever gets hold of the CA's key must not gain more than this machine: the CA carries critical name constraints, so
that nobody believes a certificate of it for any other name or address.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tenterhook.cli.profile import write_private
from tenterhook.clock import Clock, SystemClock

NAMES = ("localhost",)
ADDRESSES = ("127.0.0.1", "::1")
_CONSTRAINED_TO = (*NAMES, "127.0.0.0/8", "::1/128")

_CA_LIFETIME = dt.timedelta(days=3650)
# Browsers refuse server certificates that are valid for more than 398 days.
_SERVER_LIFETIME = dt.timedelta(days=397)
_RENEW_BEFORE = dt.timedelta(days=30)
# Clocks of virtual machines and containers may be behind.
_BACKDATED = dt.timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class LocalCertificates:
    """Where the certificates are."""

    ca: Path
    """What clients must trust."""
    cert: Path
    """The server's certificate."""
    key: Path
    """The server's key."""


def ensure_certificates(folder: Path, clock: Clock | None = None) -> LocalCertificates:
    """Make in ``folder`` what is missing, damaged or about to expire; a CA that is still good stays.

    A new server certificate is no event for anybody; a new CA has to be trusted again.
    """
    now = (clock or SystemClock()).now()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = LocalCertificates(ca=folder / "ca.pem", cert=folder / "server.pem", key=folder / "server-key.pem")
    ca_key_path = folder / "ca-key.pem"
    ca = _load(paths.ca, ca_key_path, now)
    if ca is None:
        ca = _new_ca(now)
        _store(ca, paths.ca, ca_key_path)
    server = _load(paths.cert, paths.key, now)
    if server is None or not _issued_by(server[0], ca[0]):
        _store(_new_server(ca, now), paths.cert, paths.key)
    return paths


def trust_bundle(folder: Path, ca: Path, besides: Path | None) -> Path:
    """Return a file with the local CA and those of ``besides``: what hooks trust."""
    if besides is None:
        return ca
    bundle = folder / "trusted.pem"
    write_private(bundle, ca.read_text().rstrip("\n") + "\n" + besides.read_text())
    return bundle


_Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _load(cert_path: Path, key_path: Path, now: dt.datetime) -> _Pair | None:
    """Return a stored pair if it is whole, belongs together and stays valid for a while."""
    try:
        cert = x509.load_pem_x509_certificate(cert_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != cert.public_key():
        return None
    if not cert.not_valid_before_utc <= now <= cert.not_valid_after_utc - _RENEW_BEFORE:
        return None
    return cert, key


def _issued_by(cert: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        cert.verify_directly_issued_by(ca)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def _new_ca(now: dt.datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # Each CA has a name of its own, so that two data folders' CAs can be told apart in a browser's list.
    stamp = f"{x509.random_serial_number() & 0xFFFFFFFF:08x}"
    name = _name(f"Tenterhook development CA {stamp}")
    constraints = x509.NameConstraints(
        permitted_subtrees=[
            x509.IPAddress(ipaddress.ip_network(entry)) if "/" in entry else x509.DNSName(entry)
            for entry in _CONSTRAINED_TO
        ],
        excluded_subtrees=None,
    )
    builder = (
        _builder(name, name, key, now, _CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(constraints, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256()), key


def _new_server(ca: _Pair, now: dt.datetime) -> _Pair:
    ca_cert, ca_key = ca
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(name) for name in NAMES]
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in ADDRESSES]
    builder = (
        _builder(_name("Tenterhook development server"), ca_cert.subject, key, now, _SERVER_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    return builder.sign(ca_key, hashes.SHA256()), key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: dt.datetime,
    lifetime: dt.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + lifetime)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _store(pair: _Pair, cert_path: Path, key_path: Path) -> None:
    cert, key = pair
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(key_path, private.decode())
    write_private(cert_path, cert.public_bytes(serialization.Encoding.PEM).decode())
    # The CA's certificate is for showing around, the key is not.
    cert_path.chmod(0o644)
