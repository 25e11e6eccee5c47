"""Compare this machine's figures with a baseline, and fail if something became worse.

    python -m benchmarks check [--full] [--only decode ...] [--attempts 3] [--json FILE]
        [--baselines DIR | --against REVISION] [--measured FILE ...]

Compared is not time but what each figure is judged by: mostly its cost as a multiple of a
calibration measured in turns with it. A figure that is worse than its tolerance allows is
measured again, twice at most, and the best of its values counts: other load passes, a
regression stays. docs/benchmarks.md has the reasons for the tolerances.

With --against the baseline is another revision of the sources, measured first, on this machine.

Exit codes: 0 nothing became worse; 1 something did; 2 nothing could be compared, or no times,
because the baseline is of another kind of machine, or there is none. Record one with:

    python -m benchmarks suite --json DIR/cpu.json
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import machine, report, suite
from benchmarks.figures import Figure, Result, load
from benchmarks.report import number

BASELINES = Path(__file__).with_name("baselines")

TOLERANCES = {
    "cpu": 1.30,
    "wall": 2.0,
    "memory": 1.10,
    "growth": 1.05,
    "instructions": 1.02,
    "count": 1.0,
}
"""How many times its baseline a value may be. Reasons: docs/benchmarks.md."""

_LIBRARIES = ("sqlite", "libjpeg-turbo", "zlib", "C library", "numpy", "pillow", "lxml", "msgspec")
DEPENDS: Mapping[str, Sequence[str]] = {
    "cpu": ("architecture", "capabilities", "python"),
    "wall": ("architecture", "capabilities", "python", "cores for this process"),
    "memory": ("architecture", "capabilities", "python", "torch", "cores for this process"),
    "growth": (),
    "instructions": ("architecture", "capabilities", "python", "valgrind", *_LIBRARIES),
    "count": (),
}
"""What of the machine must be as in the baseline for a value to be comparable."""

Key = tuple[str, str, str, str]
"""A value: its figure's name and device, what it is judged by, and against."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A value and its baseline; ``actual`` is the best of all attempts."""

    key: Key
    expected: float
    actual: float

    @property
    def limit(self) -> float:
        """The most that is no regression."""
        return self.expected * TOLERANCES[self.key[2]]

    @property
    def is_worse(self) -> bool:
        """Whether this is a regression."""
        return self.actual > self.limit

    def __str__(self) -> str:
        figure, device, by, against = self.key
        text = f"{figure} ({device}), {by}: expected {number(self.expected)}"
        if against:
            text += f" times {against}"
        return f"{text}, at most {number(self.limit)}, found {number(self.actual)}"


@dataclass(slots=True)
class Comparison:
    """What could be compared, and what not.

    Attributes:
        compared: Values that the baseline has, too.
        unlike: By what figures are judged by: how the machines differ, if that matters.
        unmeasured: Figures of the baseline that were not measured now.
        unknown: Figures that the baseline does not have.
    """

    compared: dict[Key, Compared] = field(default_factory=dict)
    unlike: dict[str, str] = field(default_factory=dict)
    unmeasured: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    @property
    def worse(self) -> list[Compared]:
        """The regressions."""
        return [each for each in self.compared.values() if each.is_worse]


def compare(baselines: Iterable[Result], measured: Iterable[Result]) -> Comparison:
    """Compare the best values of some attempts with baselines.

    Args:
        baselines: What is expected; no figure is in two of them.
        measured: Attempts on one machine.
    """
    expected = {key: (v, b.machine) for b in baselines for key, v in _values(b.figures).items()}
    found = Comparison(unmeasured={key[0] for key in expected})
    for result in measured:
        for key, actual in _values(result.figures).items():
            if key not in expected:
                found.unknown.add(key[0])
                continue
            found.unmeasured.discard(key[0])
            value, there = expected[key]
            if differing := _differing(key[2], there, result.machine):
                found.unlike[key[2]] = differing
                continue
            known = found.compared.get(key)
            best = actual if known is None else min(actual, known.actual)
            found.compared[key] = Compared(key, value, best)
    return found


def _values(figures: Iterable[Figure]) -> dict[Key, float]:
    return {
        (figure.name, figure.device, each.by, each.against): each.value
        for figure in figures
        for each in figure.judged
    }


def _differing(
    by: str, old: Mapping[str, str | int | float], new: Mapping[str, str | int | float]
) -> str:
    """What of the machines differs that this kind of value depends on; empty if nothing."""
    differing = []
    for name in DEPENDS[by]:
        one, two = str(old.get(name, "")), str(new.get(name, ""))
        if name == "python" and by != "instructions":
            one, two = one.rpartition(".")[0], two.rpartition(".")[0]
        if one != two:
            differing.append(f"{name}: {one or 'unknown'} there, {two or 'unknown'} here")
    return "; ".join(differing)


def load_baselines(directory: Path) -> list[Result]:
    """The baselines: ``cpu.json`` and so on, of each the figures of that class of devices."""
    found = []
    for file in sorted(directory.glob("*.json")):
        baseline = load(file)
        baseline.figures = [each for each in baseline.figures if each.device == file.stem]
        found.append(baseline)
    return found


