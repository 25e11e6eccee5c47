"""Restore the exact bytes of a photo that had no XMP.

In some files ExifTool leaves traces when it removes what it added: an empty entry in HEIC and
AVIF, another order of the parts in TIFF, the record's version beside IPTC keywords. So the
ledger remembers the old file as pieces of the new one, which holds the pixels unchanged, plus
the bytes that are not in the new file, which are few.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from collections.abc import Iterator

FIELD = "restoration"
"""The ledger's name for what `remember` returns, which is recorded like a field's value."""

_MAX_BYTES = 1 << 16
"""The limit of the bytes that are not in the new file, and of all that is remembered."""

_MAX_SEARCH_BYTES = 16 << 30
"""How many bytes are searched for pieces: that takes a second or two, or 50 if all bytes are
alike."""

_KEY_BYTES = 64
_MAX_STEP_BYTES = 4096
_CHUNK_BYTES = 1 << 16
_PIECE = struct.Struct(">III")


def remember(old: bytes, new: bytes) -> str | None:
    """Return what `restore` needs to make the old file from the new one; None if it is too much."""
    packed = bytearray()
    literals = end = 0
    for position, source, length in _copies(old, new):
        packed += _PIECE.pack(position - end, source, length) + old[end:position]
        literals += position - end
        end = position + length
    text = base64.b85encode(zlib.compress(packed)).decode("ascii")
    if end < len(old) or max(literals, len(text)) > _MAX_BYTES:
        return None
    return json.dumps([_digest(new), _digest(old), text])


def restore(text: str, new: bytes) -> bytes | None:
    """Return the old file; None if the new one has changed since."""
    after, before, *packed = json.loads(text)
    if len(packed) != 1 or _digest(new) != after:
        return None  # or it is from a version with another format
    pieces = memoryview(zlib.decompress(base64.b85decode(packed[0])))
    old = bytearray()
    while pieces:
        literal, source, length = _PIECE.unpack_from(pieces)
        end = _PIECE.size + literal
        old += pieces[_PIECE.size : end]
        old += new[source : source + length]
        pieces = pieces[end:]
    return bytes(old) if _digest(old) == before else None


def _digest(data: bytes | bytearray) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _copies(old: bytes, new: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the pieces of the old file that are in the new one: both offsets and the length.

    They come in the order of the old file; the last is at its end, and may be empty. The search
    ends early when too many bytes are missing, or when it takes too long.
    """
    end = position = expected = searched = 0
    step = _KEY_BYTES
    while position < len(old):
        key = old[position : position + _KEY_BYTES]
        source = new.find(key, expected) if len(key) == _KEY_BYTES else -1
        searched += (source if source >= 0 else len(new)) - expected
        if source < 0 and len(key) == _KEY_BYTES:
            source = new.find(key)
            searched += source if source >= 0 else len(new)
        if searched > _MAX_SEARCH_BYTES:
            return
        if source < 0:
            # What is there is found though its beginning is stepped over: see below.
            position += step
            step = min(2 * step, _MAX_STEP_BYTES)
            if position - end > _MAX_BYTES:
                return
            continue
        before = slice(max(0, source - (position - end)), source)
        back = _same(old[end:position][::-1], new[before][::-1])
        length = back + _common(old, position, new, source)
        yield position - back, source - back, length
        end = position = position - back + length
        expected = source - back + length
        step = _KEY_BYTES
    if end < len(old):
        yield len(old), 0, 0


def _common(old: bytes, position: int, new: bytes, source: int) -> int:
    """Return how many bytes are the same from these places on."""
    length = 0
    while True:
        one = old[position + length : position + length + _CHUNK_BYTES]
        other = new[source + length : source + length + _CHUNK_BYTES]
        if not one or one != other:
            return length + _same(one, other)
        length += len(one)


def _same(one: bytes, other: bytes) -> int:
    """Return how many bytes are the same at the beginning of both."""
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if one[:middle] == other[:middle] else (least, middle - 1)
    return least
