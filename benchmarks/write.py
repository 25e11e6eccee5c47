"""Measure writing keywords: sidecars made and added to, and keywords embedded in photos.

    python -m benchmarks write [--quick] [--rounds 7] [--directory DIR] [--json FILE]

From the tags to the file in its place, fsync of file and directory included; embedding into JPEGs
of 12 megapixels and 3.6 MB, judged as a multiple of what Pillow takes to read them. ExifTool's
processor time is not in that of embedding. Sidecars are not judged by time, most of which is the
disk's, processor time too: by the instructions that they take (`instructions`) and by how often
something is synced. One file written, synced and renamed is measured beside them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

from PIL import Image

from benchmarks import calibration, fixtures, report
from benchmarks.decode import EMBEDDED_SIDE
from benchmarks.figures import Figure, Judged, Result
from benchmarks.measure import Case, Work, measure
from photoramd.clock import UnixTime
from photoramd.metadata.changes import Recorded
from photoramd.metadata.exiftool import ExifTool
from photoramd.metadata.plan import Origin, Plan, PlanRequest
from photoramd.metadata.plan_embedding import plan_photo
from photoramd.metadata.plan_sidecar import plan_sidecar
from photoramd.photo import Tag
from photoramd.system import atomic
from tests.support.samples import sample_photos

TAGS = [Tag(f"keyword {number}", 0.9, ("Auto",)) for number in range(8)]
MORE = [*TAGS, Tag("another", 0.5)]
ORIGIN = Origin("model", "1")
SIDECARS = 60

PILLOW, FSYNC = "Pillow 12 MP beside write", "fsync and rename"


def put(plan: Plan, photo: Path, *, keep_date: bool = False) -> None:
    """Carry out a plan, as the writer does."""
    assert plan.target is not None
    assert plan.content is not None
    prepared = atomic.prepare(
        plan.target, plan.content, expected=plan.expected, beside=photo, keep_date=keep_date
    )
    atomic.commit(prepared)


def sidecar(tags: Sequence[Tag], photo: Path) -> None:
    """Make a photo's sidecar, or add to it."""
    put(plan_sidecar(PlanRequest(photo, tags, ORIGIN, UnixTime(0))), photo)


def embed(exiftool: ExifTool, photo: Path) -> None:
    """Put keywords into a photo."""
    put(
        plan_photo(PlanRequest(photo, TAGS, ORIGIN, UnixTime(0)), Recorded(), exiftool),
        photo,
        keep_date=True,
    )


@contextmanager
def writing(
    sources: Sequence[Path],
    directory: Path,
    write: Callable[[Path], None],
    before: Callable[[Path], None] | None = None,
) -> Iterator[Work]:
    """Write for copies of the photos, which are on the disk before the clock starts."""
    album = directory / "album"
    album.mkdir()
    photos = [
        Path(shutil.copyfile(source, album / f"{number}.jpg"))
        for number, source in enumerate(sources)
    ]
    if before is not None:
        for photo in photos:
            before(photo)
    os.sync()

    def work(lap: Callable[[], None]) -> None:
        for photo in photos:
            write(photo)
            lap()

    yield work
    shutil.rmtree(album)


def small_photos(directory: Path, count: int) -> list[Path]:
    """A small JPEG, some times: a sidecar takes no longer for a large one."""
    directory.mkdir()
    with Image.open(sample_photos()["cat"]) as image:
        image.convert("RGB").save(directory / "cat.jpg")
    return count * [directory / "cat.jpg"]


def cases(photos: Sequence[Path], directory: Path, exiftool: ExifTool) -> list[Case]:
    """Calibrations first."""
    small, count = small_photos(directory / "small", SIDECARS), len(photos)
    make, add_to = partial(sidecar, TAGS), partial(sidecar, MORE)
    embedding = partial(writing, photos, directory, partial(embed, exiftool))
    return [
        calibration.jpeg(PILLOW, photos, EMBEDDED_SIDE),
        calibration.fsync(FSYNC, directory, SIDECARS),
        Case(
            "write, sidecar made",
            SIDECARS,
            partial(writing, small, directory, make),
        ),
        Case(
            "write, sidecar added to",
            SIDECARS,
            partial(writing, small, directory, add_to, make),
        ),
        Case("write, embedded", count, embedding, (PILLOW,)),
    ]


def syncs(photos: Sequence[Path], directory: Path) -> Figure:
    """How often making a sidecar waits for the disk."""
    real, calls = os.fsync, []

    def sync(handle: int) -> None:
        calls.append(handle)
        real(handle)

    make = partial(sidecar, TAGS)
    with writing(photos, directory, make) as work, patch.object(os, "fsync", sync):
        work(lambda: None)
    times = Judged.of("count", "", [len(calls) / len(photos)])
    return Figure("write, fsyncs of a sidecar", judged=(times,))


def add(options: argparse.Namespace, result: Result) -> None:
    """Measure."""
    made = fixtures.photos(options.fixtures, 12, 6 if options.quick else 24)
    result.fixtures[made.name] = made.checked
    with tempfile.TemporaryDirectory(dir=options.directory) as name, ExifTool() as exiftool:
        exiftool.version()
        rounds = options.rounds or (5 if options.quick else 7)
        chosen = cases(made.paths, Path(name).resolve(), exiftool)
        result.figures += measure("write", chosen, rounds)
        result.figures.append(syncs(made.paths[:1], Path(name).resolve()))


def main(argv: Sequence[str]) -> None:
    """Measure and show."""
    parser = report.parser("write", __doc__)
    parser.add_argument("--directory", type=Path, help="where to write; default: temporary files")
    report.run("write", parser.parse_args(argv), argv, add)
