"""Measure what reducing a JPEG while decoding it does to the pixels that a model sees.

    python -m benchmarks reduction [--megapixels 12 24] [--photos 12]

For each size and each shortest side that is kept: how far a model's input is from that of the
photo decoded in full, in the units of the model's normalisation: the largest difference of a
value and the mean one, over all photos. What it saves: `python -m benchmarks decode`; what it
does to scores: `python -m benchmarks quality --draft 24`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.decode import FULL, MAX_PIXELS
from photoramd.images.decoder import decode
from tests.support.photos import camera_photos

SIDES = (1536, 768, 512, 384, 256)

Values = npt.NDArray[np.float32]


def ram_plus_input(image: Image.Image) -> Values:
    """RAM++: 384 x 384, bilinear, ImageNet mean and deviation."""
    resized = image.resize((384, 384), Image.Resampling.BILINEAR)
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return ((np.asarray(resized) / 255 - mean) / deviation).astype(np.float32)


def embedded_input(image: Image.Image) -> Values:
    """The embedded model: centre square of 224/256 of the side, bicubic to 224."""
    side = min(image.size) * 224 / 256
    left, top = (image.width - side) / 2, (image.height - side) / 2
    resized = image.resize(
        (224, 224), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )
    return ((np.asarray(resized, np.float32) - 127) / 128).astype(np.float32)


_DIFFERENCES = {"ram++ max / mean": ram_plus_input, "embedded max / mean": embedded_input}


def differences(
    photos: Sequence[Path], side: int, model: Callable[[Image.Image], Values]
) -> tuple[float, float]:
    """Largest and mean difference to the input from the whole photo."""
    largest, means = 0.0, []
    for photo in photos:
        full = model(decode(photo, side=FULL, max_pixels=MAX_PIXELS).image)
        reduced = model(decode(photo, side=side, max_pixels=MAX_PIXELS).image)
        difference = np.abs(full - reduced)
        largest = max(largest, float(difference.max()))
        means.append(float(difference.mean()))
    return largest, float(np.mean(means))


def main(argv: Sequence[str]) -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks reduction",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12, 24])
    parser.add_argument("--photos", type=int, default=12)
    arguments = parser.parse_args(argv)
    table = Table("megapixels", "side", "decoded as", *_DIFFERENCES)
    for megapixels in arguments.megapixels:
        with tempfile.TemporaryDirectory() as directory:
            photos = camera_photos(Path(directory), megapixels, arguments.photos, seed=1)
            for side in track(SIDES, f"{megapixels:g} MP", console=Console(stderr=True)):
                table.add_row(f"{megapixels:g}", str(side), *_cells(photos, side))
    Console().print(table)


def _cells(photos: Sequence[Path], side: int) -> Iterator[str]:
    width, height = decode(photos[0], side=side, max_pixels=MAX_PIXELS).image.size
    yield f"{width} x {height}"
    for model in _DIFFERENCES.values():
        largest, mean = differences(photos, side, model)
        yield f"{largest:.3f} / {mean:.4f}"
