"""Measure the whole way of a photo, and its two large parts alone.

    python -m benchmarks pipeline [--quick] [--rounds 5] [--json FILE]

For 12 and 24 megapixels with the embedded model: decoding alone and inference alone, both on all
cores, and end to end (scan, decode, infer, save, write) into an empty database, with each way of
writing. Every photo is a picture of its own. Steps of the way end to end are batches of 8.
Judged as a multiple of what Pillow alone takes to read the same photos on as many threads; the
way end to end also as a multiple of decoding alone. Cores that are always busy take as long as both
parts together: from their photos a minute a and b, a * b / (a + b) photos a minute.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

from benchmarks import calibration, fixtures, report
from benchmarks.figures import Result
from benchmarks.measure import Case, Work, measure, ready
from photoramd.config.schema import Config, Debounce, State, Tags, Watch
from photoramd.daemon import assembly
from photoramd.errors import PhotoramdError
from photoramd.models import registry
from photoramd.models.tagger import Tagger
from photoramd.pipeline.inference import Decoded, decode_input
from photoramd.pipeline.lookahead import LookAhead
from photoramd.pipeline.pipeline import Outcome
from photoramd.system.cpu import available_cores

BATCH = 8
MAX_PIXELS = 120_000_000


@dataclass(frozen=True)
class Parts:
    """What the cases of one size share."""

    tagger: Tagger
    photos: Sequence[Path]
    directory: Path
    cores: int

    def decode(self, lap: Callable[[], None]) -> None:
        """Decode all photos to the model's input, each core one at a time; drop the result."""

        def work(path: Path) -> Decoded:
            return decode_input(self.tagger, path, MAX_PIXELS)

        with LookAhead(work, threads=self.cores, depth=2 * BATCH) as ahead:
            rest = list(reversed(self.photos))
            while rest or len(ahead):
                while rest and ahead.room:
                    ahead.submit(rest.pop())
                _, result = ahead.take()
                if isinstance(result, PhotoramdError):
                    raise result
                lap()

    def inference(self) -> Work:
        """Run the model on all pictures, each core a batch at a time."""
        pixels = [decode_input(self.tagger, path, MAX_PIXELS).pixels for path in self.photos]
        batches = [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]

        def work(lap: Callable[[], None]) -> None:
            with ThreadPoolExecutor(self.cores) as pool:
                list(pool.map(self.tagger.scores, batches))
            lap()

        return work

    @contextmanager
    def end_to_end(self, write: str) -> Iterator[Work]:
        """A scan of copies of the photos, with the model loaded."""
        with tempfile.TemporaryDirectory(dir=self.directory) as name:
            album = Path(name, "album")
            album.mkdir()
            for photo in self.photos:
                shutil.copyfile(photo, album / photo.name)
            os.sync()
            config = Config(
                watch=(Watch(path=album, write=write),),  # type: ignore[arg-type]
                debounce=Debounce(quiet_seconds=0.001, max_wait_seconds=1.0, batch_size=BATCH),
                tags=Tags(overrides=None),
                state=State(path=Path(name, "photoramd.db")),
            )
            done: list[Outcome] = []
            with (
                patch.object(assembly, "load_tagger", lambda _: self.tagger),
                assembly.assemble(config) as daemon,
            ):

                def work(lap: Callable[[], None]) -> None:
                    def note(outcomes: Sequence[Outcome]) -> None:
                        done.extend(outcomes)
                        if outcomes:
                            lap()

                    daemon.scan_once([os.fspath(album)], note, handle_signals=False)

                yield work
        wanted = len(self.photos)
        if sum(outcome.state == "written" and outcome.inferred for outcome in done) != wanted:
            raise RuntimeError(f"not all of {wanted} photos went through: {done}")


def cases(parts: Parts, megapixels: float, ways: Sequence[str]) -> Iterator[Case]:
    """The calibration first."""
    size, count = f"{megapixels:g} MP", len(parts.photos)
    pillow, decoding = f"Pillow {size} beside pipeline", f"pipeline {size}, decoding alone"
    yield calibration.jpeg(pillow, parts.photos, parts.tagger.decode_side, parts.cores)
    yield Case(decoding, count, ready(parts.decode), (pillow,))
    yield Case(f"pipeline {size}, inference alone", count, ready(parts.inference()))
    for write in ways:
        name = f"pipeline {size}, end to end, write = {write}"
        yield Case(name, count, partial(parts.end_to_end, write), (pillow, decoding))


def add(options: argparse.Namespace, result: Result) -> None:
    """Measure."""
    tagger = registry.load("embedded", threads=available_cores())
    sizes: tuple[tuple[float, int, list[str]], ...] = (
        (12.0, 24, ["sidecar", "none", "embed"]),
        (24.0, 12, ["sidecar"]),
    )
    if options.quick:
        sizes = ((12.0, 8, ["sidecar"]),)
    for megapixels, count, ways in sizes:
        made = fixtures.photos(options.fixtures, megapixels, count)
        result.fixtures[made.name] = made.checked
        with tempfile.TemporaryDirectory(prefix="photoramd-benchmark-") as name:
            parts = Parts(tagger, made.paths, Path(name).resolve(), available_cores())
            chosen = list(cases(parts, megapixels, ways))
            result.figures += measure(f"pipeline {megapixels:g} MP", chosen, options.rounds or 5)


def main(argv: Sequence[str]) -> None:
    """Measure and show."""
    report.run("pipeline", report.parser("pipeline", __doc__).parse_args(argv), argv, add)