def measure_revision(options: argparse.Namespace) -> Result:
    """Measure another revision of the sources, in a checkout of its own.

    Raises:
        SystemExit: There is no such revision, or it cannot be measured.
    """
    git = ["git", "-C", str(BASELINES.parent)]
    with tempfile.TemporaryDirectory(prefix="photoramd-benchmark-") as name:
        sources, file = Path(name, "sources"), Path(name, "result.json")
        added = subprocess.run(
            [*git, "worktree", "add", "--quiet", "--detach", sources, options.against], check=False
        )
        if added.returncode:
            raise SystemExit(f"{options.against}: cannot be checked out")
        try:
            command = [machine.python(), "-m", "benchmarks", "suite", "--json", str(file)]
            command += ["--only", *options.only, *report.passed_on(options)]
            Console(stderr=True).print(f"Measuring {options.against}", highlight=False)
            # The sources of the present directory are found before installed ones.
            done = subprocess.run(command, cwd=sources, stdout=subprocess.DEVNULL, check=False)
            if done.returncode:
                raise SystemExit(f"{options.against}: cannot be measured")
            return load(file)
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", sources], check=False)


def run(options: argparse.Namespace, baselines: Sequence[Result]) -> Comparison:
    """Measure, and measure again what seems worse."""
    if options.measured:
        return compare(baselines, [load(file) for file in options.measured])
    console = Console(stderr=True)
    attempts = [suite.measured(options)]
    benchmark_of = {f.name: name for name, result in attempts[0].items() for f in result.figures}
    comparison = _compare_all(baselines, attempts)
    while comparison.worse and len(attempts) < options.attempts:
        names = {benchmark_of[each.key[0]] for each in comparison.worse}
        console.print(f"Measuring again: {', '.join(sorted(names))}", highlight=False)
        again = argparse.Namespace(**{**vars(options), "only": names})
        attempts.append(suite.measured(again))
        comparison = _compare_all(baselines, attempts)
    if options.json is not None:
        merged = Result("python -m benchmarks check", "")
        for result in attempts[0].values():
            merged.date = merged.date or result.date
            merged.machine = result.machine
            merged.add(result)
        merged.save(options.json)
    return comparison


def _compare_all(
    baselines: Iterable[Result], attempts: Iterable[Mapping[str, Result]]
) -> Comparison:
    return compare(baselines, (result for attempt in attempts for result in attempt.values()))


def show(comparison: Comparison, *, is_full: bool) -> None:
    """Print what was compared, and what became worse."""
    console = Console(width=None if Console().is_terminal else 160)
    table = Table("figure", "judged by")
    for title in ("expected", "found", "times", "at most"):
        table.add_column(title, justify="right")
    for each in comparison.compared.values():
        name, device, by, against = each.key
        table.add_row(
            name if device == "cpu" else f"{name}, {device}",
            f"{by} against {against}" if against else by,
            number(each.expected),
            number(each.actual),
            f"{each.actual / each.expected if each.expected else 1:.2f}",
            f"{TOLERANCES[by]:.2f}",
            style="bold red" if each.is_worse else "",
        )
    console.print(table)
    for by, differing in comparison.unlike.items():
        console.print(f"Not compared: {by}: {differing}", highlight=False, markup=False)
    lacking = {"Without a baseline": comparison.unknown}
    if is_full:  # else much is left out on purpose
        lacking["Not measured"] = comparison.unmeasured
    for title, names in lacking.items():
        if names:
            console.print(f"{title}: {'; '.join(sorted(names))}", highlight=False, markup=False)
    for each in comparison.worse:
        console.print(f"WORSE: {each}", highlight=False, markup=False, soft_wrap=True)


def main(argv: Sequence[str]) -> int:
    """Measure, compare and show; returns the exit code."""
    parser = suite.parser("check", __doc__)
    parser.add_argument("--full", action="store_true", help="all figures, not the quick ones")
    parser.add_argument("--baselines", type=Path, metavar="DIR", default=BASELINES)
    parser.add_argument("--against", metavar="REVISION", help="of the sources: a branch, a tag")
    parser.add_argument(
        "--measured", type=Path, nargs="+", metavar="FILE", help="compare them, measure nothing"
    )
    parser.add_argument("--attempts", type=int, metavar="N", default=3, help="at most; default 3")
    options = parser.parse_args(argv)
    options.quick = not options.full
    if options.against:
        baselines = [measure_revision(options)]
    else:
        baselines = load_baselines(options.baselines)
    if not baselines:
        print(f"There is no baseline in {options.baselines}; see --help for how to record one.")
        return 2
    comparison = run(options, baselines)
    show(comparison, is_full=options.full or bool(options.measured))
    if not comparison.compared:
        print("Nothing could be compared; see --help for how to record a baseline of your own.")
        return 2
    count, worse = len(comparison.compared), len(comparison.worse)
    dates = ", ".join(baseline.date for baseline in baselines)
    print(f"{count} values compared with the baseline of {dates}, {worse} worse")
    has_times = any(by in ("cpu", "wall") for _, _, by, _ in comparison.compared)
    if not worse and not has_times and "cpu" in comparison.unlike:
        print("No times could be compared; see --help for how to record a baseline of your own.")
        return 2
    return 1 if worse else 0
