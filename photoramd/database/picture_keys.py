"""What small pictures are kept by: equal keys are equal pictures, whatever the file is called."""

from __future__ import annotations

import hashlib
import struct

from photoramd.photo import Fingerprint

_KEY_BYTES = 16


def key_of_picture(digest: bytes, width: int, height: int) -> bytes:
    """Return the key of what a model has seen: copies and files with other metadata share it.

    Args:
        digest: Of the pixels that the model was given, as in the table of results.
        width: Of the photo. The model sees a square: pictures of one colour differ in shape only.
        height: Likewise.
    """
    content = digest + struct.pack("<QQ", width, height)
    return hashlib.blake2b(content, digest_size=_KEY_BYTES, person=b"picture").digest()


def key_of_file(fingerprint: Fingerprint) -> bytes:
    """Return the key of a file that no model has seen yet."""
    numbers = (fingerprint.size, fingerprint.mtime_ns, fingerprint.device, fingerprint.inode)
    content = ",".join(map(str, numbers)).encode()
    return hashlib.blake2b(content, digest_size=_KEY_BYTES, person=b"file").digest()
