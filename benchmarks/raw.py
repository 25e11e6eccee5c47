"""Measure decoding camera RAW files, against the JPEG of the same picture.

    python -m benchmarks raw [--megapixels 24] [--rounds 7]

The RAW files are DNGs of our own making, not compressed: with a preview as large as the
picture, with one of 1,620 x 1,080 pixels as many cameras have it, and without any, so that the
sensor's data is developed. Medians of single decodes in this process, in turns, by the clock and of
processor time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from PIL import Image

from photoramd.images.decoder import decode
from tests.support.dng import dng
from tests.support.photos import camera_photos

SIDE = 448
"""What the embedded model asks for."""

SMALL_PREVIEW = (1620, 1080)


def kinds(directory: Path, megapixels: float) -> dict[str, Path]:
    """The same picture in each kind of file."""
    (photo,) = camera_photos(directory, megapixels, 1, seed=1)
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    files = {
        "RAW, large preview": dng(image, preview=photo.read_bytes()),
        "RAW, preview 1620 x 1080": dng(image, preview=image.resize(SMALL_PREVIEW)),
        "RAW, no preview": dng(image),
    }
    paths = {"JPEG": photo}
    for number, (name, content) in enumerate(files.items()):
        paths[name] = directory / f"{number}.dng"
        paths[name].write_bytes(content)
    return paths


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as directory:
        paths = kinds(Path(directory), arguments.megapixels)
        wall: dict[str, list[float]] = {name: [] for name in paths}
        cpu: dict[str, list[float]] = {name: [] for name in paths}
        for _ in range(arguments.rounds):
            for name, path in paths.items():
                started, used = time.perf_counter(), _processor_seconds()
                decode(path, side=SIDE, max_pixels=120_000_000)
                wall[name].append(time.perf_counter() - started)
                cpu[name].append(_processor_seconds() - used)
    print(f"{arguments.megapixels:g} megapixels{'':17} ms    CPU ms")
    for name in paths:
        print(f"{name:26} {median(wall[name]) * 1000:7.0f}   {median(cpu[name]) * 1000:7.0f}")


def _processor_seconds() -> float:
    """Processor time of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
