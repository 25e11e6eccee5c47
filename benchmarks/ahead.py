"""Measure how busy a fast model is kept, with inference some groups ahead and without.

    python -m benchmarks ahead [--photos 200] [--rounds 3] [--rate 45] [--megapixels 2]

The model is pretended: it takes its time without the processor, as a GPU or another machine does.
All else is real: a scan of photos that are all different, decoding, database, sidecars. Ways that
are compared take turns; shown are medians of the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import msgspec
from PIL import Image, ImageEnhance

from benchmarks import fixtures, machine
from photoramd.config.schema import Config, Debounce, Similar, State, Tags, Watch
from photoramd.daemon import assembly
from tests.support.pretended_gpu import PretendedGpu

WAYS = {"in the loop's own thread": 0, "1 group at a time": 1, "2 groups (a GPU, or a worker)": 2}


def scanned(album: Path, tagger: PretendedGpu, batch: int) -> None:
    """Scan an album into an empty database, and remove the sidecars."""
    with tempfile.TemporaryDirectory(dir=album.parent) as name:
        config = Config(
            watch=(Watch(path=album),),
            debounce=Debounce(quiet_seconds=0.001, max_wait_seconds=1.0, batch_size=batch),
            tags=Tags(overrides=None),
            state=State(path=Path(name, "photoramd.db")),
        )
        config = msgspec.structs.replace(config, similar=Similar(enabled=False))
        done: list[object] = []
        with (
            patch.object(assembly, "load_tagger", lambda _: tagger),
            assembly.assemble(config) as daemon,
        ):
            daemon.scan_once([os.fspath(album)], done.extend, handle_signals=False)
    for sidecar in album.glob("*.xmp"):
        sidecar.unlink()


def prepare(album: Path, options: argparse.Namespace) -> None:
    """Make photos that are all different."""
    made = fixtures.photos(options.fixtures, options.megapixels, 8)
    for number in range(options.photos):
        with Image.open(made.paths[number % len(made.paths)]) as image:
            bright = ImageEnhance.Brightness(image.convert("RGB"))
            bright.enhance(1 - number / 4 / options.photos).save(album / f"{number:04}.jpg")


def main(argv: Sequence[str]) -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser("ahead", description=__doc__)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=45.0, help="pictures a second")
    parser.add_argument("--megapixels", type=float, default=2.0)
    parser.add_argument("--fixtures", type=Path, default=fixtures.DEFAULT)
    options = parser.parse_args(argv)
    for key, value in machine.describe().items():
        print(f"{key}: {value}")
    with tempfile.TemporaryDirectory(prefix="photoramd-benchmark-") as name:
        album = Path(name).resolve() / "album"
        album.mkdir()
        prepare(album, options)
        print(
            f"{options.photos} photos of {options.megapixels:g} MP, a model of {options.rate:g}/s"
        )
        for batch in (8, 16, 32):
            busy: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(options.rounds):
                for way, at_once in WAYS.items():
                    tagger = PretendedGpu(at_once, options.rate)
                    scanned(album, tagger, batch)
                    busy[way].append(tagger.busy)
            for way, shares in busy.items():
                print(f"batches of {batch:2}: busy {statistics.median(shares):4.0%}  {way}")
