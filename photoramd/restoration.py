"""How to get the very bytes back of a HEIC or AVIF file that had no XMP.

ExifTool adds XMP to such a file without a trace only in one direction: taken out again, an
empty entry is left. So the ledger remembers how the file was. Its pictures, the content of
its ``mdat`` box (ISO/IEC 14496-12), are the same bytes in both; what is before and after
them is short.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from collections.abc import Iterator

FIELD = "restoration"
"""Recorded like a field: one value, made by `remember`."""

_MAX_BYTES = 1 << 16
_MIN_PICTURE_BYTES = 256


def remember(old: bytes, new: bytes) -> str | None:
    """What `restore` needs to make the old file of the new one; None: it would be too much."""
    for start, end in _pictures(old):
        picture = old[start:end]
        position = new.find(picture)
        around = struct.pack(">I", start) + old[:start] + old[end:]
        if position >= 0 and len(around) <= _MAX_BYTES:
            packed = base64.b85encode(zlib.compress(around)).decode("ascii")
            digests = (_digest(new), _digest(old))
            return json.dumps([*digests, position, end - start, packed])
    return None


def restore(text: str, new: bytes) -> bytes | None:
    """The old file; None if the new one is no longer what it was."""
    after, before, position, length, packed = json.loads(text)
    if _digest(new) != after:
        return None
    around = zlib.decompress(base64.b85decode(packed))
    (start,) = struct.unpack_from(">I", around)
    head, tail = around[4 : 4 + start], around[4 + start :]
    old = head + new[position : position + length] + tail
    return old if _digest(old) == before else None


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _pictures(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the content of each large ``mdat`` box."""
    position = 0
    while position + 16 <= len(data):
        size, kind, large = struct.unpack_from(">I4sQ", data, position)
        header = 16 if size == 1 else 8
        size = large if size == 1 else size or len(data) - position
        if size < header or position + size > len(data):
            return
        if kind == b"mdat" and size - header >= _MIN_PICTURE_BYTES:
            yield position + header, position + size
        position += size
