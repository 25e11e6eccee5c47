"""A preprocessing that answers, instead of pixels, what EXIF and XMP say: in a worker, sealed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from photoramd.images.exif import look, read_block
from photoramd.metadata.embedded import Embedded
from photoramd.metadata.taken import with_time
from photoramd.models.embedded.crop import CROP
from photoramd.models.preprocessing import Pixels


def said(exif: bytes, packet: bytes) -> str:
    """What a block of EXIF and a packet of XMP say of a photo."""
    return repr(with_time(look((3, 2), "JPEG", read_block(exif)), Embedded((), packet=packet)))


@dataclass(frozen=True, slots=True)
class LookingCrop:
    """See `photoramd.models.preprocessing.Crop`."""

    exif: bytes
    packet: bytes
    decode_side: int = CROP.decode_side

    def pixels(self, image: Image.Image) -> Pixels:
        text = said(self.exif, self.packet).encode()
        data = text.ljust(len(text) + -len(text) % 3)
        return np.frombuffer(data, np.uint8).reshape(-1, 3)
