"""What the embedded model sees of a photo: its middle for the classifier, all of it for the rest.

Neither a network nor its runtime is imported: the decoding threads use this where the model runs
in another process.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from photoramd.models.preprocessing import REDUCING_GAP, CentralSquare, Pixels, Resize

SQUARE_SIDE = 224
WHOLE_SIDE = 300
"""Width and height of the classifier's and of the detector's input, in pixels."""

INPUTS = ("square", "whole")
"""The inputs' names in the model's file."""

_SHARE = 224 / 256
"""The classifier was trained and measured on this part of the shorter side."""

_DECODE_SIDE = 448
"""Twice the classifier's input. Against full decoding, on photos of 12 and 24 megapixels, the
score that changes most in a photo changes by .014 on average and .052 at most: see
benchmarks/quality.py."""

_SIDES = (SQUARE_SIDE, WHOLE_SIDE)
PIXELS = sum(side * side for side in _SIDES)
"""How many pixels both inputs have."""


@dataclass(frozen=True, slots=True)
class SquareAndWhole:
    """Both inputs in one array; see `photoramd.models.preprocessing.Crop`."""

    square: CentralSquare
    whole: Resize

    @property
    def decode_side(self) -> int:
        """See `photoramd.models.preprocessing.Crop`."""
        return max(self.square.decode_side, self.whole.decode_side)

    def pixels(self, image: Image.Image) -> Pixels:
        """Return both inputs one after the other, shape (140176, 3); `split` parts them."""
        parts = (self.square.pixels(image), self.whole.pixels(image))
        return np.concatenate([part.reshape(-1, 3) for part in parts])


CROP = SquareAndWhole(
    CentralSquare(SQUARE_SIDE, _SHARE, _DECODE_SIDE), Resize(WHOLE_SIDE, _DECODE_SIDE, REDUCING_GAP)
)


def split(pixels: Pixels) -> list[npt.NDArray[np.uint8]]:
    """Return the two inputs, shapes (224, 224, 3) and (300, 300, 3).

    Raises:
        ValueError: The array has another shape than `SquareAndWhole.pixels` returns.
    """
    if pixels.shape != (PIXELS, 3):
        raise ValueError(f"pixels of shape {pixels.shape}, expected {(PIXELS, 3)}")
    first = SQUARE_SIDE**2
    return [
        part.reshape(side, side, 3)
        for part, side in zip((pixels[:first], pixels[first:]), _SIDES, strict=True)
    ]
