"""How an upright picture lies in a file or on a sensor, for each value of EXIF's orientation."""

from __future__ import annotations

from PIL import Image

STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def as_stored(upright: Image.Image, orientation: int) -> Image.Image:
    transposition = STORED[orientation]
    return upright if transposition is None else upright.transpose(transposition)
