"""Measure what writing keywords costs: a sidecar, a photo, and the whole pipeline.

    python -m benchmarks.metadata [--photos 24] [--repeats 5] [--directory DIR] [--json]

Files: milliseconds a photo from the tags to the file in its place, fsync of file and
directory included, for 12 megapixel JPEGs of about 3.5 MB. Pipeline: photos a minute of
`photoramd scan` with each write mode, model loaded, every photo a picture of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.photos import camera_photos
from photoramd import assembly, replace
from photoramd.config import Config, Debounce, State, Tags, Watch
from photoramd.embedding import plan_photo
from photoramd.exiftool import ExifTool
from photoramd.photo import Tag
from photoramd.plans import Origin, Plan, plan_sidecar
from photoramd.taggers import Tagger
from photoramd.union import Recorded

TAGS = [Tag(f"keyword {number}", 0.9, ("Auto",)) for number in range(8)]
ORIGIN = Origin("model", "1")


@dataclass
class Row:
    """One measurement: median and least."""

    name: str
    unit: str
    median: float
    least: float
    most: float


def row(name: str, unit: str, values: Sequence[float]) -> Row:
    """The summary of repeated measurements."""
    return Row(name, unit, round(median(values), 2), round(min(values), 2), round(max(values), 2))


def put(plan: Plan, photo: Path, *, keep_date: bool = False) -> None:
    """Carry out a plan, as the writer does."""
    assert plan.target is not None
    assert plan.content is not None
    prepared = replace.prepare(
        plan.target, plan.content, expected=plan.expected, beside=photo, keep_date=keep_date
    )
    replace.commit(prepared)


def timed(work: Callable[[Path], None], photos: Sequence[Path]) -> list[float]:
    """Milliseconds for each photo."""
    times = []
    for photo in photos:
        start = time.perf_counter()
        work(photo)
        times.append((time.perf_counter() - start) * 1000)
    return times


def measure_files(sources: Sequence[Path], directory: Path, repeats: int) -> list[Row]:
    """Sidecars that are made, sidecars that are added to, and photos."""
    made, added, embedded, small, large = [], [], [], [], []

    def disk(data: bytes, photo: Path) -> None:
        """What the disk alone takes: a file, written and brought to it."""
        with photo.with_suffix(".bin").open("wb") as file:
            file.write(data)
            os.fsync(file.fileno())

    def sidecar(photo: Path) -> None:
        put(plan_sidecar(photo, TAGS, ORIGIN, 0), photo)

    def more(photo: Path) -> None:
        put(plan_sidecar(photo, [*TAGS, Tag("another", 0.5)], ORIGIN, 0), photo)

    with ExifTool() as exiftool:
        exiftool.version()

        def embed(photo: Path) -> None:
            plan = plan_photo(photo, TAGS, ORIGIN, 0, Recorded(), exiftool)
            put(plan, photo, keep_date=True)

        for _ in range(repeats):
            photos = fresh_copies(sources, directory)
            made += timed(sidecar, photos)
            added += timed(more, photos)
            embedded += timed(embed, photos)
            small += timed(partial(disk, bytes(3000)), photos)
            large += timed(partial(disk, photos[0].read_bytes()), photos)
    return [
        row("sidecar, made", "ms", made),
        row("sidecar, added to", "ms", added),
        row("embed", "ms", embedded),
        row("fsync of 3 KB", "ms", small),
        row("fsync of a photo", "ms", large),
    ]


def measure_pipeline(
    sources: Sequence[Path], directory: Path, tagger: Tagger, repeats: int
) -> list[Row]:
    """Photos a minute with each write mode, in turns, so that the machine's moods are shared."""
    rates: dict[str, list[float]] = {"none": [], "sidecar": [], "embed": []}
    load = assembly.load_tagger
    assembly.load_tagger = lambda config: tagger  # noqa: ARG005
    try:
        for _ in range(repeats):
            for mode, found in rates.items():
                photos = fresh_copies(sources, directory)
                found.append(len(photos) * 60 / scan_seconds(directory, mode))
    finally:
        assembly.load_tagger = load
    return [row(f"pipeline, {mode}", "photos/min", found) for mode, found in rates.items()]


def scan_seconds(directory: Path, mode: str) -> float:
    """The time of a scan from the first photo that is stable to the last that is written."""
    with tempfile.TemporaryDirectory(dir=directory.parent) as state:
        config = Config(
            watch=(Watch(path=directory, write=mode),),  # type: ignore[arg-type]
            debounce=Debounce(quiet_seconds=0.01, max_wait_seconds=0.1),
            tags=Tags(overrides=None),
            state=State(path=Path(state, "photoramd.db")),
        )
        with assembly.assemble(config) as daemon:
            start = time.perf_counter()
            daemon.scan_once([os.fspath(directory)], lambda _: None, handle_signals=False)
            return time.perf_counter() - start


def fresh_copies(sources: Sequence[Path], directory: Path) -> list[Path]:
    """The photos, anew and on the disk."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    copies = [Path(shutil.copyfile(source, directory / source.name)) for source in sources]
    os.sync()
    return copies


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--directory", type=Path, help="where to work; default: a temporary one")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    from photoramd.taggers import load

    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        work = Path(name).resolve()
        sources = camera_photos(work / "sources", 12, arguments.photos, 1)
        megabytes = sum(path.stat().st_size for path in sources) / len(sources) / 1e6
        rows = measure_files(sources, work / "album", arguments.repeats)
        tagger = load("embedded", threads=1)
        rows += measure_pipeline(sources, work / "album", tagger, arguments.repeats)
    if arguments.json:
        print(json.dumps({"megabytes": megabytes, "rows": [asdict(each) for each in rows]}))
        return
    print(f"{len(sources)} photos of {megabytes:.1f} MB, {arguments.repeats} times")
    for each in rows:
        print(
            f"{each.name:<20} median {each.median:>8} least {each.least:>8}"
            f" most {each.most:>8} {each.unit}"
        )


if __name__ == "__main__":
    main()
