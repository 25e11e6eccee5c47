"""Walk the chunks of a PNG (PNG 1.2, 3.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

_START = 8


def chunks(file: IO[bytes], size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, offset and length of the content of each chunk before the end.

    What is yielded last may be cut off. Whoever walks may move the file's position meanwhile.

    Args:
        file: The PNG.
        size: Its size in bytes.
    """
    position = _START
    while position + 12 <= size:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"IEND":
            return
        yield kind, position + 8, length
        position += 12 + length
