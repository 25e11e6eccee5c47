"""Find out how large the frames of an AVIF really are, whatever its properties say.

Format: AV1 Bitstream & Decoding Process Specification, 5.3 (OBU) and 5.5 (sequence header).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from photoramd.images.isobmff import items

_SEQUENCE_HEADER = 1
_HEAD_BYTES = 4096
"""How much of an item is looked at: the sequence header is the first or second OBU."""

_MOST_OBUS = 16


def frame_sizes(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Yield the largest width and height of frames, by the sequence headers in the items.

    Raises:
        ValueError: The file has too many boxes or items.
    """
    for offset, length in items(file):
        file.seek(offset)
        data = file.read(min(length or _HEAD_BYTES, _HEAD_BYTES))
        yield from _in_obus(data)


def _in_obus(data: bytes) -> Iterator[tuple[int, int]]:
    position = 0
    for _ in range(_MOST_OBUS):
        if position >= len(data):
            return
        head = data[position]
        kind, has_extension, has_size = head >> 3 & 15, head >> 2 & 1, head >> 1 & 1
        position += 1 + has_extension
        size = len(data) - position
        if has_size:
            size, position = _leb128(data, position)
        if kind == _SEQUENCE_HEADER:
            try:
                yield _size(_Bits(data[position : position + size]))
            except EOFError:
                return  # damaged: its reader says so
        position += size


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    """Return a number and the position behind it (4.10.5)."""
    value = 0
    for number, byte in enumerate(data[position : position + 8]):
        value |= (byte & 0x7F) << 7 * number
        if not byte & 0x80:
            return value, position + number + 1
    return value, len(data)


class _Bits:
    """Reads numbers of some bits."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def __call__(self, bits: int) -> int:
        self._left -= bits
        if self._left < 0:
            raise EOFError
        return self._value >> self._left & (1 << bits) - 1

    def skip_uvlc(self) -> None:
        """Skip a number of variable length (4.10.3)."""
        zeros = 0
        while not self(1):
            zeros += 1
        if zeros < 32:
            self(zeros)


def _size(read: _Bits) -> tuple[int, int]:
    """Return the largest frame's width and height in a sequence header.

    Raises:
        EOFError: It ends too early.
    """
    read(3 + 1)  # profile, still picture
    if read(1):  # a still picture's short header
        read(5)
    else:
        delay_bits = _skip_timing(read)
        has_display_delay = read(1)
        for _ in range(read(5) + 1):
            _skip_operating_point(read, delay_bits, has_display_delay=bool(has_display_delay))
    width_bits, height_bits = read(4) + 1, read(4) + 1
    return read(width_bits) + 1, read(height_bits) + 1


def _skip_timing(read: _Bits) -> int:
    """Skip the timing; return how many bits a buffer's delay has, 0 if there is none."""
    if not read(1):
        return 0
    read(32 + 32)
    if read(1):
        read.skip_uvlc()
    if not read(1):
        return 0
    bits = read(5) + 1
    read(32 + 5 + 5)
    return bits


def _skip_operating_point(read: _Bits, delay_bits: int, *, has_display_delay: bool) -> None:
    read(12)
    if read(5) > 7:
        read(1)
    if delay_bits and read(1):
        read(2 * delay_bits + 1)
    if has_display_delay and read(1):
        read(4)
