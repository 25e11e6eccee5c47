"""Damage files at random, as a generator of random numbers says."""

from __future__ import annotations

import random
import struct

_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_MOST_BYTES = 1 << 20


def mutated(content: bytes, choice: random.Random, other: bytes = b"") -> bytes:
    """Return a damaged copy of a file.

    Args:
        content: The file.
        choice: Decides.
        other: A file that parts may come from.
    """
    data = bytearray(content)
    for _ in range(choice.choice((1, 1, 1, 2, 3, 5, 9, 20))):
        if not data:
            break
        _one(data, choice, other)
    return bytes(data[:_MOST_BYTES])


def _one(data: bytearray, choice: random.Random, other: bytes) -> None:
    # Headers are where the decisions are.
    near = len(data) if choice.random() < 0.4 else min(len(data), 600)
    at = choice.randrange(near)
    size = choice.choice((1, 2, 4, 8, 30, 300))
    kind = choice.randrange(9)
    if kind == 0:
        data[at] = choice.randrange(256)
    elif kind == 1:
        data[at] ^= 1 << choice.randrange(8)
    elif kind == 2:
        form = choice.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
        number = struct.pack(form, choice.choice(_NUMBERS) & (1 << 8 * struct.calcsize(form)) - 1)
        data[at : at + len(number)] = number
    elif kind == 3:
        del data[at : at + size]
    elif kind == 4:
        data[at:at] = data[at : at + size] * choice.choice((1, 1, 2, 50))
    elif kind == 5:
        del data[max(1, choice.randrange(len(data))) :]
    elif kind == 6:
        data[at : at + size] = bytes(size)
    elif kind == 7 and other:
        start = choice.randrange(len(other))
        data[at : at + size] = other[start : start + size]
    else:
        data[at:at] = choice.randbytes(size)
