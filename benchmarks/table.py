"""Put a baseline's figures into the documentation.

    python -m benchmarks table [FILE] [--write]

Prints Markdown, or with --write replaces what follows "## Measured" in docs/benchmarks.md.
FILE is what `python -m benchmarks suite --json FILE` wrote; default: the processor's baseline.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.check import BASELINES
from benchmarks.figures import Figure, Result, load

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
HEADING = "## Measured\n"

_TIMED = ("decode", "inference", "crop", "pipeline", "scan", "write", "query")


def markdown(result: Result) -> str:
    """All figures as tables."""
    return "\n".join([HEADING, *_lines(result)]).rstrip() + "\n"


def replaced(text: str, result: Result) -> str:
    """The document with these figures; they are its last section."""
    return text.partition(HEADING)[0] + markdown(result)


def _lines(result: Result) -> Iterator[str]:
    machine = result.machine
    yield f"`{result.command}`, begun {result.date}, {result.seconds / 60:.0f} minutes, on"
    yield f"{machine['cores for this process']} cores of {machine['processor']}"
    yield f"({machine['capabilities']}), {machine['memory GiB']:.0f} GiB, {machine['kernel']}; the"
    yield f"load before it began was {machine['load before']}. Python {machine['python']},"
    yield f"torch {machine['torch']}, Pillow {machine['pillow']},"
    yield f"libjpeg-turbo {machine['libjpeg-turbo']}, SQLite {machine['sqlite']}.\n"
    for name in _TIMED:
        rows = [f for f in result.figures if re.match(rf"{name}\b", f.name) and f.per_minute]
        if rows:
            yield f"| {name} | a minute | +- | CPU ms | p50, p95, most ms | RSS MiB | GPU MiB |"
            yield "|---|--:|--:|--:|--:|--:|--:|"
            yield from map(_row, rows)
            yield ""
    yield "| memory | peak, MiB |\n|---|--:|"
    for figure in result.figures:
        if figure.name.startswith("memory of a scan"):
            name = figure.name.partition(", ")[2]
            yield f"| {name} | {_number(figure.peak_rss_mib or 0)} |"
    yield "\n| instructions | millions |\n|---|--:|"
    for figure in result.figures:
        if figure.name.startswith("million instructions, "):
            name = figure.name.partition(", ")[2]
            yield f"| {name} | {_number(figure.judged[0].value)} |"
    yield "\nNot measured:\n"
    yield from (f"- {name}: {reason}" for name, reason in result.absent.items())


def _row(figure: Figure) -> str:
    rate, cpu, latency = figure.per_minute, figure.cpu_ms, figure.latency_ms
    assert rate is not None
    assert cpu is not None
    steps = [] if latency is None else [latency.p50, latency.p95, latency.most]
    name = re.sub(r"^\w+,? ", "", figure.name)
    cells = [
        name if figure.device == "cpu" else f"{name}, {figure.device}",
        _number(rate.median),
        f"{rate.mad / rate.median:.0%}",
        _number(cpu.median),
        ", ".join(map(_number, steps)),
        _number(figure.peak_rss_mib or 0),
        "" if figure.device_mib is None else _number(figure.device_mib),
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main(argv: Sequence[str]) -> None:
    """Print or write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, nargs="?", default=BASELINES / "cpu.json")
    parser.add_argument("--write", action="store_true", help=f"into {DOCUMENT.name}")
    arguments = parser.parse_args(argv)
    result = load(arguments.file)
    if arguments.write:
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(replaced(text, result), encoding="utf-8")
    else:
        print(markdown(result), end="")
