"""Measure decoding: how long, and what reducing a JPEG while decoding it does to the pixels.

    python -m benchmarks.decode [--megapixels 12 24] [--photos 12] [--repeats 5]

For each size and each shortest side that is kept: milliseconds a photo with one thread
(median of all decodes) and with two (wall time of a run over the photos, median of the runs),
and how far a model's input is from that of the photo decoded in full, in the units of the
model's normalisation: the largest difference of a value and the mean one, over all photos.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.photos import camera_photos
from photoramd.decoder import LookAhead, decode
from photoramd.errors import PhotoramdError

FULL = 1 << 20
"""A side that no photo has, so none is reduced."""
SIDES = (FULL, 1536, 768, 512, 384, 256)
MAX_PIXELS = 120_000_000

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


def one_thread(photos: Sequence[Path], side: int, repeats: int) -> float:
    """Median milliseconds of one decode."""
    seconds = []
    for _ in range(repeats):
        for photo in photos:
            started = time.perf_counter()
            decode(photo, side=side, max_pixels=MAX_PIXELS)
            seconds.append(time.perf_counter() - started)
    return 1000 * median(seconds)


def two_threads(photos: Sequence[Path], side: int, repeats: int) -> float:
    """Median over the runs of milliseconds a photo, through the look-ahead."""
    runs = []
    for _ in range(repeats):
        with LookAhead(_size_of(side), threads=2, depth=6) as ahead:
            started = time.perf_counter()
            waiting = iter(photos)
            done = 0
            while done < len(photos):
                for photo in islice(waiting, ahead.room):
                    ahead.submit(photo)
                _, result = ahead.take()
                if isinstance(result, PhotoramdError):
                    raise result
                done += 1
            runs.append((time.perf_counter() - started) / done)
    return 1000 * median(runs)


def _size_of(side: int) -> Callable[[Path], tuple[int, int]]:
    return lambda path: decode(path, side=side, max_pixels=MAX_PIXELS).image.size


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12, 24])
    parser.add_argument("--photos", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(_line("megapixels", "side", "decoded as", "1 thread ms", "2 threads ms", *_DIFFERENCES))
    print(_line(*["---"] * (5 + len(_DIFFERENCES))))
    for megapixels in arguments.megapixels:
        with tempfile.TemporaryDirectory() as directory:
            photos = camera_photos(Path(directory), megapixels, arguments.photos, seed=1)
            for side in SIDES:
                print(_row(megapixels, photos, side, arguments.repeats), flush=True)


def _row(megapixels: float, photos: Sequence[Path], side: int, repeats: int) -> str:
    width, height = decode(photos[0], side=side, max_pixels=MAX_PIXELS).image.size
    cells = [
        f"{megapixels:g}",
        "full" if side == FULL else str(side),
        f"{width} x {height}",
        f"{one_thread(photos, side, repeats):.0f}",
        f"{two_threads(photos, side, repeats):.0f}",
    ]
    for model in _DIFFERENCES.values():
        largest, mean = differences(photos, side, model) if side != FULL else (0.0, 0.0)
        cells.append(f"{largest:.3f} / {mean:.4f}")
    return _line(*cells)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
