"""Restore the exact bytes of a photo that had no XMP.

What ExifTool adds to some files leaves a trace when it is taken out again: in HEIC and AVIF an
empty entry, in TIFF another order of the parts, beside IPTC keywords the version of the record.
So the ledger remembers how the file was: as pieces of the new one, which holds the pictures
unchanged, and what is not in that, which is short.
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
"""Of the bytes that are not in the new file, and of what is remembered in all."""

_MAX_SEARCH_BYTES = 16 << 30
"""That are looked through for pieces: a second or two, or 50 where all is alike."""

_KEY_BYTES = 64
_MAX_STEP_BYTES = 4096
_CHUNK_BYTES = 1 << 16
_PIECE = struct.Struct(">III")


def remember(old: bytes, new: bytes) -> str | None:
    """Return what `restore` needs to get the old file from the new one; None if too much."""
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
    """Return the old file; None if the new one is no longer what it was."""
    after, before, *packed = json.loads(text)
    if len(packed) != 1 or _digest(new) != after:
        return None  # or of a version that remembered something else
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
    """Yield what of the old file is in the new one: where in the one, where in the other, how long.

    In the order of the old file; the last is at its end, and may be empty. It ends early when
    too much is not there, or the search takes too long.
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
