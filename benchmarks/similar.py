"""Measure finding similar photos among many: loading, the nearest, groups of nearly the same.

    python -m benchmarks similar [--pictures 1000000] [--rounds 9] [--directory DIR]

The vectors are made from a seed: each leans towards one of a number of subjects, and one in
twenty is a copy of an earlier one that was changed a little, with a cosine of .91 to .99. Shown
are medians on one thread, peak resident memory, how many of the 50 most similar are found, and
how many of the copies are grouped with what they are copies of.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
from rich.console import Console

from photoramd.database.features import Features, features_path
from photoramd.database.vectors import StoredVectors
from photoramd.models.features import SIZE, Vectors, quantised
from photoramd.search.near_duplicates import near_duplicates
from photoramd.search.similar import Similar, cosines

Array = npt.NDArray[np.float32]

_VERSION = "benchmark"
_SUBJECTS = 5000
_LEANING = 0.7
_BLOCK = 5000
_COPIES = _BLOCK // 20
_LIMIT = 50
_WITHIN = 70_000
_EXACT = 10
"""Questions whose answer is compared with that of all vectors."""


def digest(number: int) -> bytes:
    """Return a digest that begins at random and tells the number."""
    return (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "little") + number.to_bytes(
        8, "little"
    )


def fill(path: Path, pictures: int) -> dict[bytes, bytes]:
    """Keep vectors; return of what each copy is one."""
    generator = np.random.default_rng(1)

    def noise(rows: int) -> Array:
        return generator.standard_normal((rows, SIZE), np.float32)

    subjects, before, copies = noise(_SUBJECTS), noise(_BLOCK), {}
    before /= np.linalg.norm(before, axis=1, keepdims=True)
    features = Features(path, _VERSION)
    for start in range(0, pictures, _BLOCK):
        values = noise(_BLOCK) + _LEANING * subjects[generator.integers(0, _SUBJECTS, _BLOCK)]
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        if start:
            cosine = generator.uniform(0.91, 0.99, (_COPIES, 1)).astype(np.float32)
            change = np.sqrt(1 - cosine**2) / np.sqrt(SIZE)
            values[:_COPIES] = cosine * before[-_COPIES:] + change * noise(_COPIES)
            for number in range(_COPIES):
                copies[digest(start + number)] = digest(start - _COPIES + number)
        before = values
        rows = quantised(values)[: pictures - start]
        features.save({digest(start + i): row.tobytes() for i, row in enumerate(rows)})
    features.close()
    return copies


def timed(rounds: int, ask: Callable[[int], object]) -> float:
    """Return milliseconds of asking: the median, without the first time."""
    taken = []
    for number in range(rounds + 1):
        began = time.perf_counter()
        ask(number)
        taken.append(1000 * (time.perf_counter() - began))
    return median(taken[1:])


def recall(similar: Similar, wanted: Vectors) -> float:
    """Return how many of the most similar are found, on average."""
    exact = np.concatenate([cosines(wanted, each.vectors) for each in similar.stored.blocks()], 1)
    shares = []
    for row, vector in zip(exact, wanted, strict=True):
        best = {similar.digests[each].tobytes() for each in np.argsort(-row)[:_LIMIT]}
        found = {each.digest for each in similar.nearest(vector, _LIMIT)}
        shares.append(len(best & found) / len(best))
    return float(np.mean(shares))


def main(argv: Sequence[str]) -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks similar",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pictures", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--directory", type=Path, help="where the file is made: 600 MB")
    options = parser.parse_args(argv)
    show = Console(highlight=False).print
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        path = features_path(Path(name, "photoramd.db"))
        began = time.perf_counter()
        copies = fill(path, options.pictures)
        seconds = time.perf_counter() - began
        show(f"kept in {seconds:.1f} s, {path.stat().st_size / 1e6:.0f} MB on disk")
        with StoredVectors(path, _VERSION) as stored:
            began = time.perf_counter()
            similar = Similar.load(stored)
            show(f"loaded in {time.perf_counter() - began:.1f} s, peak {peak_mib():.0f} MiB")
            asked = stored.fetch(range(1, options.rounds + 2)).vectors
            some = np.arange(0, len(similar), max(1, len(similar) // _WITHIN))
            everywhere = timed(options.rounds, lambda n: similar.nearest(asked[n], _LIMIT))
            inside = timed(options.rounds, lambda n: similar.nearest(asked[n], _LIMIT, some))
            show(f"the nearest {_LIMIT}: {everywhere:.0f} ms; of {len(some):,}: {inside:.0f} ms")
            show(f"of the exact {_LIMIT} found: {recall(similar, asked[:_EXACT]):.3f}")
            began = time.perf_counter()
            groups = near_duplicates(similar)
            seconds = time.perf_counter() - began
    place = {each: number for number, group in enumerate(groups) for each in group}
    good = sum(place.get(a, -1) == place.get(b, -2) for a, b in copies.items())
    show(f"{len(groups):,} groups in {seconds:.1f} s, peak {peak_mib():.0f} MiB")
    show(
        f"of {len(copies):,} copies grouped with what they are of: {good / max(1, len(copies)):.4f}"
    )


def peak_mib() -> float:
    """Return the most memory that this process has had, resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
