"""A FAKE weakness in making small pictures: importing this makes workers crash of some photos."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from PIL import Image

from photoramd.contained import tasks
from photoramd.images.renditions import Rendition
from photoramd.models.embedded.crop import CROP
from photoramd.models.preprocessing import Pixels

WIDTH = 303
"""Photos of this width make it crash."""

_reduced = tasks.reduced


def _crash(image: Image.Image, profile: bytes, rendition: Rendition) -> bytes:
    if image.width == WIDTH:
        ctypes.string_at(0)
    return _reduced(image, profile, rendition)


tasks.reduced = _crash


@dataclass(frozen=True, slots=True)
class ReducingBadly:
    """The usual preprocessing; its module is imported where workers are forked."""

    decode_side: int = CROP.decode_side

    def pixels(self, image: Image.Image) -> Pixels:
        """See `photoramd.models.preprocessing.Crop`."""
        return CROP.pixels(image)
