"""Make certificates: an authority of one's own, and a worker's certificate that it signs.

Daemons are told the authority alone (`ca_file`), so that another worker, or a renewed certificate,
changes nothing there. Extensions are those of RFC 5280 that Python's strict verification wants.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from photoramd.errors import ConfigError, UsageError
from photoramd.system.files import PRIVATE, write_all
from photoramd.system.token import require_private

AUTHORITY, AUTHORITY_KEY = "ca.pem", "ca-key.pem"
WORKER, WORKER_KEY = "worker.pem", "worker-key.pem"

AUTHORITY_DAYS = 3650
WORKER_DAYS = 730

_PUBLIC = 0o644
_AHEAD = datetime.timedelta(days=1)
"""Certificates are valid from so long ago on: other machines' clocks may be slow."""


@dataclass(frozen=True, slots=True)
class Made:
    """What was made.

    Attributes:
        authority: The authority's certificate, which daemons need.
        is_new: Whether it is new.
        certificate: The worker's.
        key: The private key of that.
        ends_at: When the worker's certificate ends, UTC.
    """

    authority: Path
    is_new: bool
    certificate: Path
    key: Path
    ends_at: datetime.datetime


def make(
    directory: Path, hosts: Sequence[str], now: datetime.datetime, *, renews: bool = False
) -> Made:
    """Make a worker's certificate, and an authority if there is none in the directory.

    Args:
        directory: Where they are put; it is made if it is not there.
        hosts: The names and addresses that daemons know the worker by.
        now: The present time, UTC.
        renews: Whether a certificate of the worker's that is there is replaced.

    Raises:
        ConfigError: The authority that is there cannot be used.
        UsageError: There is a certificate, a host is malformed, or a file cannot be written.
    """
    names = [_name(host) for host in hosts]
    certificate, key = directory / WORKER, directory / WORKER_KEY
    if not renews and (certificate.exists() or key.exists()):
        raise UsageError(
            "there is a certificate already", path=certificate, remedy="--renew replaces it"
        )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_new = not (directory / AUTHORITY).exists()
        authority, authority_key = (_found if not is_new else _founded)(directory, now)
        own = ec.generate_private_key(ec.SECP256R1())
        signed = _signed(own, names, hosts[0], (authority, authority_key), now)
        _write(key, _private(own), PRIVATE)
        _write(certificate, signed.public_bytes(serialization.Encoding.PEM), _PUBLIC)
    except OSError as error:
        path = Path(os.fsdecode(error.filename)) if error.filename else directory
        raise UsageError(f"cannot be written: {error.strerror}", path=path) from error
    return Made(directory / AUTHORITY, is_new, certificate, key, signed.not_valid_after_utc)


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        ascii_name = host.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_name = ""
    allowed = all(each.isalnum() or each in "-." for each in ascii_name)
    if not ascii_name or not allowed or ascii_name.startswith((".", "-")):
        raise UsageError(f"{host!r} is no name or address of a machine")
    return x509.DNSName(ascii_name)


def _founded(
    directory: Path, now: datetime.datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Make an authority; of the key that is there, if it has lost its certificate only.

    Certificates that the key has signed, and daemons that know the lost one, stay as they are.
    """
    key_path = directory / AUTHORITY_KEY
    is_new = not key_path.exists()
    key = ec.generate_private_key(ec.SECP256R1()) if is_new else _found_key(key_path)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "photoramd workers")])
    certificate = (
        _begun(key.public_key(), name, now, AUTHORITY_DAYS)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    # The key first: what has a certificate has a key.
    if is_new:
        _write(key_path, _private(key), PRIVATE)
    _write(directory / AUTHORITY, certificate.public_bytes(serialization.Encoding.PEM), _PUBLIC)
    return certificate, key


def _found(
    directory: Path, now: datetime.datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Read the authority that is there."""
    path, key_path = directory / AUTHORITY, directory / AUTHORITY_KEY
    key = _found_key(key_path)
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=path) from error
    except ValueError as error:
        raise ConfigError(f"no authority: {error}", path=path) from error
    if key.public_key() != certificate.public_key():
        raise ConfigError("the key is not that of the authority", path=key_path)
    if certificate.not_valid_after_utc <= now:
        raise ConfigError(
            "the authority has ended",
            path=path,
            remedy="remove it and its key, make both again, and give ca.pem to all daemons",
        )
    return certificate, key


def _found_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read the key of the authority that is there."""
    try:
        require_private(path, os.stat(path), "the key")
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=path) from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"no authority's key: {error}", path=path) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError("this is another kind of key than photoramd makes", path=path)
    return key


def _signed(
    key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
    title: str,
    authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
    now: datetime.datetime,
) -> x509.Certificate:
    certificate, authority_key = authority
    # At most 64 characters; who verifies looks at the alternative names.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title[:64])])
    return (
        _begun(key.public_key(), subject, now, WORKER_DAYS, certificate.not_valid_after_utc)
        .issuer_name(certificate.subject)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )


def _begun(
    key: ec.EllipticCurvePublicKey,
    subject: x509.Name,
    now: datetime.datetime,
    days: int,
    latest: datetime.datetime | None = None,
) -> x509.CertificateBuilder:
    ends_at = now + datetime.timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _AHEAD)
        .not_valid_after(ends_at if latest is None else min(ends_at, latest))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
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


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file whole, or leave what was there."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.replace(path)
