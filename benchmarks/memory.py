"""Measure peak memory of tagging: by the number of photos, and by the size of a batch.

    python -m benchmarks memory [--quick] [--photos 200 2000] [--batches 1 8 32 128] [--json FILE]

Each figure is the peak memory of a real `photoramd scan` over so many photos, every one a picture
of its own, with model and workers: what they share is counted once, 20 times a second. The
batches are measured with the first number of photos. Judged: the peak itself, and the largest
number of photos as a multiple of the smallest, which is to be 1, since photos stream through.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image

from benchmarks import machine, report
from benchmarks.figures import Figure, Judged, Result
from benchmarks.processes import mapped_mib
from benchmarks.report import progress
from tests.support.samples import sample_photos

BATCH = 8
_LOOK_SECONDS = 0.05


def make_album(album: Path, count: int) -> None:
    """Photos of 512 x 512 that all differ."""
    album.mkdir()
    with Image.open(sample_photos()["astronaut"]) as opened:
        picture = opened.convert("RGB")
    for index in range(count):
        picture.rotate(index * 360 / count).save(album / f"{index:05}.jpg", quality=85)


def peak_mib(album: Path, batch: int) -> float:
    """Peak memory of a scan into an empty database, and of its workers.

    Raises:
        RuntimeError: Not every photo was tagged by the model.
    """
    with tempfile.TemporaryDirectory(dir=album.parent) as name:
        config = Path(name, "config.toml")
        config.write_text(
            f"[[watch]]\npath = {json.dumps(os.fspath(album))}\nwrite = 'none'\n"
            f"[debounce]\nquiet_seconds = 0.01\nbatch_size = {batch}\n"
            f"[state]\npath = {json.dumps(os.fspath(Path(name, 'photoramd.db')))}\n",
            encoding="utf-8",
        )
        command = [machine.python(), "-m", "photoramd", "--config", os.fspath(config)]
        scan = subprocess.Popen([*command, "scan", "--json"], stdout=subprocess.PIPE, text=True)
        peak = 0.0
        with scan:
            while scan.poll() is None:
                peak = max(peak, sum(map(_proportional_mib, _with_descendants(scan.pid))))
                time.sleep(_LOOK_SECONDS)
            summary = "" if scan.stdout is None else scan.stdout.read()
    if json.loads(summary)["inferred"] != len(list(album.iterdir())):
        raise RuntimeError(f"not every photo was tagged: {summary}")
    return peak


def _with_descendants(process: int) -> Iterator[int]:
    yield process
    with suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            for child in (thread / "children").read_text(encoding="ascii").split():
                yield from _with_descendants(int(child))


def _proportional_mib(process: int) -> float:
    """Return a process's memory, with its share of what several have: proc_pid_smaps(5)."""
    with suppress(OSError):
        return mapped_mib(process).get("Pss", 0.0)
    return 0.0


def add(options: argparse.Namespace, result: Result) -> None:
    """Measure."""
    photos = options.photos or ([50, 200] if options.quick else [200, 2000])
    batches = options.batches or ([] if options.quick else [1, 8, 32, 128])
    wanted = [(count, BATCH) for count in photos]
    wanted += [(photos[0], batch) for batch in batches if batch != BATCH]
    peaks: dict[tuple[int, int], float] = {}
    with (
        tempfile.TemporaryDirectory(prefix="photoramd-benchmark-") as name,
        progress("memory", len(wanted)) as advance,
    ):
        directory = Path(name).resolve()
        for count, batch in wanted:
            album = directory / str(count)
            if not album.exists():
                make_album(album, count)
            peaks[count, batch] = peak_mib(album, batch)
            advance(f"{count} photos, batch {batch}")
    for (count, batch), peak in peaks.items():
        judged = (Judged.of("memory", "", [peak]),)
        name = f"memory of a scan, {count:,} photos, batch {batch}"
        result.figures.append(Figure(name, peak_rss_mib=round(peak, 1), judged=judged))
    growth = peaks[photos[-1], BATCH] / peaks[photos[0], BATCH]
    name = f"memory of {photos[-1]:,} photos against {photos[0]:,}"
    result.figures.append(Figure(name, judged=(Judged.of("growth", "", [growth]),)))


def main(argv: Sequence[str]) -> None:
    """Measure and show."""
    parser = report.parser("memory", __doc__)
    parser.add_argument("--photos", type=int, nargs="+", metavar="N", help="default: 200 2000")
    parser.add_argument("--batches", type=int, nargs="+", metavar="N", help="default: 1 8 32 128")
    report.run("memory", parser.parse_args(argv), argv, add)
