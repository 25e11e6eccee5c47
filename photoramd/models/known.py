"""Pictures that any model can look at: where it fails with these, no picture is to blame."""

from __future__ import annotations

import numpy as np
from PIL import Image

from photoramd.models.preprocessing import Crop, Pixels

FEW = 2
"""So many show whether a model works; an answer about one would hide swapped ones."""


def known_pictures(crop: Crop, count: int = FEW) -> list[Pixels]:
    """Return made-up pictures, all different, as a model's input; always the same."""
    noise = np.random.default_rng(0)
    side = crop.decode_side
    images = (noise.integers(0, 256, (side, side, 3), np.uint8) for _ in range(count))
    return [crop.pixels(Image.fromarray(each)) for each in images]
