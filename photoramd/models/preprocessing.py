"""Turn an upright photo into a model's input: crop and resize, with Pillow alone.

A model in a process of its own sends its crop here, where the decoding threads use it without
ever importing torch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

REDUCING_GAP = 3.0
"""Photos of more than three times the input are first reduced by a whole number: 12 ms instead
of 75 for 24 megapixels that the decoder could not reduce; no pixel changes by more than 3."""

_LONGEST_STRIPE = 8


class Crop(Protocol):
    """Makes a model's input. It can be pickled, and is called from many threads."""

    @property
    def decode_side(self) -> int:
        """The decoder may shrink a photo while it decodes, to no less than this shorter side."""

    def pixels(self, image: Image.Image) -> Pixels:
        """Crop and resize an upright RGB image."""


@dataclass(frozen=True, slots=True)
class CentralSquare:
    """A square out of the middle, bicubic.

    Attributes:
        side: Width and height of the result, in pixels.
        share: The square's side, as a share of the image's shorter side.
        decode_side: See `Crop`.
    """

    side: int
    share: float
    decode_side: int

    def pixels(self, image: Image.Image) -> Pixels:
        """Return the input, shape (side, side, 3)."""
        width, height = image.size
        side = min(width, height) * self.share
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        small = image.resize(
            (self.side, self.side), Image.Resampling.BICUBIC, box, reducing_gap=REDUCING_GAP
        )
        return np.asarray(small.convert("RGB"))


@dataclass(frozen=True, slots=True)
class Resize:
    """The whole image made square, bilinear; its aspect ratio is lost.

    Attributes:
        side: Width and height of the result, in pixels.
        decode_side: See `Crop`.
        reducing_gap: Of Pillow's `resize`.
    """

    side: int
    decode_side: int
    reducing_gap: float | None = None

    def pixels(self, image: Image.Image) -> Pixels:
        """Return the input, shape (side, side, 3)."""
        size = (self.side, self.side)
        image = image.convert("RGB")
        small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=self.reducing_gap)
        return np.asarray(small)


@dataclass(frozen=True, slots=True)
class ResizedCenter:
    """A square out of the middle after resizing: torchvision's ``resize`` and ``center_crop``.

    Attributes:
        short_side: What the shorter side is resized to, in pixels.
        side: Width and height of the result, at most ``short_side``.
        resampling: One of Pillow's filters.
        decode_side: See `Crop`.
    """

    short_side: int
    side: int
    resampling: Image.Resampling
    decode_side: int

    def pixels(self, image: Image.Image) -> Pixels:
        """Return the input, shape (side, side, 3)."""
        image = _middle(image).convert("RGB")
        shorter = min(image.size)
        # torchvision cuts off the longer side's fraction, and rounds the margins to even.
        width, height = (int(self.short_side * each / shorter) for each in image.size)
        if image.size != (width, height):
            image = image.resize((width, height), self.resampling)
        left, top = round((width - self.side) / 2), round((height - self.side) / 2)
        return np.asarray(image.crop((left, top, left + self.side, top + self.side)))


def _middle(image: Image.Image) -> Image.Image:
    """Return the middle of an image that is a mere stripe, else the whole image.

    Resizing enlarges the shorter side before the rest is cut off: it would make 250 by
    2,500,000 pixels of 1 by 10,000.
    """
    width, height = image.size
    longest = _LONGEST_STRIPE * min(width, height)
    if max(width, height) <= longest:
        return image
    left, top = max(width - longest, 0) // 2, max(height - longest, 0) // 2
    return image.crop((left, top, left + min(width, longest), top + min(height, longest)))


Pixels = npt.NDArray[np.uint8]
"""What a model sees of one photo: uint8 RGB, shape (height, width, 3)."""


def digest_of(pixels: Pixels) -> bytes:
    """Return what tells pictures apart: BLAKE2b, 128 bits, of the pixels given to the model."""
    return hashlib.blake2b(pixels.data, digest_size=DIGEST_BYTES).digest()


DIGEST_BYTES = 16
