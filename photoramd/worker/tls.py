"""The server's side of TLS."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from photoramd.errors import ConfigError
from photoramd.system.token import require_private


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return how the server shows who it is.

    Args:
        certificate: Its certificate, and others up to its authority's, PEM.
        key: Its private key, PEM.

    Raises:
        ConfigError: They cannot be read, do not belong together, or others may read the key.
    """
    try:
        require_private(key, os.stat(key), "the key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Without an answer there is no prompt for a password, which a service could not give.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except ssl.SSLError as error:
        raise ConfigError(
            f"no certificate with its key: {error.reason or error}",
            path=certificate,
            remedy="photoramd worker certificate DIRECTORY --host NAME makes both",
        ) from error
    except OSError as error:
        path = key if error.filename == os.fspath(key) else certificate
        raise ConfigError(f"cannot be read: {error.strerror}", path=path) from error
    return context
