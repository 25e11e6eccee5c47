"""Whom a daemon trusts to be its worker: TLS, the authority, and what is wrong with either."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.errors import ConfigError
from photoramd.models.remote.failures import Kind, WorkerError

_EXPIRED, _NOT_YET, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
"""X509_V_ERR_* of OpenSSL's x509_vfy.h."""

_MAKE = "make another one on the worker: photoramd worker certificate"


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return what connections to workers are made with: TLS 1.2 or newer, with the name checked.

    Args:
        ca_file: The only authority that is trusted; None: those that this machine trusts.

    Raises:
        ConfigError: The file cannot be read, or has no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise ConfigError(
            "has no certificate that can be read",
            path=ca_file,
            remedy="cluster.ca_file is to be the ca.pem that photoramd worker certificate made",
        ) from error
    except OSError as error:
        raise ConfigError(
            f"the authority's certificate cannot be read: {error.strerror}",
            path=ca_file,
            remedy="copy ca.pem, which photoramd worker certificate made, and name it as "
            "cluster.ca_file",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def distrust(error: BaseException) -> WorkerError | None:
    """Return why a connection was not trusted; None if that was not the cause of an error."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _of_certificate(cause)
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return WorkerError(
                Kind.TRUST,
                f"no TLS can be agreed on ({(cause.reason or str(cause)).lower()})",
                "is it photoramd worker run, with a certificate, that listens there?",
            )
    return None


def expiry(certificate: Mapping[str, object]) -> UnixTime:
    """Return until when a certificate is valid, from `ssl.SSLSocket.getpeercert`."""
    return UnixTime(ssl.cert_time_to_seconds(str(certificate["notAfter"])))


def _of_certificate(error: ssl.SSLCertVerificationError) -> WorkerError:
    said = error.verify_message
    match error.verify_code:
        case code if code == _EXPIRED:
            return WorkerError(Kind.TRUST, "its certificate has expired", _MAKE)
        case code if code == _NOT_YET:
            remedy = "set the clocks of both machines"
            return WorkerError(Kind.TRUST, "its certificate is not valid yet", remedy)
        case code if code in (_OTHER_NAME, _OTHER_ADDRESS):
            return WorkerError(
                Kind.TRUST,
                f"its certificate is for another name: {said}",
                f"name it in cluster.workers as its certificate does, or {_MAKE}",
            )
        case _:
            return WorkerError(
                Kind.TRUST,
                f"its certificate is not trusted: {said}",
                "cluster.ca_file must be the certificate of the authority that it is of: the "
                "ca.pem that photoramd worker certificate made",
            )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
