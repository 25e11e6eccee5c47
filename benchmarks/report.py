"""What the standard benchmarks share: options, progress, the table and the JSON file."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks import fixtures, machine
from benchmarks.figures import Figure, Result, load

Measure = Callable[[argparse.Namespace, Result], None]
"""Adds figures to a result."""


def parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """The options that all have."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--quick", action="store_true", help="fewer figures, photos and rounds")
    made.add_argument("--rounds", type=int, metavar="N", help="measure each N times, in turns")
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    made.add_argument(
        "--fixtures",
        type=Path,
        metavar="DIR",
        default=fixtures.DEFAULT,
        help="where the photos are kept (build/fixtures)",
    )
    return made


def run(name: str, options: argparse.Namespace, argv: Sequence[str], measure: Measure) -> Result:
    """Measure, show the table and write the file."""
    result = Result(machine.command(name, list(argv)), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    result.machine = machine.describe()
    started = time.monotonic()
    measure(options, result)
    result.seconds = round(time.monotonic() - started, 1)
    if options.json is not None:
        result.save(options.json)
    show(result)
    return result


def alone(name: str, arguments: Sequence[str]) -> Result:
    """Run a benchmark in a process of its own, so that its memory is its own.

    Raises:
        SystemExit: It failed; it has said why.
    """
    with tempfile.TemporaryDirectory(prefix="photoramd-benchmark-") as directory:
        file = Path(directory, "result.json")
        command = [machine.python(), "-m", "benchmarks", name, *arguments, "--json", str(file)]
        # Progress goes to standard error; the table is shown once, with everything.
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise SystemExit(f"python -m benchmarks {name} failed")
        return load(file)


def passed_on(options: argparse.Namespace) -> list[str]:
    """The common options, for a benchmark in a process of its own."""
    arguments = ["--fixtures", os.path.abspath(options.fixtures)]
    if options.quick:
        arguments.append("--quick")
    if options.rounds:
        arguments += ["--rounds", str(options.rounds)]
    return arguments


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """A bar on standard error, or one line if that is no terminal.

    Yields:
        What to call with a few words after each of ``total`` steps.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"{title}: {total} runs", highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(title, total=total)
        yield lambda words: bar.update(task, advance=1, description=f"{title}: {words}")


def show(result: Result) -> None:
    """Print the figures, and what is absent."""
    # Into a file or a pipe the table goes in full width.
    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table(title=f"{result.command}, {result.date}", title_justify="left")
    table.add_column("figure")
    for title in ("a minute", "+-", "CPU ms", "p50 ms", "p95 ms", "most ms", "RSS MiB", "GPU MiB"):
        table.add_column(title, justify="right")
    table.add_column("judged by")
    for figure in result.figures:
        table.add_row(*_cells(figure))
    console.print(table)
    words = (f"{key} {value}" for key, value in result.machine.items())
    console.print(f"Machine: {'; '.join(words)}", highlight=False, markup=False)
    for title, entries in (
        ("Device", result.devices),
        ("Fixtures", result.fixtures),
        ("Not measured", result.absent),
    ):
        for key, value in entries.items():
            console.print(f"{title}: {key}: {value}", highlight=False, markup=False)
    console.print(f"{result.seconds:.0f} s", highlight=False)


def _cells(figure: Figure) -> list[str]:
    rate, cpu, latency = figure.per_minute, figure.cpu_ms, figure.latency_ms
    judged = ""
    for each in figure.judged[:1]:  # all of them are in the file
        judged = f"{each.by} {number(each.value)}"
        if each.low < each.high:
            judged += f" ({number(each.low)} to {number(each.high)})"
    return [
        figure.name if figure.device == "cpu" else f"{figure.name}, {figure.device}",
        "" if rate is None else f"{rate.median:,.0f}",
        "" if rate is None else f"{rate.mad / rate.median:.0%}",
        "" if cpu is None else number(cpu.median),
        *(
            ["", "", ""]
            if latency is None
            else [number(latency.p50), number(latency.p95), number(latency.most)]
        ),
        "" if figure.peak_rss_mib is None else f"{figure.peak_rss_mib:,.0f}",
        "" if figure.device_mib is None else f"{figure.device_mib:,.0f}",
        judged,
    ]


def number(value: float) -> str:
    """With three digits, or as a whole number."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
