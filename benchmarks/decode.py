"""Measure decoding: how long, and what reducing a JPEG while decoding it does to the pixels.

    python -m benchmarks.decode [--megapixels 12 24] [--photos 12] [--repeats 5]

For each size and each shortest side that is kept: milliseconds a photo with one thread
(medians of all decodes, by the clock and of CPU time) and with two (wall time of a run over
the photos, median of the runs), and how far a model's input is from that of the photo
decoded in full, in the units of the model's normalisation: the largest difference of a value
and the mean one, over all photos.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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


@dataclass
class Times:
    """Seconds a photo: wall and CPU of single decodes, wall of runs with two threads."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    two_threads: list[float] = field(default_factory=list)


def measure(photos: Sequence[Path], repeats: int) -> dict[int, Times]:
    """Times by side. The sides take turns, so that what else the machine does hits all."""
    times = {side: Times() for side in SIDES}
    for _ in range(repeats):
        for side, taken in times.items():
            for photo in photos:
                wall, cpu = time.perf_counter(), time.thread_time()
                decode(photo, side=side, max_pixels=MAX_PIXELS)
                taken.wall.append(time.perf_counter() - wall)
                taken.cpu.append(time.thread_time() - cpu)
            taken.two_threads.append(_two_threads(photos, side))
    return times


def _two_threads(photos: Sequence[Path], side: int) -> float:
    with LookAhead(_size_of(side), threads=2, depth=6) as ahead:
        started = time.perf_counter()
        waiting = iter(photos)
        for _ in photos:
            for photo in islice(waiting, ahead.room):
                ahead.submit(photo)
            _, result = ahead.take()
            if isinstance(result, PhotoramdError):
                raise result
        return (time.perf_counter() - started) / len(photos)


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


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12, 24])
    parser.add_argument("--photos", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args(argv)
    titles = ["megapixels", "side", "decoded as", "1 thread ms", "CPU ms", "2 threads ms"]
    print(_line(*titles, *_DIFFERENCES))
    print(_line(*["---"] * (len(titles) + len(_DIFFERENCES))))
    for megapixels in arguments.megapixels:
        with tempfile.TemporaryDirectory() as directory:
            photos = camera_photos(Path(directory), megapixels, arguments.photos, seed=1)
            for side, times in measure(photos, arguments.repeats).items():
                print(_row(megapixels, photos, side, times), flush=True)


def _row(megapixels: float, photos: Sequence[Path], side: int, times: Times) -> str:
    width, height = decode(photos[0], side=side, max_pixels=MAX_PIXELS).image.size
    cells = [
        f"{megapixels:g}",
        "full" if side == FULL else str(side),
        f"{width} x {height}",
        f"{1000 * median(times.wall):.0f}",
        f"{1000 * median(times.cpu):.0f}",
        f"{1000 * median(times.two_threads):.0f}",
    ]
    for model in _DIFFERENCES.values():
        largest, mean = differences(photos, side, model) if side != FULL else (0.0, 0.0)
        cells.append(f"{largest:.3f} / {mean:.4f}")
    return _line(*cells)


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
