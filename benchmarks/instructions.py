"""Count the processor's instructions, which no other load on the machine changes.

    python -m benchmarks instructions [--quick] [--json FILE]

Valgrind's cachegrind runs small works once and six times; the difference is what they take
without the start of Python. They depend on the versions of Python and the libraries, so they are
only compared with counts of the same versions. Networks are not counted: valgrind has no AVX-512,
and their code would be another one.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks import fixtures, machine, report
from benchmarks.figures import Figure, Judged, Result
from benchmarks.report import progress

_TIMES = (1, 6)
"""The start of Python, many times a small work, is in both counts."""


def decode_photo(photo: Path, _: Path) -> Callable[[], object]:
    """Decode 12 megapixels at the embedded model's size."""
    from benchmarks.decode import EMBEDDED_SIDE, MAX_PIXELS
    from photoramd.images.decoder import decode

    return lambda: decode(photo, side=EMBEDDED_SIDE, max_pixels=MAX_PIXELS)


def write_sidecar(photo: Path, directory: Path) -> Callable[[], object]:
    """Make a sidecar."""
    from benchmarks.write import TAGS, sidecar

    numbers = iter(range(1000))

    def work() -> None:
        copy = directory / f"{next(numbers)}.jpg"
        copy.write_bytes(photo.read_bytes())
        sidecar(TAGS, copy)

    work()
    return work


def ask(_: Path, directory: Path) -> Callable[[], object]:
    """Ask every question of the query benchmark once, of fewer photos."""
    from benchmarks.query import fill, questions
    from photoramd.database.connection import Database
    from photoramd.search.queries import open_readonly

    path = directory / "photoramd.db"
    with Database(path) as database:
        fill(database, 1000)

    def work() -> None:
        with closing(open_readonly(path)) as connection:
            for question in questions(connection):
                question.ask()

    work()
    return work


def find_new(_: Path, directory: Path) -> Callable[[], object]:
    """Find 400 new files and queue them."""
    from benchmarks.scale import make_tree
    from benchmarks.scan import finding

    files = 400
    top = directory / "tree"
    make_tree(top, files)

    def work() -> None:
        with finding(top, files) as scan:
            scan(lambda: None)

    work()
    return work


WORKS: Mapping[str, Callable[[Path, Path], Callable[[], object]]] = {
    "decode": decode_photo,
    "write": write_sidecar,
    "query": ask,
    "scan": find_new,
}
"""By the name of the benchmark they are part of: from a photo and a directory to the work."""


def count(name: str, photo: Path, times: int) -> int:
    """Instructions of a process that does a work so many times, preparations included.

    Raises:
        SystemExit: It failed, or valgrind said nothing of instructions.
    """
    with tempfile.TemporaryDirectory(prefix="photoramd-benchmark-") as directory:
        # /dev/null: the profile itself is not wanted.
        valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no"]
        valgrind.append("--cachegrind-out-file=/dev/null")
        worker = [machine.python(), "-m", "benchmarks", "instructions", "--worker", name]
        done = subprocess.run(
            [*valgrind, *worker, os.fspath(photo), str(Path(directory).resolve()), str(times)],
            env={**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    match = re.search(r"I +refs: +([\d,]+)", done.stderr)
    if done.returncode or match is None:
        raise SystemExit(f"valgrind failed for {name}:\n{done.stderr[-2000:]}")
    return int(match[1].replace(",", ""))


def add(options: argparse.Namespace, result: Result) -> None:
    """Count."""
    if shutil.which("valgrind") is None:
        result.absent["instructions"] = "valgrind is not installed: apt-get install valgrind"
        return
    made = fixtures.photos(options.fixtures, 12, 1)
    result.fixtures[made.name] = made.checked
    names = options.works or (["decode", "write"] if options.quick else list(WORKS))
    with progress("instructions", len(names) * len(_TIMES)) as advance:
        for name in names:
            counts = []
            for times in _TIMES:
                counts.append(count(name, made.paths[0], times))
                advance(name)
            millions = (counts[1] - counts[0]) / 1e6 / (_TIMES[1] - _TIMES[0])
            judged = (Judged.of("instructions", "", [millions]),)
            result.figures.append(Figure(f"million instructions, {name}", judged=judged))


def main(argv: Sequence[str]) -> None:
    """Count and show."""
    parser = report.parser("instructions", __doc__)
    parser.add_argument("--works", nargs="+", choices=WORKS, help="default: all")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.worker is None:
        report.run("instructions", options, argv, add)
        return
    name, photo, directory, times = options.worker
    work = WORKS[name](Path(photo), Path(directory))
    for _ in range(int(times)):
        work()
