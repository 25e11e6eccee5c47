"""Measure everything that has a baseline, and show it as one table: ``make bench``.

    python -m benchmarks suite [--quick] [--only decode query ...] [--rounds N] [--json FILE]

Each benchmark has a process of its own, so that its peak memory is its own. The photos are made
first, 170 MB of them, if they are not there. How long it takes: docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from rich.console import Console

from benchmarks import STANDARD, fixtures, machine, report
from benchmarks.figures import Result


def measured(options: argparse.Namespace) -> dict[str, Result]:
    """What each benchmark measured, by its name."""
    console = Console(stderr=True)
    # Making photos inside of a benchmark would count as its memory.
    for megapixels in [12.0] if options.quick else fixtures.SETS:
        fixtures.photos(options.fixtures, megapixels, 1)
    results = {}
    names = [name for name in STANDARD if name in options.only]
    for number, name in enumerate(names, 1):
        started = time.monotonic()
        results[name] = report.alone(name, report.passed_on(options))
        seconds = time.monotonic() - started
        console.print(f"{number} of {len(names)}: {name}, {seconds:.0f} s", highlight=False)
    return results


def add(options: argparse.Namespace, result: Result) -> None:
    """Measure."""
    result.devices = machine.devices()
    for other in measured(options).values():
        result.add(other)


def parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """The common options, and which benchmarks."""
    made = report.parser(name, text)
    made.add_argument(
        "--only", nargs="+", choices=STANDARD, default=STANDARD, help="these benchmarks"
    )
    return made


def main(argv: Sequence[str]) -> None:
    """Measure and show."""
    report.run("suite", parser("suite", __doc__).parse_args(argv), argv, add)
