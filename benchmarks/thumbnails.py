"""Measure what a thumbnail costs while a photo is tagged, and what pictures cost on demand.

    python -m benchmarks thumbnails [--megapixels 12 24] [--rounds 5]

Processor time for a photo on one thread, without workers; medians. "decode" is what the embedded
model needs, "preview" what a preview would add to it, as it must be decoded again: the model's
pixels, by which photos are known, must not depend on it. The cache is on the disk of temporary
files.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import fixtures
from photoramd.clock import unix_time
from photoramd.database.thumbnails import Thumbnails
from photoramd.images.decoder import Decoded, decode
from photoramd.images.reduction import reduced
from photoramd.images.renditions import PREVIEW, THUMBNAIL, Rendition
from photoramd.models import registry
from photoramd.models.embedded.crop import CROP
from photoramd.models.preprocessing import Pixels

MAX_PIXELS = 120_000_000
_STORED = 2000


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12, 24])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as directory:
        for megapixels in arguments.megapixels:
            photos = fixtures.photos(Path(directory), megapixels, 12).paths
            _photos(f"{megapixels:g} MP", photos, arguments.rounds)
        _cache(Path(directory), _made(photos[0], THUMBNAIL))


def _photos(title: str, photos: Sequence[Path], rounds: int) -> None:
    tagger = registry.load("embedded", threads=1, precision="float32")
    milliseconds: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], object]) -> None:
        began = time.process_time()
        work()
        milliseconds.setdefault(name, []).append(1000 * (time.process_time() - began))

    for photo in [*photos] * rounds:
        image = _decoded(photo, CROP.decode_side).image
        timed("decode", partial(_model_input, photo))
        timed("model", partial(tagger.scores, [CROP.pixels(image)]))
        timed("thumbnail", partial(reduced, image, b"", THUMBNAIL))
        timed("preview", partial(_made, photo, PREVIEW))
        timed("thumbnail on demand", partial(_made, photo, THUMBNAIL))
    medians = {name: median(found) for name, found in milliseconds.items()}
    for name, found in medians.items():
        print(f"{title} {name:20} {found:6.1f} ms")
    without = medians["decode"] + medians["model"]
    for name in ("thumbnail", "preview"):
        print(f"{title} tagging with a {name}: {1 + medians[name] / without:.2f} times the time")


def _decoded(photo: Path, side: int) -> Decoded:
    return decode(photo, side=side, max_pixels=MAX_PIXELS)


def _model_input(photo: Path) -> Pixels:
    return CROP.pixels(_decoded(photo, CROP.decode_side).image)


def _made(photo: Path, rendition: Rendition) -> bytes:
    found = _decoded(photo, rendition.side)
    return reduced(found.image, found.profile, rendition)


def _cache(directory: Path, content: bytes) -> None:
    keys = [number.to_bytes(16, "big") for number in range(_STORED)]
    first, rest = keys[: _STORED // 3], keys[_STORED // 3 :]
    # Room for half of them: of the rest, each one removes another.
    with closing(Thumbnails(directory / "cache", len(content) * _STORED // 2)) as cache:
        for title, some in (("put", first), ("put when full", rest)):
            _print(title, [_timed(cache.put, key, THUMBNAIL, content, unix_time()) for key in some])
        _print("get", [_timed(cache.get, key, THUMBNAIL, unix_time()) for key in keys[-200:]])


def _timed(work: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def _print(title: str, seconds: Sequence[float]) -> None:
    print(f"cache: {title}: {1000 * median(seconds):.2f}, at most {1000 * max(seconds):.1f} ms")
