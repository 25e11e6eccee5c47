"""Measure the embedded tagger's speed, without decoding.

    python -m benchmarks.inference [--batches 1 2 4 8 16] [--threads 1 2]
        [--precision float32 bfloat16] [--repeats 40] [--json]

For each batch size: the median and the least milliseconds a photo of `scores`, and the
processor time. For `pixels`, which runs in the decoding threads: the same for photos as the
decoder hands them over, reduced to about the tagger's `decode_side`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median

from PIL import Image

from benchmarks.samples import sample_photos
from photoramd.taggers import Tagger, load

WARM_UPS = 3


@dataclass
class Row:
    """Milliseconds a photo: median and least of the clock, mean of the processor."""

    name: str
    median_ms: float
    least_ms: float
    processor_ms: float


def measure(name: str, work: Callable[[], object], photos: int, repeats: int) -> Row:
    """Time some work on some photos."""
    for _ in range(WARM_UPS):
        work()
    walls = []
    before = time.process_time()
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        walls.append((time.perf_counter() - start) * 1000 / photos)
    processor = (time.process_time() - before) * 1000 / photos / repeats
    return Row(name, median(walls), min(walls), processor)


def measure_scores(tagger: Tagger, batches: Sequence[int], repeats: int) -> list[Row]:
    """One row for each size of a batch."""
    pixels = [tagger.pixels(image) for image in photos_like_decoded(tagger.decode_side)]
    rows = []
    for size in batches:
        batch = [pixels[index % len(pixels)] for index in range(size)]
        work = partial(tagger.scores, batch)
        rows.append(measure(f"batch {size}", work, size, repeats))
    return rows


def measure_pixels(tagger: Tagger, repeats: int) -> Row:
    """Cropping and resizing."""
    images = photos_like_decoded(tagger.decode_side)

    def crop_all() -> None:
        for image in images:
            tagger.pixels(image)

    return measure("pixels", crop_all, len(images), repeats)


def photos_like_decoded(side: int) -> list[Image.Image]:
    """Upright RGB photos whose shorter side is 1.2 times the given one."""
    images = []
    for path in sample_photos().values():
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        scale = 1.2 * side / min(image.size)
        images.append(image.resize((round(image.width * scale), round(image.height * scale))))
    return images


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--precision", nargs="+", default=["float32"])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)

    rows = []
    for precision in arguments.precision:
        for threads in arguments.threads:
            tagger = load("embedded", threads=threads, precision=precision)
            rows += measure_scores(tagger, arguments.batches, arguments.repeats)
            for row in rows[-len(arguments.batches) :]:
                row.name = f"scores, {precision}, {threads} threads, {row.name}"
    rows.append(measure_pixels(tagger, arguments.repeats))
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print(f"{'':42} {'median':>8} {'least':>8} {'processor':>10}  ms a photo")
    for row in rows:
        print(f"{row.name:42} {row.median_ms:8.2f} {row.least_ms:8.2f} {row.processor_ms:10.2f}")


if __name__ == "__main__":
    main()
