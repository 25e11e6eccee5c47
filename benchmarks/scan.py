"""Measure scans of a tree: new photos found and queued, and known ones compared.

    python -m benchmarks scan [--quick] [--rounds 5] [--json FILE]

20,000 small files (4,000 with --quick) in directories of 200; nothing is decoded. Judged as a
multiple of what looking at every file takes. Steps are turns of the daemon's loop: the longest is
how long a new photo may wait. With a million photos: `python -m benchmarks scale`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import calibration, report
from benchmarks.figures import Result
from benchmarks.measure import Case, Work, measure
from benchmarks.scale import Parts, know_tree, make_tree
from photoramd.clock import Monotonic, monotonic, unix_time
from photoramd.database.connection import Database


@contextmanager
def comparing(top: Path, known: Path) -> Iterator[Work]:
    """A scan of a tree that the database knows, or finds out."""
    with Database(known) as database:
        parts = Parts(database, top)

        def work(lap: Callable[[], None]) -> None:
            while parts.reconciler.is_scanning:
                parts.advance(monotonic())
                lap()

        yield work
        assert parts.queue.waiting() == 0


@contextmanager
def finding(top: Path, files: int) -> Iterator[Work]:
    """A scan of a tree that an empty database does not know; the quiet period takes no time."""
    with (
        tempfile.TemporaryDirectory(dir=top.parent) as name,
        Database(Path(name, "photoramd.db")) as database,
    ):
        parts = Parts(database, top)

        def work(lap: Callable[[], None]) -> None:
            now = Monotonic(0)
            while parts.reconciler.is_scanning or len(parts.stability):
                parts.advance(now)
                if not parts.reconciler.can_advance:
                    now = Monotonic(now + 10)
                parts.stability.settle(now, unix_time())
                lap()

        yield work
        assert parts.queue.waiting() == files


def cases(directory: Path, files: int) -> list[Case]:
    """The calibration first."""
    top, known = directory / "tree", directory / "known.db"
    make_tree(top, files)
    with Database(known) as database:
        know_tree(database, top)
    against = ("every file looked at",)
    return [
        calibration.walk("every file looked at", top, files),
        Case("scan, known photos compared", files, partial(comparing, top, known), against),
        Case("scan, new photos found and queued", files, partial(finding, top, files), against),
    ]


def add(options: argparse.Namespace, result: Result) -> None:
    """Measure."""
    with tempfile.TemporaryDirectory(prefix="photoramd-benchmark-") as name:
        files = 4000 if options.quick else 20_000
        made = cases(Path(name).resolve(), files)
        result.figures += measure("scan", made, options.rounds or 5)


def main(argv: Sequence[str]) -> None:
    """Measure and show."""
    report.run("scan", report.parser("scan", __doc__).parse_args(argv), argv, add)
