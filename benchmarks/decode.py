"""Measure decoding camera JPEGs: whole, and reduced while they are decoded.

    python -m benchmarks decode [--quick] [--megapixels 2 12 24] [--rounds 7] [--json FILE]

By the shorter side that is kept (448 for the embedded model, 768 for RAM++), on one thread and on
all cores. Judged as a multiple of what Pillow alone takes, on as many threads, to read the same
photos at the embedded model's size. What the reduction does to the pixels:
`python -m benchmarks reduction`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from benchmarks import calibration, fixtures, report
from benchmarks.figures import Result
from benchmarks.measure import Case, measure, ready
from photoramd.errors import PhotoramdError
from photoramd.images.decoder import decode
from photoramd.pipeline.lookahead import LookAhead
from photoramd.system.cpu import available_cores

MAX_PIXELS = 120_000_000
FULL = 1 << 20
"""A side that no photo has, so none is reduced."""
EMBEDDED_SIDE = 448
RAM_PLUS_SIDE = 768


def one_by_one(photos: Sequence[Path], side: int) -> Callable[[Callable[[], None]], None]:
    """Decode photos on one thread."""

    def work(lap: Callable[[], None]) -> None:
        for photo in photos:
            decode(photo, side=side, max_pixels=MAX_PIXELS)
            lap()

    return work


def ahead(photos: Sequence[Path], side: int, threads: int) -> Callable[[Callable[[], None]], None]:
    """Decode photos as the daemon does, ahead of whoever takes them."""

    def size(path: Path) -> tuple[int, int]:
        return decode(path, side=side, max_pixels=MAX_PIXELS).image.size

    def work(lap: Callable[[], None]) -> None:
        with LookAhead(size, threads=threads, depth=16) as pool:
            waiting = iter(photos)
            for _ in photos:
                for photo in islice(waiting, pool.room):
                    pool.submit(photo)
                _, result = pool.take()
                if isinstance(result, PhotoramdError):
                    raise result
                lap()

    return work


def cases(photos: Sequence[Path], megapixels: float, quick: bool) -> Iterator[Case]:
    """Calibrations before what they are for."""
    size, count = f"{megapixels:g} MP", len(photos)
    pillow = f"Pillow {size}"
    against = (pillow,)
    yield calibration.jpeg(pillow, photos, EMBEDDED_SIDE)
    for side in [EMBEDDED_SIDE] if quick else [EMBEDDED_SIDE, RAM_PLUS_SIDE, FULL]:
        name = f"decode {size}, {'whole' if side == FULL else f'side {side}'}"
        yield Case(name, count, ready(one_by_one(photos, side)), against)
    cores = available_cores()
    all_cores = f"{pillow}, all cores"
    yield calibration.jpeg(all_cores, photos, EMBEDDED_SIDE, cores)
    name = f"decode {size}, side {EMBEDDED_SIDE}, all cores"
    yield Case(name, count, ready(ahead(photos, EMBEDDED_SIDE, cores)), (all_cores,))


def add(options: argparse.Namespace, result: Result) -> None:
    """Measure."""
    rounds = options.rounds or (5 if options.quick else 7)
    for megapixels in options.megapixels or ([12] if options.quick else [2, 12, 24]):
        made = fixtures.photos(options.fixtures, megapixels, 4 if options.quick else 8)
        result.fixtures[made.name] = made.checked
        chosen = list(cases(made.paths, megapixels, options.quick))
        result.figures += measure(f"decode {megapixels:g} MP", chosen, rounds)


def main(argv: Sequence[str]) -> None:
    """Measure and show."""
    parser = report.parser("decode", __doc__)
    parser.add_argument("--megapixels", nargs="+", type=float, choices=fixtures.SETS)
    report.run("decode", parser.parse_args(argv), argv, add)
