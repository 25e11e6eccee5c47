"""Which embedded model this is: its revision and description, without loading it."""

from __future__ import annotations

import hashlib

from photoramd.models.description import Description
from photoramd.models.embedded.crop import CROP
from photoramd.models.embedded.keywords import embedded_vocabulary, table_bytes
from photoramd.models.imagenet import table_bytes as imagenet_table_bytes
from photoramd.models.weights.catalog import EMBEDDED

_INFERENCE_VERSION = 2
"""Raise it with any change of what this package makes of pixels."""


def embedded_revision() -> str:
    """Return a digest of weights, tables and code: 12 hexadecimal digits."""
    digest = hashlib.sha256()
    weights, code = EMBEDDED.weights.sha256.encode(), f"{_INFERENCE_VERSION}".encode()
    for part in (weights, imagenet_table_bytes(), table_bytes(), code):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:12]


def describe() -> Description:
    """Return what must be known of the model where it does not run."""
    return Description(EMBEDDED.name, embedded_revision(), embedded_vocabulary(), CROP)
