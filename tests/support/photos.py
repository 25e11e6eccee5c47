"""Camera-sized JPEGs made from real photos, for measurements that need many large files.

A small photo that was only enlarged decodes too fast: its JPEG is half as large as a camera's,
and decoding time grows with the bytes. So each is given the fine grain of a sensor, as much as
makes its file as large as a camera's.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import ExifTags, Image

from tests.support.samples import sample_photos

_QUALITY = 92
_ORIENTATIONS = (1, 1, 6, 1, 8, 3)
# What turns an upright picture into the one that is stored under an orientation.
_STORED = {
    1: None,
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}
_GRAIN = 4.6
"""Standard deviation of the grain, of 255."""
_GRAIN_SIDE = 1024


class Digest(Protocol):
    """One of hashlib's."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""


def camera_photos(
    directory: Path, megapixels: float, count: int, seed: int, digest: Digest | None = None
) -> list[Path]:
    """Write photos like those of a camera: about 0.29 bytes a pixel, with EXIF.

    Equal arguments give equal files. All differ in their pixels. Of six, two are to be turned
    by 90 degrees and one by 180; every other one has 4:2:2 instead of 4:2:0 chroma.

    Args:
        directory: Where to write them; made if it is missing.
        megapixels: Millions of pixels: 4:3 below 16, 3:2 from there on.
        count: How many.
        seed: Other seeds give other photos.
        digest: Is given the pixels as they go to the encoder.

    Returns:
        The files, ``IMG_0001.JPG`` and so on.
    """
    directory.mkdir(parents=True, exist_ok=True)
    sources = list(sample_photos().values())
    size = _frame(megapixels)
    paths = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        orientation = _ORIENTATIONS[index % len(_ORIENTATIONS)]
        upright = size[::-1] if orientation in (6, 8) else size
        image = _grainy(_scene(sources[int(rng.integers(len(sources)))], upright, rng), rng)
        stored = _STORED[orientation]
        if stored is not None:
            image = image.transpose(stored)
        if digest is not None:
            digest.update(image.tobytes())
        path = directory / f"IMG_{index + 1:04}.JPG"
        image.save(
            path,
            "JPEG",
            quality=_QUALITY,
            subsampling=("4:2:0", "4:2:2")[index % 2],
            exif=_exif(index, orientation),
        )
        paths.append(path)
    return paths


def _frame(megapixels: float) -> tuple[int, int]:
    aspect = 4 / 3 if megapixels < 16 else 3 / 2
    height = round(math.sqrt(megapixels * 1e6 / aspect) / 8) * 8
    return round(height * aspect / 8) * 8, height


def _scene(source: Path, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A random part of a photo, as large as fits, perhaps mirrored, enlarged to the size."""
    with Image.open(source) as opened:
        image = opened.convert("RGB")
    scale = min(image.width / size[0], image.height / size[1]) * rng.uniform(0.85, 1.0)
    width, height = size[0] * scale, size[1] * scale
    left = rng.uniform(0, image.width - width)
    top = rng.uniform(0, image.height - height)
    image = image.resize(
        size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height)
    )
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image


def _grainy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    # One square of grain, laid out over the picture, costs a tenth of grain for every pixel.
    grain = np.rint(rng.normal(0, _GRAIN, (_GRAIN_SIDE, _GRAIN_SIDE, 1))).astype(np.int16)
    pixels = np.array(image)
    for top in range(0, pixels.shape[0], _GRAIN_SIDE):
        for left in range(0, pixels.shape[1], _GRAIN_SIDE):
            part = pixels[top : top + _GRAIN_SIDE, left : left + _GRAIN_SIDE]
            part[:] = np.clip(part + grain[: part.shape[0], : part.shape[1]], 0, 255)
    return Image.fromarray(pixels)


def _exif(index: int, orientation: int) -> Image.Exif:
    when = datetime(2024, 6, 1, 10) + timedelta(minutes=7 * index)
    stamp = when.strftime("%Y:%m:%d %H:%M:%S")
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Example"
    exif[ExifTags.Base.Model] = "Example Camera"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.DateTime] = stamp
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = stamp
    return exif
