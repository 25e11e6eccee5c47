"""Colour profiles, of a few hundred bytes (ICC.1:2022, version 2 of the format)."""

from __future__ import annotations

import struct

RED, GREEN, BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
"""The primaries of sRGB, adapted to D50."""

_WHITE = (0.9642, 1.0, 0.8249)


def profile(
    red: tuple[float, float, float] = RED,
    green: tuple[float, float, float] = GREEN,
    blue: tuple[float, float, float] = BLUE,
    space: bytes = b"RGB ",
    gamma: float = 2.2,
) -> bytes:
    """A display whose primaries have these XYZ."""
    curve = b"curv" + bytes(4) + struct.pack(">IHH", 1, round(gamma * 256), 0)
    tags = {
        b"wtpt": _xyz(_WHITE), b"rXYZ": _xyz(red), b"gXYZ": _xyz(green), b"bXYZ": _xyz(blue),
        b"rTRC": curve, b"gTRC": curve, b"bTRC": curve, b"kTRC": curve,
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"Test\0" + bytes(79),
        b"cprt": b"text" + bytes(4) + b"none\0" + bytes(3),
    }  # fmt: skip
    start = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(data), len(content))
        data += content
    header = struct.pack(
        ">I4sI4s4s4s12s4s4s", start + len(data), bytes(4), 0x02100000, b"mntr", space, b"XYZ ",
        bytes(12), b"acsp", bytes(4),
    )  # fmt: skip
    header = header.ljust(68, b"\0") + struct.pack(">iii", *_fixed(_WHITE))
    return header.ljust(128, b"\0") + table + data


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">iii", *_fixed(values))


def _fixed(values: tuple[float, float, float]) -> list[int]:
    return [round(each * 65536) for each in values]
